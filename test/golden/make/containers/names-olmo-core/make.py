"""OLMo-core's own transformers with values that are known, OLMo 2 and OLMo 3, saved by its Checkpointer from 2 ranks of FSDP2 with its config.json;
their logits and OLMo-core's own conversion to Hugging Face's names.
torchrun --nproc-per-node 2 make.py --out DIR [--kind olmo2|olmo3]        Needs ai2-olmo-core (3.0.0 tried) and transformers. Written: DIR/stepS,
DIR/hf-S.safetensors (convert_state_to_hf), DIR/config.json (get_hf_config), DIR/logits.safetensors (tokens, and logits of each step).
"""
import json, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist


def main():
    a = options(layers=4, hidden=16, heads=4, kv=2, vocab=40, dtype="float32", kind="olmo2")
    dist.init_process_group("gloo")
    W, rank = dist.get_world_size(), dist.get_rank()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from olmo_core.nn.attention import SlidingWindowAttentionConfig
    from olmo_core.nn.hf import get_hf_config, convert_state_to_hf
    from olmo_core.nn.transformer import TransformerBlockType, TransformerConfig
    from olmo_core.train.checkpoint import Checkpointer
    from olmo_core.config import DType
    window = SlidingWindowAttentionConfig(pattern=[4, 4, 4, -1], force_full_attention_on_first_layer=False, force_full_attention_on_last_layer=True) if a.kind == "olmo3" else None
    config = TransformerConfig.llama_like(vocab_size=a.vocab, d_model=a.hidden, n_layers=a.layers, n_heads=a.heads, n_kv_heads=a.kv, hidden_size_multiple_of=8, qk_norm=True,
                                          block_name=TransformerBlockType.reordered_norm, layer_norm_eps=1e-6, sliding_window=window, dtype=DType(a.dtype),
                                          **({"attn_backend": "torch"} if window else {}))
    tokens = torch.arange(24).reshape(2, 12) * 7 % a.vocab
    told = {"tokens": tokens}
    os.makedirs(a.out, exist_ok=True)
    for step in a.steps:
        model = config.build(init_device="cpu")
        with torch.no_grad():
            for k, t in model.named_parameters():
                t.copy_(values(k, t.shape, a.seed, step, t.dtype) * (8 if t.dim() > 1 else 1))
            model.eval()
            told[f"logits-{step}"] = model(tokens).float().contiguous()
        if rank == 0:
            hf = get_hf_config(model)
            save_file({k: v.detach().clone().contiguous() for k, v in convert_state_to_hf(hf, dict(model.state_dict())).items()}, f"{a.out}/hf-{step}.safetensors")
            json.dump({k: v for k, v in hf.to_dict().items()}, open(f"{a.out}/config.json", "w"), indent=2, default=str)
        mesh = init_device_mesh("cpu", (W,))
        for b in model.blocks.values():
            fully_shard(b, mesh=mesh)
        fully_shard(model, mesh=mesh)

        class Module:
            def state_dict_to_save(self):
                return {"model": get_model_state_dict(model, options=StateDictOptions(cpu_offload=True))}
        where = f"{a.out}/step{step}"
        Checkpointer(work_dir=f"{a.out}/.work").save(where, Module(), {"global_step": step, "global_train_tokens_seen": step * 4096}, ephemeral=False)
        if rank == 0:
            # As ConfigSaverCallback writes what a training script is given.
            told_config = {"model": config.as_config_dict(), "dataset": {"sequence_length": 64, "tokenizer": {"vocab_size": a.vocab, "eos_token_id": 1, "pad_token_id": 0}}}
            json.dump(told_config, open(f"{where}/config.json", "w"))
    if rank == 0:
        save_file(told, f"{a.out}/logits.safetensors")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
