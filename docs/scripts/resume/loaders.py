"""Trainers' own checkpoint managers on what `merge average --format dcp --for resume` wrote.

    torchrun --nproc-per-node 2 docs/scripts/resume/loaders.py --trainer torchtitan --out DIR --merge 'npx merge'

--trainer torchtitan, olmo-core or megatron. A tiny model is trained on CPU and gloo with the trainer's optimizer, and
saved at three steps by the trainer. The command merges the three, once for each choice of --optimizer. Each merge is
loaded by the trainer into another model and optimizer; then it goes on. Prints a line of JSON for each start: losses of
one held-out batch before the first step and after each of the next ten, and how far off what was loaded is: weights
from the mean of the three, moments from what the choice says.

Tried with torchtitan 0.3.0, ai2-olmo-core 3.0.0 and megatron-core 0.19.2 (its distributed optimizer, written as
fully_reshardable and as dp_reshardable) on torch 2.15.0.
"""
import argparse, contextlib, json, os, shlex, shutil, subprocess, sys, warnings

warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

VOCABULARY, CONTEXT, RATE = 40, 24, 1e-2
SAVED, MORE = [260, 280, 300], 10
# Ranks that share one batch.
PARALLEL = 1


def batch(step):
    """[8, CONTEXT + 1] tokens of this rank; each follows from the one before it by a rule, with noise."""
    g = torch.Generator().manual_seed(10_000 + step)
    x = torch.randint(VOCABULARY, (8 * dist.get_world_size(), CONTEXT + 1), generator=g)
    for t in range(1, CONTEXT + 1):
        x[:, t] = torch.where(torch.rand(len(x), generator=g) < 0.8, (x[:, t - 1] * 7 + 3) % VOCABULARY, x[:, t])
    world = dist.get_world_size() // PARALLEL
    return x[dist.get_rank() // PARALLEL :: world]


def whole(tensor):
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().float().clone()


class Torchtitan:
    """Its CheckpointManager, OptimizersContainer and LRSchedulersContainer; a model of torch under FSDP2."""

    def __init__(self, out):
        from torch import nn
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torchtitan.components.checkpoint import CheckpointManager
        from torchtitan.components.optimizer import OptimizersContainer, default_adamw
        from torchtitan.components.optimizer import LRSchedulersContainer

        layers = [nn.Embedding(VOCABULARY, 32), nn.RMSNorm(32), nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, VOCABULARY, bias=False)]
        self.model = nn.Sequential(*layers)
        fully_shard(self.model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
        config = default_adamw(lr=RATE)
        config.implementation = "for-loop"
        self.optimizer = OptimizersContainer(config, model_parts=[self.model])
        schedule = LRSchedulersContainer.Config(warmup_steps=5).build(optimizers=self.optimizer, training_steps=1000)
        self.schedule, self.now = schedule, 0

        class State:
            def state_dict(_):
                return {"step": torch.tensor(self.now, dtype=torch.int32)}

            def load_state_dict(_, state):
                self.now = int(state["step"])

        class Data:
            def state_dict(_):
                return {f"dp_rank_{dist.get_rank()}": b"\x80\x04N."}

            def load_state_dict(_, state):
                pass

        config = CheckpointManager.Config(enable=True, folder="checkpoint", interval=1, keep_latest_k=0, initial_load_model_only=False)
        self.manager = CheckpointManager(
            config, dataloader=Data(), model_parts=[self.model], optimizers=self.optimizer, lr_schedulers=schedule,
            states={"train_state": State()}, sd_adapter=None, base_folder=out,
        )

    @staticmethod
    def path(out, step):
        return f"{out}/checkpoint/step-{step}"

    def save(self):
        self.manager.save(self.now, last_step=False)

    def load(self, step):
        assert self.manager.load(step)

    def loss(self, x):
        return F.cross_entropy(self.model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    def update(self, x):
        self.loss(x).backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.now += 1

    def weights(self):
        return {k: whole(v) for k, v in self.model.state_dict().items()}

    def moments(self):
        return [(whole(s["exp_avg"]), whole(s["exp_avg_sq"]), float(s["step"])) for o in self.optimizer for s in o.state.values()]


class OlmoCore:
    """Its transformer, train module, AdamW and Checkpointer."""

    def __init__(self, out):
        from olmo_core.config import DType
        from olmo_core.distributed import parallel
        from olmo_core.distributed.parallel import DataParallelType
        from olmo_core.nn.transformer import TransformerConfig
        from olmo_core.optim import AdamWConfig
        from olmo_core.train.checkpoint import Checkpointer
        from olmo_core.train.train_module.transformer import TransformerDataParallelConfig, TransformerTrainModule

        parallel._WORLD_MESH = None  # It builds one mesh a process, and here are several trainings.
        model = TransformerConfig.llama_like(
            vocab_size=VOCABULARY, d_model=32, n_layers=1, n_heads=4, hidden_size_multiple_of=8, qk_norm=True, dtype=DType.float32
        ).build(init_device="cpu")
        self.module = TransformerTrainModule(
            model, AdamWConfig(lr=RATE, betas=(0.9, 0.95)), rank_microbatch_size=CONTEXT, max_sequence_length=CONTEXT,
            device=torch.device("cpu"), dp_config=TransformerDataParallelConfig(name=DataParallelType.fsdp),
        )
        self.out, self.now, self.checkpointer = out, 0, Checkpointer(work_dir=f"{out}/.work")

    @staticmethod
    def path(out, step):
        return f"{out}/step{step}"

    def save(self):
        state = {"global_step": self.now, "global_train_tokens_seen": self.now * 4096}
        self.checkpointer.save(self.path(self.out, self.now), self.module, state)

    def load(self, step):
        where = self.path(self.out, step)
        self.now = self.checkpointer.load(where, self.module, load_trainer_state=True, load_optim_state=True)["global_step"]

    def loss(self, x):
        return F.cross_entropy(self.module.model(x[:, :-1]).float().flatten(0, 1), x[:, 1:].flatten())

    def update(self, x):
        self.loss(x).backward()
        self.module.optim.step()
        self.module.optim.zero_grad()
        self.now += 1

    def weights(self):
        return {k: whole(v) for k, v in self.module.model.state_dict().items()}

    def moments(self):
        return [(whole(s["exp_avg"]), whole(s["exp_avg_sq"]), float(s["step"])) for s in self.module.optim.state.values()]


class Megatron:
    """GPTModel in BF16, DistributedOptimizer with float32 masters cut over the ranks, dist_checkpointing."""

    def __init__(self, out):
        from megatron.core import dist_checkpointing, parallel_state
        from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
        from megatron.core.models.gpt import GPTModel
        from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
        from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
        from megatron.core.transformer import TransformerConfig
        import megatron.core.tensor_parallel.random as random

        if not parallel_state.model_parallel_is_initialized():
            parallel_state.initialize_model_parallel(tensor_model_parallel_size=PARALLEL)
            random.get_cuda_rng_tracker().fork = lambda *x, **k: contextlib.nullcontext()
        config = TransformerConfig(
            num_layers=2, hidden_size=32, ffn_hidden_size=64, num_attention_heads=4, gated_linear_unit=True, activation_func=F.silu,
            params_dtype=torch.bfloat16, bf16=True, pipeline_dtype=torch.bfloat16, add_bias_linear=False, hidden_dropout=0.0,
            attention_dropout=0.0, masked_softmax_fusion=False, gradient_accumulation_fusion=False, use_cpu_initialization=True,
            tensor_model_parallel_size=PARALLEL,
        )
        model = GPTModel(
            config=config, transformer_layer_spec=get_gpt_layer_local_spec(), vocab_size=VOCABULARY, max_sequence_length=CONTEXT,
            position_embedding_type="rope", share_embeddings_and_output_weights=False, parallel_output=False,
        ).to(torch.bfloat16)
        parallel = DistributedDataParallelConfig(use_distributed_optimizer=True, overlap_grad_reduce=False)
        self.model = DistributedDataParallel(config, parallel, model)
        settings = OptimizerConfig(
            optimizer="adam", lr=RATE, adam_beta2=0.95, clip_grad=0.0, use_distributed_optimizer=True,
            bf16=True, params_dtype=torch.bfloat16,
        )
        self.optimizer = get_megatron_optimizer(settings, [self.model])
        self.out, self.now, self.checkpointing = out, 0, dist_checkpointing

    @staticmethod
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

    @staticmethod
    def path(out, step):
        return f"{out}/iter_{step:07d}"

    META = {"distrib_optim_sharding_type": "fully_reshardable"}

    def state(self, loading):
        # The library writes into what it is given.
        model = self.model.module.sharded_state_dict(metadata=dict(self.META))
        return {
            "model": model, "optimizer": self.optimizer.sharded_state_dict(model, is_loading=loading, metadata=dict(self.META)),
            "args": argparse.Namespace(iteration=self.now, consumed_train_samples=self.now * 16, seq_length=CONTEXT),
            "checkpoint_version": 3.0, "iteration": self.now,
        }

    def save(self):
        where = self.path(self.out, self.now)
        if dist.get_rank() == 0:
            os.makedirs(where, exist_ok=True)
        dist.barrier()
        self.checkpointing.save(self.state(False), where, content_metadata=dict(self.META), validate_access_integrity=False)
        dist.barrier()

    def load(self, step):
        for o in getattr(self.optimizer, "chained_optimizers", [self.optimizer]):
            # With torch's Adam (neither TransformerEngine nor Apex runs on CPU) it loads into state that is there,
            # and 0.19.2 looks for the step among what it read of each weight, though the groups have set it.
            o._init_optimizer_states_with_dummy_values()
            into = o._set_main_param_and_optimizer_states
            o._set_main_param_and_optimizer_states = lambda weight, tensors, into=into: into(weight, {"step": None} | tensors)
        loaded = self.checkpointing.load(self.state(True), self.path(self.out, step), validate_access_integrity=False)
        self.model.module.load_state_dict(loaded["model"])
        self.optimizer.load_state_dict(loaded["optimizer"])
        self.now = loaded["iteration"]

    def loss(self, x):
        places = torch.arange(CONTEXT).expand(len(x), -1)
        mask = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).triu(1)[None, None]
        logits = self.model(x[:, :-1], places, mask)
        return F.cross_entropy(logits.float().flatten(0, 1), x[:, 1:].flatten())

    def update(self, x):
        self.model.zero_grad_buffer()
        self.optimizer.zero_grad()
        self.loss(x).backward()
        self.model.finish_grad_sync()
        self.optimizer.step()
        self.now += 1

    def weights(self):
        return {k: whole(v) for k, v in self.model.module.named_parameters()}

    def inner(self):
        return [o.optimizer for o in getattr(self.optimizer, "chained_optimizers", [self.optimizer])]

    def moments(self):
        def step(o, s):
            return float(s["step"] if "step" in s else o.param_groups[0]["step"])
        return [(whole(s["exp_avg"]), whole(s["exp_avg_sq"]), step(o, s)) for o in self.inner() for s in o.state.values()]

    def masters(self):
        """This rank's parts."""
        return [whole(p) for o in self.inner() for group in o.param_groups for p in group["params"]]

    def from_masters(self):
        """The weights, written anew from the masters as each step does."""
        for o in getattr(self.optimizer, "chained_optimizers", [self.optimizer]):
            o._copy_main_params_to_model_params()
        self.model.start_param_sync(force_sync=True)
        return self.weights()


def held_out(trainer):
    with torch.no_grad():
        loss = trainer.loss(batch(0)).float()
    dist.all_reduce(loss)
    return round(float(loss) / dist.get_world_size(), 4)


def largest(a, b):
    """Largest difference over all ranks."""
    most = torch.tensor(max(float((x - y).abs().max()) if x.numel() else 0.0 for x, y in zip(a, b, strict=True)))
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return float(most)


def go_on(kind, out, step):
    trainer = kind(out)
    trainer.load(step)
    losses = [held_out(trainer)]
    first = trainer.now
    weights, moments = trainer.weights(), trainer.moments()
    for k in range(MORE):
        trainer.update(batch(first + k + 1))
        losses.append(held_out(trainer))
    return trainer, first, weights, moments, losses


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--trainer", choices=["torchtitan", "olmo-core", "megatron"], required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--merge", default="npx merge")
    p.add_argument("--sharding", choices=["fully_reshardable", "dp_reshardable"], default="fully_reshardable")
    p.add_argument("--tensor-parallel", type=int, default=1)
    a = p.parse_args()
    global PARALLEL
    PARALLEL, Megatron.META["distrib_optim_sharding_type"] = a.tensor_parallel, a.sharding
    kind = {"torchtitan": Torchtitan, "olmo-core": OlmoCore, "megatron": Megatron}[a.trainer]
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    if kind is Megatron:
        kind.prepare()
    run, rank = f"{a.out}/run", dist.get_rank()
    torch.manual_seed(0)
    trainer, kept = kind(run), {}
    for step in range(1, max(SAVED) + 1):
        trainer.update(batch(step))
        if step in SAVED:
            trainer.save()
            kept[step] = (trainer.weights(), trainer.moments(), trainer.masters() if kind is Megatron else [])
    mean = {k: sum(kept[s][0][k].double() for s in SAVED) / len(SAVED) for k in kept[SAVED[0]][0]}
    masters = [sum(x.double() for x in parts) / len(SAVED) for parts in zip(*(kept[s][2] for s in SAVED))]

    own, newest = go_on(kind, run, max(SAVED)), kept[max(SAVED)]
    if rank == 0:
        print(json.dumps({"trainer": a.trainer, "from": f"step {max(SAVED)}", "loss": own[4]}), flush=True)
    for optimizer in ("newest", "average") if a.sharding == "dp_reshardable" else ("newest", "average", "drop"):
        where = f"{a.out}/{optimizer}"
        if rank == 0:
            os.makedirs(os.path.dirname(kind.path(where, 0)), exist_ok=True)
            command = [*shlex.split(a.merge), "average", *(kind.path(run, s) for s in SAVED), "-o", kind.path(where, max(SAVED))]
            command += ["--format", "dcp", "--for", "resume", "--optimizer", optimizer, "--force", "--quiet"]
            done = subprocess.run(command, capture_output=True, text=True)
            print(done.stdout + done.stderr, end="", file=sys.stderr, flush=True)
        dist.barrier()
        torch.manual_seed(1)
        _, first, weights, moments, losses = go_on(kind, where, max(SAVED))
        again = kind(where)
        again.load(max(SAVED))
        expected = {
            "newest": lambda n, of: newest[1][n][of],
            "drop": lambda n, of: torch.zeros_like(newest[1][n][of]),
            "average": lambda n, of: sum(kept[s][1][n][of].double() for s in SAVED) / len(SAVED),
        }[optimizer]
        off = largest([m[of] for m in moments for of in (0, 1)], [expected(n, of) for n in range(len(moments)) for of in (0, 1)])
        found = {
            "trainer": a.trainer, "from": f"mean of {SAVED}, --optimizer {optimizer}", "loss": losses, "step of the trainer": first,
            "steps of the optimizer": sorted({m[2] for m in moments}), "moments off by": off,
            "weights off by": largest([weights[k] for k in mean], list(mean.values())),
        }
        if masters:
            found["masters off by"] = largest(again.masters(), masters)
            found["weights off their masters by"] = largest(weights.values(), again.from_masters().values())
        if rank == 0:
            print(json.dumps(found), flush=True)
    dist.barrier()
    dist.destroy_process_group()


# Megatron's writer starts a process that imports this file again.
if __name__ == "__main__":
    main()
