"""Megatron-core with its own DistributedOptimizer on CPU: TP 2 x DP 2, float32 masters cut over the data-parallel ranks.
torchrun --nproc-per-node 4 make.py --out DIR --sharding fully_sharded_model_space|dp_zero_gather_scatter|fully_sharded_bucket_space|fully_reshardable|dp_reshardable
--stepped 1: weights are their masters, rounded, as a step of the optimizer leaves them; else masters are a step ahead. Then oracle/mean.safetensors is what the library itself writes once masters and moments are means and weights are made of them. --experts N: a mixture of experts in place of each MLP, on two expert-parallel ranks, without TP. --bucket N: buckets of so many elements. --fused 1: no step among the moments, as of fused optimizers.
Tried with megatron-core 0.10.0, 0.12.0 and 0.15.3 on torch 2.5.1, 0.19.2 on torch 2.15.0; --stepped 1 with 0.15.3 (and --fused 1) and 0.19.2 on torch 2.15.0. The oracle is what torch's reader gives of the boxes as they are stored.
"""
import argparse, contextlib, inspect, os, shutil, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist


def main():
    a = options(layers=2, sharding="fully_sharded_model_space", stepped=0, bucket=0, fused=0)
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
    ps.initialize_model_parallel(tensor_model_parallel_size=1 if a.experts else 2, expert_model_parallel_size=2 if a.experts else 1)
    tr = tpr.get_cuda_rng_tracker()
    tr.fork = lambda *x, **k: contextlib.nullcontext()
    cfg = TransformerConfig(num_layers=a.layers, hidden_size=a.hidden, ffn_hidden_size=a.ffn, num_attention_heads=4, num_query_groups=2, kv_channels=a.hidden // 4, use_cpu_initialization=True,
                            perform_initialization=False, params_dtype=a.torch_dtype, bf16=True, gated_linear_unit=True, activation_func=torch.nn.functional.silu, pipeline_dtype=a.torch_dtype,
                            tensor_model_parallel_size=ps.get_tensor_model_parallel_world_size(), add_bias_linear=False,
                            **({"num_moe_experts": a.experts, "moe_router_topk": 2, "moe_ffn_hidden_size": a.ffn, "expert_model_parallel_size": 2, "moe_token_dispatcher_type": "allgather"} if a.experts else {}))
    model = GPTModel(config=cfg, transformer_layer_spec=get_gpt_layer_local_spec(num_experts=a.experts or None, moe_grouped_gemm=False, qk_layernorm=False), vocab_size=40, max_sequence_length=32,
                     position_embedding_type="rope", share_embeddings_and_output_weights=False).to(a.torch_dtype)
    model = DistributedDataParallel(cfg, DistributedDataParallelConfig(use_distributed_optimizer=True, overlap_grad_reduce=a.bucket > 0, bucket_size=a.bucket or None), model)
    opt = get_megatron_optimizer(OptimizerConfig(optimizer="adam", lr=1e-3, bf16=True, use_distributed_optimizer=True, params_dtype=a.torch_dtype), [model])
    optimizers = getattr(opt, "chained_optimizers", [opt])
    # By step, what this rank has of masters and moments.
    kept = {}

    def write(o):
        """Weights from masters, as a step of the optimizer does."""
        for weights, masters in zip(o.model_float16_groups, o.shard_fp32_from_float16_groups):
            for w, p in zip(weights, masters):
                own = o._get_model_param_range_map(w)["param"]
                w.data.view(-1)[own.start:own.end].copy_(p)

    def parts(o):
        return [t for group in o.optimizer.param_groups for p in group["params"] for t in (p.data, o.optimizer.state[p]["exp_avg"], o.optimizer.state[p]["exp_avg_sq"])]

    for step in [*a.steps, "mean"] if a.stepped else a.steps:
        g = None if step == "mean" else torch.Generator().manual_seed(step * 100 + rank)
        with torch.no_grad():
            for k, p in () if step == "mean" else model.module.named_parameters():
                # The same on all data-parallel ranks, other values on each tensor-parallel one but for what is whole there.
                split = getattr(p, "tensor_model_parallel", False)
                p.copy_(values(f"{k}:{ps.get_tensor_model_parallel_rank() if split else 0}", p.shape, a.seed, step, p.dtype))
        for index, o in enumerate(optimizers):
            if step == "mean":
                for of, t in enumerate(parts(o)):
                    acc = sum(kept[s, index][of].double() * (1 / len(a.steps)) for s in a.steps)
                    t.copy_(acc.float())
                write(o)
                continue
            o.reload_model_params()
            o._init_optimizer_states_with_dummy_values() if hasattr(o, "_init_optimizer_states_with_dummy_values") else o.init_state_fn(o.optimizer) if o.init_state_fn.__code__.co_argcount == 1 else o.init_state_fn(o.optimizer, o.config)
            for s in o.optimizer.state.values():
                s["step"] = torch.tensor(float(step))
                for n in ("exp_avg", "exp_avg_sq"):
                    if n in s:
                        s[n].copy_(torch.randn(s[n].shape, generator=g).abs())
            if a.fused:
                of = o._get_main_param_and_optimizer_states
                o._get_main_param_and_optimizer_states = lambda p, of=of: {k: v for k, v in of(p).items() if k != "step"}
            if a.stepped:
                # What rounding takes away, and the same on all ranks that hold a weight.
                o.reload_model_params()
                for group in o.optimizer.param_groups:
                    for p in group["params"]:
                        p.data += p.data * 1e-3 * torch.sin(p.data * 1e4)
                write(o)
                kept[step, index] = [t.clone() for t in parts(o)]
        if a.stepped:
            model.start_param_sync(force_sync=True)
        meta = {"distrib_optim_sharding_type": a.sharding}
        msd = model.sharded_state_dict() if "metadata" not in inspect.signature(model.module.sharded_state_dict).parameters else model.module.sharded_state_dict(metadata=meta)
        takes = inspect.signature(getattr(opt, "chained_optimizers", [opt])[0].sharded_state_dict).parameters
        kw = {k: v for k, v in {"sharding_type": a.sharding, "metadata": meta}.items() if k in takes}
        empty = torch.empty
        if a.stepped:
            # What pads buffers is whatever lay in memory: here what would show most.
            torch.empty = lambda *x, **k: (lambda t: t.fill_(float("nan")) if t.is_floating_point() else t)(empty(*x, **k))
        state = {"model": msd, "optimizer": opt.sharded_state_dict(msd, **kw), "args": argparse.Namespace(iteration=step, consumed_train_samples=8 * a.steps[-1] if step == "mean" else step * 8, seq_length=32), "checkpoint_version": 3.0, "iteration": step}
        torch.empty = empty
        where = f"{a.out}/mean" if step == "mean" else f"{a.out}/iter_{step:07d}"
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
            if step == "mean":
                shutil.rmtree(where)
            else:
                with open(f"{a.out}/latest_checkpointed_iteration.txt", "w") as f:
                    f.write(str(step))
    dist.barrier()
    dist.destroy_process_group()


# The writer starts a process that imports this file again.
if __name__ == "__main__":
    main()
