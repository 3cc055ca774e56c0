"""Megatron-core's own GPT with values that are known, dense or with experts, tensor parallel over 2 ranks, saved by dist_checkpointing with the arguments that
Megatron-LM saves with it; and its logits.
torchrun --nproc-per-node 2 make.py --out DIR [--experts E] [--homogeneous 1] [--qknorm 1] [--qkvbias 1] [--tied 1] [--padded 48]
Needs megatron-core (0.19.2 tried). Written: DIR/iter_S, DIR/logits.safetensors (tokens, and logits of each step), DIR/hf-S.safetensors (the tensors under
Hugging Face's names, by reshapes of torch as Megatron-Bridge has them).
"""
import argparse, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist


def hugging_face(whole, a):
    """The whole tensors of Megatron as transformers has them."""
    out = {"model.embed_tokens.weight": whole["embedding.word_embeddings.weight"][: a.vocab], "model.norm.weight": whole["decoder.final_layernorm.weight"]}
    if not a.tied:
        out["lm_head.weight"] = whole["output_layer.weight"][: a.vocab]
    hd = a.hidden // a.heads
    for i in range(a.layers):
        get = lambda name: whole[f"decoder.layers.{name}"][i] if a.homogeneous else whole[f"decoder.layers.{i}.{name}"]
        to = f"model.layers.{i}."
        qkv = get("self_attention.linear_qkv.weight").view(a.kv, a.heads // a.kv + 2, hd, a.hidden)
        out[to + "self_attn.q_proj.weight"] = qkv[:, :-2].reshape(-1, a.hidden)
        out[to + "self_attn.k_proj.weight"] = qkv[:, -2].reshape(-1, a.hidden)
        out[to + "self_attn.v_proj.weight"] = qkv[:, -1].reshape(-1, a.hidden)
        if a.qkvbias:
            bias = get("self_attention.linear_qkv.bias").view(a.kv, a.heads // a.kv + 2, hd)
            for name, rows in (("q", bias[:, :-2]), ("k", bias[:, -2]), ("v", bias[:, -1])):
                out[f"{to}self_attn.{name}_proj.bias"] = rows.reshape(-1)
        out[to + "self_attn.o_proj.weight"] = get("self_attention.linear_proj.weight")
        if a.qknorm:
            out[to + "self_attn.q_norm.weight"], out[to + "self_attn.k_norm.weight"] = get("self_attention.q_layernorm.weight"), get("self_attention.k_layernorm.weight")
        out[to + "input_layernorm.weight"] = get("self_attention.linear_qkv.layer_norm_weight")
        out[to + "post_attention_layernorm.weight"] = get("mlp.linear_fc1.layer_norm_weight")
        if not a.experts:
            gate, up = get("mlp.linear_fc1.weight").chunk(2)
            out |= {to + "mlp.gate_proj.weight": gate, to + "mlp.up_proj.weight": up, to + "mlp.down_proj.weight": get("mlp.linear_fc2.weight")}
            continue
        mixtral = not a.qknorm
        out[to + ("block_sparse_moe.gate.weight" if mixtral else "mlp.gate.weight")] = get("mlp.router.weight")
        for e in range(a.experts):
            gate, up = get("mlp.experts.experts.linear_fc1.weight")[e].chunk(2)
            own = to + (f"block_sparse_moe.experts.{e}." if mixtral else f"mlp.experts.{e}.")
            names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
            for name, t in zip(names, (gate, up, get("mlp.experts.experts.linear_fc2.weight")[e])):
                out[f"{own}{name}.weight"] = t
    return {k: v.float().clone().contiguous() for k, v in out.items()}


def main():
    a = options(layers=2, hidden=16, heads=4, kv=2, ffn=24, vocab=40, padded=48, dtype="float32", homogeneous=0, qknorm=0, qkvbias=0, tied=0)
    dist.init_process_group("gloo")
    W, rank = dist.get_world_size(), dist.get_rank()
    # CPU only: the library asks for the current CUDA device in a few places.
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = lambda *x: None
    from megatron.core import parallel_state as ps, dist_checkpointing as dc
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer import TransformerConfig
    from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
    import megatron.core.tensor_parallel.random as random

    class NoFork:
        def __enter__(self): return self
        def __exit__(self, *x): return False

    ps.initialize_model_parallel(tensor_model_parallel_size=W)
    random.get_cuda_rng_tracker().fork = lambda *x, **k: NoFork()
    moe = dict(num_moe_experts=a.experts, moe_router_topk=2, moe_ffn_hidden_size=a.ffn, moe_router_load_balancing_type="none", moe_token_dispatcher_type="allgather") if a.experts else {}

    def build(parallel):
        config = TransformerConfig(num_layers=a.layers, hidden_size=a.hidden, ffn_hidden_size=a.ffn, num_attention_heads=a.heads, num_query_groups=a.kv, kv_channels=a.hidden // a.heads,
                                   use_cpu_initialization=True, perform_initialization=False, params_dtype=a.torch_dtype, gated_linear_unit=True, activation_func=torch.nn.functional.silu,
                                   normalization="RMSNorm", layernorm_epsilon=1e-5, pipeline_dtype=a.torch_dtype, tensor_model_parallel_size=W, add_bias_linear=False, add_qkv_bias=bool(a.qkvbias), qk_layernorm=bool(a.qknorm),
                                   hidden_dropout=0.0, attention_dropout=0.0, masked_softmax_fusion=False, bias_activation_fusion=False, bias_dropout_fusion=False, **moe)
        spec = get_gpt_layer_local_spec(num_experts=a.experts or None, moe_grouped_gemm=False, qk_layernorm=bool(a.qknorm), normalization="RMSNorm")
        return GPTModel(config=config, transformer_layer_spec=spec, vocab_size=a.padded, max_sequence_length=64, position_embedding_type="rope", rotary_base=10000,
                        share_embeddings_and_output_weights=bool(a.tied), parallel_output=False).to(a.torch_dtype)

    def shards(sd):
        for v in sd.values() if isinstance(sd, dict) else sd if isinstance(sd, list) else ():
            if isinstance(v, (dict, list)):
                yield from shards(v)
            elif isinstance(v, ShardedTensorFactory):
                yield from shards(v.build())
            elif isinstance(v, ShardedTensor):
                yield v

    tokens = torch.arange(24).reshape(2, 12) * 7 % a.vocab
    told = {"tokens": tokens}
    os.makedirs(a.out, exist_ok=True)
    for step in a.steps:
        model = build(True).eval()
        sd = model.sharded_state_dict(metadata={"dp_cp_group": ps.get_data_parallel_group(with_context_parallel=True), **({} if a.homogeneous else {"non_homogeneous_layers": True})})
        whole = {}
        for st in shards(sd):
            full = values(st.key, st.global_shape, a.seed, step, torch.float32) * (8 if len(st.global_shape) > (2 if a.homogeneous and "layers" in st.key else 1) else 1)
            whole[st.key] = full
            with torch.no_grad():
                st.data.copy_(full[st.global_slice()].reshape(st.data.shape))
        mask = torch.triu(torch.ones(12, 12, dtype=torch.bool), 1)[None, None]
        with torch.no_grad():
            logits = model(tokens, torch.arange(12).expand(2, 12), mask)
        told[f"logits-{step}"] = logits.float()[..., : a.vocab].contiguous()
        if rank == 0:
            save_file(hugging_face(whole, a), f"{a.out}/hf-{step}.safetensors")
        # What Megatron-LM's arguments.py names them.
        args = dict(num_layers=a.layers, hidden_size=a.hidden, ffn_hidden_size=a.ffn, num_attention_heads=a.heads, group_query_attention=True, num_query_groups=a.kv, kv_channels=a.hidden // a.heads,
                    max_position_embeddings=64, seq_length=64, normalization="RMSNorm", norm_epsilon=1e-5, swiglu=True, position_embedding_type="rope", rotary_percent=1.0, rotary_base=10000,
                    rotary_interleaved=False, add_bias_linear=False, add_qkv_bias=bool(a.qkvbias), qk_layernorm=bool(a.qknorm), apply_layernorm_1p=False, untie_embeddings_and_output_weights=not a.tied,
                    vocab_size=a.vocab, padded_vocab_size=a.padded, params_dtype=a.torch_dtype, num_experts=a.experts or None, iteration=step, consumed_train_samples=step * 8)
        if a.experts:
            args |= dict(moe_router_topk=2, moe_ffn_hidden_size=a.ffn, moe_router_pre_softmax=False, moe_router_score_function="softmax", moe_layer_freq=1)
        where = f"{a.out}/iter_{step:07d}"
        os.makedirs(where, exist_ok=True)
        dist.barrier()
        dc.save({"model": sd, "args": argparse.Namespace(**args), "checkpoint_version": 3.0, "iteration": step}, where)
    if rank == 0:
        save_file(told, f"{a.out}/logits.safetensors")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
