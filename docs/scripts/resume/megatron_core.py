"""A training with megatron-core on CPU and gloo, as loaders.py and train.py have it.

megatron-core is imported when it is used: torch is enough for the other trainers.
"""
import argparse, contextlib, os

import torch
import torch.distributed as dist
from torch.nn import functional as F

META = {"distrib_optim_sharding_type": "fully_reshardable"}


def prepare():
    """CPU only: here and there the library asks for the device, and whether parameters lie on it."""
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = torch.cuda.current_stream = lambda *x: None
    kind = torch.Tensor.type
    torch.Tensor.type = lambda self, *x, **k: kind(self, *x, **k) if x or k else kind(self).replace("torch.", "torch.cuda.")
    torch.Tensor.cuda = lambda self, *x, **k: self
    for name in ("tensor", "empty", "zeros"):
        make = getattr(torch, name)
        on_cpu = lambda *x, make=make, **k: make(*x, **(k | {"device": "cpu"} if str(k.get("device", "")).startswith("cuda") else k))
        setattr(torch, name, on_cpu)


def version():
    import megatron.core

    return megatron.core.__version__


class Training:
    """GPTModel in BF16, DistributedOptimizer with float32 masters cut over the ranks, dist_checkpointing."""

    def __init__(self, sizes, vocabulary, context, rate, tensor_parallel=1, **adam):
        from megatron.core import dist_checkpointing, parallel_state
        from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
        from megatron.core.models.gpt import GPTModel
        from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
        from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
        from megatron.core.transformer import TransformerConfig
        import megatron.core.tensor_parallel.random as random

        if not parallel_state.model_parallel_is_initialized():
            parallel_state.initialize_model_parallel(tensor_model_parallel_size=tensor_parallel)
            random.get_cuda_rng_tracker().fork = lambda *x, **k: contextlib.nullcontext()
        config = TransformerConfig(
            **sizes, gated_linear_unit=True, activation_func=F.silu, params_dtype=torch.bfloat16, bf16=True,
            pipeline_dtype=torch.bfloat16, add_bias_linear=False, hidden_dropout=0.0, attention_dropout=0.0,
            masked_softmax_fusion=False, gradient_accumulation_fusion=False, use_cpu_initialization=True,
            tensor_model_parallel_size=tensor_parallel,
        )
        model = GPTModel(
            config=config, transformer_layer_spec=get_gpt_layer_local_spec(sizes.get("num_moe_experts")), vocab_size=vocabulary, max_sequence_length=context,
            position_embedding_type="rope", share_embeddings_and_output_weights=False, parallel_output=False,
        ).to(torch.bfloat16)
        parallel = DistributedDataParallelConfig(use_distributed_optimizer=True, overlap_grad_reduce=False)
        self.model = DistributedDataParallel(config, parallel, model)
        settings = OptimizerConfig(
            optimizer="adam", lr=rate, clip_grad=0.0, use_distributed_optimizer=True, bf16=True, params_dtype=torch.bfloat16,
            **({"adam_beta2": 0.95} | adam),
        )
        self.optimizer = get_megatron_optimizer(settings, [self.model])
        self.context, self.now, self.checkpointing = context, 0, dist_checkpointing

    def state(self, loading):
        # The library writes into what it is given.
        model = self.model.module.sharded_state_dict(metadata=dict(META))
        return {
            "model": model, "optimizer": self.optimizer.sharded_state_dict(model, is_loading=loading, metadata=dict(META)),
            "args": argparse.Namespace(iteration=self.now, consumed_train_samples=self.now * 16, seq_length=self.context),
            "checkpoint_version": 3.0, "iteration": self.now,
        }

    def save_to(self, where):
        if dist.get_rank() == 0:
            os.makedirs(where, exist_ok=True)
        dist.barrier()
        self.checkpointing.save(self.state(False), where, content_metadata=dict(META), validate_access_integrity=False)
        dist.barrier()

    def load_from(self, where):
        for o in getattr(self.optimizer, "chained_optimizers", [self.optimizer]):
            # With torch's Adam (neither TransformerEngine nor Apex runs on CPU) it loads into state that is there,
            # and 0.19.2 looks for the step among what it read of each weight, though the groups have set it.
            o._init_optimizer_states_with_dummy_values()
            into = o._set_main_param_and_optimizer_states
            o._set_main_param_and_optimizer_states = lambda weight, tensors, into=into: into(weight, {"step": None} | tensors)
        loaded = self.checkpointing.load(self.state(True), where, validate_access_integrity=False)
        self.model.module.load_state_dict(loaded["model"])
        self.optimizer.load_state_dict(loaded["optimizer"])
        # It hands all weights one tensor for the step, which torch's Adam then counts up once for each of them; of
        # dp_reshardable, none.
        for o in self.inner():
            for group in o.param_groups:
                for weight in group["params"]:
                    o.state[weight]["step"] = torch.tensor(float(group["step"]))
        self.now = loaded["iteration"]

    def loss(self, x):
        places = torch.arange(self.context).expand(len(x), -1)
        mask = torch.ones(self.context, self.context, dtype=torch.bool).triu(1)[None, None]
        logits = self.model(x[:, :-1], places, mask)
        return F.cross_entropy(logits.float().flatten(0, 1), x[:, 1:].flatten())

    def update_with(self, x):
        """One step of training; the loss of this rank's part of the batch."""
        self.model.zero_grad_buffer()
        self.optimizer.zero_grad()
        loss = self.loss(x)
        loss.backward()
        self.model.finish_grad_sync()
        self.optimizer.step()
        self.now += 1
        return loss.detach()

    def inner(self):
        return [o.optimizer for o in getattr(self.optimizer, "chained_optimizers", [self.optimizer])]

    def masters(self):
        """Copies of this rank's parts."""
        return [p.detach().float().clone() for o in self.inner() for group in o.param_groups for p in group["params"]]
