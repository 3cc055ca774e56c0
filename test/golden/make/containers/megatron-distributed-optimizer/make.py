"""Megatron-core with its own DistributedOptimizer on CPU: TP 2 x DP 2, float32 masters cut over the data-parallel ranks.
torchrun --nproc-per-node 4 make.py --out DIR --sharding fully_sharded_model_space|dp_zero_gather_scatter|fully_sharded_bucket_space|fully_reshardable|dp_reshardable
Tried with megatron-core 0.10.0, 0.12.0 and 0.15.3 on torch 2.5.1, 0.19.2 on torch 2.15.0. The oracle is what torch's reader gives of the boxes as they are stored.
"""
import argparse, contextlib, inspect, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist


def main():
    a = options(layers=2, sharding="fully_sharded_model_space")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    # CPU only: the library asks for the current device, and whether parameters lie on it, in a few places.
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = lambda *x: None
    kind = torch.Tensor.type
    torch.Tensor.type = lambda self, *x, **k: kind(self, *x, **k) if x or k else kind(self).replace("torch.", "torch.cuda.")
    torch.Tensor.cuda = lambda self, *x, **k: self
    for name in ("tensor", "empty", "zeros"):
        make = getattr(torch, name)
        setattr(torch, name, lambda *x, make=make, **k: make(*x, **(k | {"device": "cpu"} if str(k.get("device", "")).startswith("cuda") else k)))
    from megatron.core import parallel_state as ps, dist_checkpointing as dc
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
    from megatron.core.transformer import TransformerConfig
    import megatron.core.tensor_parallel.random as tpr
    ps.initialize_model_parallel(tensor_model_parallel_size=2)
    tr = tpr.get_cuda_rng_tracker()
    tr.fork = lambda *x, **k: contextlib.nullcontext()
    cfg = TransformerConfig(num_layers=a.layers, hidden_size=a.hidden, ffn_hidden_size=a.ffn, num_attention_heads=4, num_query_groups=2, kv_channels=a.hidden // 4, use_cpu_initialization=True,
                            perform_initialization=False, params_dtype=a.torch_dtype, bf16=True, gated_linear_unit=True, activation_func=torch.nn.functional.silu, pipeline_dtype=a.torch_dtype,
                            tensor_model_parallel_size=2, add_bias_linear=False)
    model = GPTModel(config=cfg, transformer_layer_spec=get_gpt_layer_local_spec(num_experts=None, moe_grouped_gemm=False, qk_layernorm=False), vocab_size=40, max_sequence_length=32,
                     position_embedding_type="rope", share_embeddings_and_output_weights=False).to(a.torch_dtype)
    model = DistributedDataParallel(cfg, DistributedDataParallelConfig(use_distributed_optimizer=True, overlap_grad_reduce=False), model)
    opt = get_megatron_optimizer(OptimizerConfig(optimizer="adam", lr=1e-3, bf16=True, use_distributed_optimizer=True, params_dtype=a.torch_dtype), [model])
    for step in a.steps:
        g = torch.Generator().manual_seed(step * 100 + rank)
        with torch.no_grad():
            for k, p in model.module.named_parameters():
                # The same on all data-parallel ranks, other values on each tensor-parallel one but for what is whole there.
                split = getattr(p, "tensor_model_parallel", False)
                p.copy_(values(f"{k}:{ps.get_tensor_model_parallel_rank() if split else 0}", p.shape, a.seed, step, p.dtype))
        for o in getattr(opt, "chained_optimizers", [opt]):
            o.reload_model_params()
            o._init_optimizer_states_with_dummy_values() if hasattr(o, "_init_optimizer_states_with_dummy_values") else o.init_state_fn(o.optimizer) if o.init_state_fn.__code__.co_argcount == 1 else o.init_state_fn(o.optimizer, o.config)
            for s in o.optimizer.state.values():
                s["step"] = torch.tensor(float(step))
                for n in ("exp_avg", "exp_avg_sq"):
                    if n in s:
                        s[n].copy_(torch.randn(s[n].shape, generator=g).abs())
        meta = {"distrib_optim_sharding_type": a.sharding}
        msd = model.sharded_state_dict() if "metadata" not in inspect.signature(model.module.sharded_state_dict).parameters else model.module.sharded_state_dict(metadata=meta)
        takes = inspect.signature(getattr(opt, "chained_optimizers", [opt])[0].sharded_state_dict).parameters
        kw = {k: v for k, v in {"sharding_type": a.sharding, "metadata": meta}.items() if k in takes}
        state = {"model": msd, "optimizer": opt.sharded_state_dict(msd, **kw), "args": argparse.Namespace(iteration=step, consumed_train_samples=step * 8, seq_length=32), "checkpoint_version": 3.0, "iteration": step}
        where = f"{a.out}/iter_{step:07d}"
        if rank == 0:
            os.makedirs(where, exist_ok=True)
        dist.barrier()
        known = inspect.signature(dc.save).parameters
        dc.save(state, where, **{k: v for k, v in {"content_metadata": {"distrib_optim_sharding_type": a.sharding}, "validate_access_integrity": False}.items() if k in known})
        dist.barrier()
        if rank == 0:
            import torch.distributed.checkpoint as dcp
            reader = dcp.FileSystemReader(where)
            m = reader.read_metadata().state_dict_metadata
            out = {k: torch.full(v.size, 77, dtype=v.properties.dtype) for k, v in m.items() if hasattr(v, "chunks")}
            dcp.load_state_dict(out, reader, no_dist=True)
            oracle(a.out, step, out)
            with open(f"{a.out}/latest_checkpointed_iteration.txt", "w") as f:
                f.write(str(step))
    dist.barrier()
    dist.destroy_process_group()


# The writer starts a process that imports this file again.
if __name__ == "__main__":
    main()
