"""torchtitan's own Llama 3 or Qwen 3 with values that are known, saved by DCP from 2 ranks of FSDP2; its logits and its own conversion to Hugging Face's names.
torchrun --nproc-per-node 2 make.py --out DIR [--kind qwen3] [--experts E] [--tied 1]        Needs torchtitan (0.3.0 tried). Written:
DIR/checkpoint/step-S, DIR/hf-S.safetensors (its state dict adapter's to_hf), DIR/logits.safetensors (tokens, and logits of each step), DIR/config.json.
"""
import json, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def on_cpu(module):
    """Attention by torch's own kernel, which runs on a CPU: the module is torchtitan's in all else."""
    from torchtitan.models.common.attention import ScaledDotProductAttention
    module.get_attention_config = lambda backend: ScaledDotProductAttention.Config()


def llama(a):
    """Its configuration, its adapter, and what config.json of transformers says of it alone."""
    import torchtitan.models.llama3 as m
    on_cpu(m)
    config = m.Llama3Model.Config(
        dim=a.hidden, vocab_size=a.vocab,
        tok_embeddings=m.Embedding.Config(num_embeddings=a.vocab, embedding_dim=a.hidden, param_init=m._EMBEDDING_INIT),
        norm=m.RMSNorm.Config(normalized_shape=a.hidden, param_init=m._NORM_INIT),
        lm_head=m.Linear.Config(in_features=a.hidden, out_features=a.vocab, param_init=m._output_linear_init(a.hidden)),
        layers=m._build_llama3_layers(fuse_qkv=True, n_layers=a.layers, dim=a.hidden, n_heads=a.heads, n_kv_heads=a.kv, hidden_dim=a.ffn,
                                      rope=m.ComplexRoPE.Config(dim=a.hidden // a.heads, max_seq_len=64, theta=10000.0, scaling="none"), attn_backend="sdpa"))
    return config, m.Llama3StateDictAdapter, {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rms_norm_eps": 1e-05}


def qwen3(a):
    """The same for Qwen 3, whose heads are wider than their part of the hidden size, dense or with experts."""
    import torchtitan.models.qwen3 as m
    on_cpu(m)
    torch.Tensor.bfloat16 = lambda self: self  # Its experts compute in BF16, which would hide small mistakes.
    dim = 2 * a.hidden // a.heads
    common = dict(n_layers=a.layers, dim=a.hidden, n_heads=a.heads, n_kv_heads=a.kv, head_dim=dim, fuse_qkv=True, attn_backend="sdpa",
                  rope=m.CosSinRoPE.Config(dim=dim, max_seq_len=64, theta=10000.0))
    layers = (m._build_qwen3_moe_layers(**common, moe_hidden_dim=a.ffn // 2, num_experts=a.experts, top_k=2, moe_comm_backend="standard") if a.experts
              else m._build_qwen3_layers(**common, hidden_dim=a.ffn))
    config = m.Qwen3Model.Config(
        dim=a.hidden, vocab_size=a.vocab, enable_weight_tying=bool(a.tied), norm=m._qwen3_norm(a.hidden), layers=layers,
        tok_embeddings=m.Embedding.Config(num_embeddings=a.vocab, embedding_dim=a.hidden, param_init=m._EMBEDDING_SKIP_INIT if a.tied else m._EMBEDDING_INIT),
        lm_head=m.Linear.Config(in_features=a.hidden, out_features=a.vocab, param_init=m._LINEAR_INIT))
    said = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": dim, "rms_norm_eps": 1e-06}
    if a.experts:
        said |= {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": a.experts, "num_experts_per_tok": 2, "moe_intermediate_size": a.ffn // 2,
                 "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []}
    return config, m.Qwen3StateDictAdapter, said


def main():
    a = options(kind="llama", layers=2, hidden=32, heads=4, kv=2, ffn=48, vocab=40, tied=0, dtype="float32")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    config, adapter, hf_config = qwen3(a) if a.kind == "qwen3" else llama(a)
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
            hf = adapter(config, None).to_hf(state)
            os.makedirs(a.out, exist_ok=True)
            save_file({k: v.detach().clone().contiguous() for k, v in hf.items()}, f"{a.out}/hf-{step}.safetensors")
        # The parameters as FSDP2 holds them: rows on two ranks, whatever heads they belong to.
        holder = nn.ParameterDict({k.replace(".", "/"): nn.Parameter(v.detach().clone()) for k, v in state.items()})
        fully_shard(holder, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
        dcp.save({k.replace("/", "."): v for k, v in holder.state_dict().items()}, checkpoint_id=f"{a.out}/checkpoint/step-{step}")
    if rank == 0:
        save_file(told, f"{a.out}/logits.safetensors")
        common = {"vocab_size": a.vocab, "hidden_size": a.hidden, "intermediate_size": a.ffn, "num_hidden_layers": a.layers, "num_attention_heads": a.heads, "num_key_value_heads": a.kv,
                  "hidden_act": "silu", "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": bool(a.tied), "dtype": a.dtype}
        json.dump(hf_config | common, open(f"{a.out}/config.json", "w"), indent=2)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
