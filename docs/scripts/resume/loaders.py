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
import argparse, json, os, shlex, subprocess, sys, warnings

warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

import megatron_core

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


class Megatron(megatron_core.Training):
    """GPTModel in BF16, DistributedOptimizer with float32 masters cut over the ranks, dist_checkpointing."""

    SIZES = dict(num_layers=2, hidden_size=32, ffn_hidden_size=64, num_attention_heads=4)

    def __init__(self, out):
        super().__init__(self.SIZES, VOCABULARY, CONTEXT, RATE, tensor_parallel=PARALLEL)
        self.out = out

    @staticmethod
    def path(out, step):
        return f"{out}/iter_{step:07d}"

    def save(self):
        self.save_to(self.path(self.out, self.now))

    def load(self, step):
        self.load_from(self.path(self.out, step))

    def update(self, x):
        self.update_with(x)

    def weights(self):
        return {k: whole(v) for k, v in self.model.module.named_parameters()}

    def moments(self):
        def step(o, s):
            return float(s["step"] if "step" in s else o.param_groups[0]["step"])
        return [(whole(s["exp_avg"]), whole(s["exp_avg_sq"]), step(o, s)) for o in self.inner() for s in o.state.values()]

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
    PARALLEL, megatron_core.META["distrib_optim_sharding_type"] = a.tensor_parallel, a.sharding
    kind = {"torchtitan": Torchtitan, "olmo-core": OlmoCore, "megatron": Megatron}[a.trainer]
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    if kind is Megatron:
        megatron_core.prepare()
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
