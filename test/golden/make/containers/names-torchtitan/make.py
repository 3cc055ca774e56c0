"""torchtitan's own Llama 3 with values that are known, saved by DCP from 2 ranks of FSDP2; its logits and its own conversion to Hugging Face's names.
torchrun --nproc-per-node 2 make.py --out DIR        Needs torchtitan (0.3.0 tried). Written: DIR/checkpoint/step-S, DIR/hf-S.safetensors
(Llama3StateDictAdapter.to_hf), DIR/logits.safetensors (tokens, and logits of each step), DIR/config.json.
"""
import json, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def main():
    a = options(layers=2, hidden=32, heads=4, kv=2, ffn=48, vocab=40, dtype="float32")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    from torchtitan.models.llama3 import Llama3Model, _build_llama3_layers, Llama3StateDictAdapter
    from torchtitan.models.llama3 import ComplexRoPE, Embedding, Linear, RMSNorm, _EMBEDDING_INIT, _NORM_INIT, _output_linear_init
    # Attention by torch's own kernel, which runs on a CPU: the module is torchtitan's in all else.
    import torchtitan.models.llama3 as llama3
    from torchtitan.models.common.attention import ScaledDotProductAttention
    llama3.get_attention_config = lambda backend: ScaledDotProductAttention.Config()
    config = Llama3Model.Config(
        dim=a.hidden, vocab_size=a.vocab,
        tok_embeddings=Embedding.Config(num_embeddings=a.vocab, embedding_dim=a.hidden, param_init=_EMBEDDING_INIT),
        norm=RMSNorm.Config(normalized_shape=a.hidden, param_init=_NORM_INIT),
        lm_head=Linear.Config(in_features=a.hidden, out_features=a.vocab, param_init=_output_linear_init(a.hidden)),
        layers=_build_llama3_layers(fuse_qkv=True, n_layers=a.layers, dim=a.hidden, n_heads=a.heads, n_kv_heads=a.kv, hidden_dim=a.ffn,
                                    rope=ComplexRoPE.Config(dim=a.hidden // a.heads, max_seq_len=64, theta=10000.0, scaling="none"), attn_backend="sdpa"))
    tokens = torch.arange(24).reshape(2, 12) * 7 % a.vocab
    told = {"tokens": tokens}
    for step in a.steps:
        model = config.build()
        model.init_states(buffer_device=torch.device("cpu"))
        with torch.no_grad():
            for k, t in model.named_parameters():
                t.copy_(values(k, t.shape, a.seed, step, t.dtype) * (8 if t.dim() > 1 else 1))
        with torch.no_grad():
            told[f"logits-{step}"] = model(tokens, positions=torch.arange(12).expand(2, 12)).float().contiguous()
        state = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor) and not v.is_complex()}
        if rank == 0:
            hf = Llama3StateDictAdapter(config, None).to_hf(state)
            os.makedirs(a.out, exist_ok=True)
            save_file({k: v.detach().clone().contiguous() for k, v in hf.items()}, f"{a.out}/hf-{step}.safetensors")
        # The parameters as FSDP2 holds them: rows on two ranks, whatever heads they belong to.
        holder = nn.ParameterDict({k.replace(".", "/"): nn.Parameter(v.detach().clone()) for k, v in state.items()})
        fully_shard(holder, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
        dcp.save({k.replace("/", "."): v for k, v in holder.state_dict().items()}, checkpoint_id=f"{a.out}/checkpoint/step-{step}")
    if rank == 0:
        save_file(told, f"{a.out}/logits.safetensors")
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": a.vocab, "hidden_size": a.hidden, "intermediate_size": a.ffn,
                   "num_hidden_layers": a.layers, "num_attention_heads": a.heads, "num_key_value_heads": a.kv, "hidden_act": "silu", "max_position_embeddings": 64,
                   "rope_theta": 10000.0, "rms_norm_eps": 1e-05, "tie_word_embeddings": False, "dtype": a.dtype}, open(f"{a.out}/config.json", "w"), indent=2)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
