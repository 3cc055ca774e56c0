"""What becomes of a training that goes on from a merge: the measurements behind docs/resume.md.

    python docs/scripts/resume/train.py --out DIR --merge 'npx merge'       # DIR/results.jsonl
    python docs/scripts/resume/report.py DIR/results.jsonl                  # tables and picture

Needs torch (tried with 2.15.0); half an hour on two cores. For each model and seed: a tiny
decoder is trained with FSDP2 on gloo ranks and AdamW, warmed up and then at a constant rate, and saved with
torch.distributed.checkpoint every so often. The command merges the last checkpoints, once for each choice of
--optimizer. From each merge, and from the newest checkpoint with and without its optimizer, training goes on over
the same batches, at the constant rate and with a rate that falls linearly to 0. What is saved and loaded goes
through dcp.save, dcp.load, get_state_dict and set_state_dict, as trainers do it.

Models: `dense` and `moe` (8 experts, 2 of them for a token) in float32; `masters`, dense with weights in BF16 of
which the optimizer keeps float32 masters; `megatron` and `megatron-moe`, megatron-core's GPTModel in BF16 with its
distributed optimizer (fully_reshardable), saved and loaded by its dist_checkpointing (tried with 0.19.2).
"""
import argparse, json, math, os, shlex, shutil, socket, subprocess, time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F

import megatron_core

VOCABULARY, TOPICS, FOLLOWERS = 64, 12, 4
CONTEXT, SEQUENCES, HELD_OUT = 32, 16, 256
WIDTH, HEADS, LAYERS, HIDDEN = 64, 4, 2, 160
EXPERTS, CHOSEN, EXPERT_HIDDEN = 8, 2, 32
RATE, WARM_UP, RESUME_WARM_UP = 5e-3, 100, 20
BETAS, EPSILON, DECAY = (0.9, 0.95), 1e-8, 0.1
MEASURED = (0, 1, 2, 5, 10, 20, 50, 100, 200)
NORMS = 20


def sequences(count, generator):
    """
    [count, CONTEXT + 1] tokens of a language: each sequence has a topic, which is not said; a token and the topic say
    which few tokens may follow.
    """
    rules = torch.Generator().manual_seed(1)
    followers = torch.randint(VOCABULARY, (TOPICS, VOCABULARY, FOLLOWERS), generator=rules)
    odds = torch.softmax(1.5 * torch.randn(TOPICS, VOCABULARY, FOLLOWERS, generator=rules), -1).cumsum(-1)
    topic = torch.randint(TOPICS, (count,), generator=generator)
    x = torch.randint(VOCABULARY, (count, CONTEXT + 1), generator=generator)
    for t in range(1, CONTEXT + 1):
        before = x[:, t - 1]
        which = (torch.rand(count, 1, generator=generator) > odds[topic, before]).sum(-1).clamp(max=FOLLOWERS - 1)
        follows = followers[topic, before, which]
        x[:, t] = torch.where(torch.rand(count, generator=generator) < 0.95, follows, x[:, t])
    return x


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.wqkv, self.wo = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.wqkv(x).chunk(3, -1))
        return self.wo(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.w13, self.w2 = nn.Linear(WIDTH, 2 * HIDDEN, bias=False), nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x):
        gate, up = self.w13(x).chunk(2, -1)
        return self.w2(F.silu(gate) * up), 0.0


class Experts(nn.Module):
    """Every expert sees every token, which is quick at this size; those not chosen count for nothing."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.w13 = nn.Parameter(torch.randn(EXPERTS, WIDTH, 2 * EXPERT_HIDDEN) / WIDTH**0.5)
        self.w2 = nn.Parameter(torch.randn(EXPERTS, EXPERT_HIDDEN, WIDTH) / EXPERT_HIDDEN**0.5)

    def forward(self, x):
        flat = x.flatten(0, 1)
        odds = self.router(flat).softmax(-1)
        best, chosen = odds.topk(CHOSEN, -1)
        gates = torch.zeros_like(odds).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
        gate, up = (flat @ self.w13).chunk(2, -1)
        out = ((F.silu(gate) * up * gates.T.unsqueeze(-1)) @ self.w2).sum(0)
        balance = EXPERTS * ((gates > 0).float().mean(0) / CHOSEN * odds.mean(0)).sum()
        return out.view_as(x), 0.01 * balance


class Block(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.attention, self.feed_forward = Attention(), Experts() if experts else FeedForward()

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        more, extra = self.feed_forward(self.ffn_norm(x))
        return x + more, extra


class Decoder(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList([Block(experts) for _ in range(LAYERS)])
        self.norm = nn.RMSNorm(WIDTH)
        self.output = nn.Linear(WIDTH, VOCABULARY, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.5), nn.init.normal_(self.places.weight, std=0.1)

    def forward(self, x):
        """The loss of the last tokens of [sequences, CONTEXT + 1], and what is added to it in training."""
        h, extra = self.tokens(x[:, :-1]) + self.places.weight, 0.0
        for layer in self.layers:
            h, more = layer(h)
            extra = extra + more
        return F.cross_entropy(self.output(self.norm(h)).float().flatten(0, 1), x[:, 1:].flatten()), extra


class MasterAdamW(torch.optim.AdamW):
    """AdamW on float32 masters, which the weights are rounded from after each step."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                s = self.state[p]
                if not s:
                    s["step"] = torch.zeros(())
                    s["master_param"] = p.detach().float().clone()
                    s["exp_avg"], s["exp_avg_sq"] = (torch.zeros_like(s["master_param"]) for _ in range(2))
                weight, g, master, m, v = (t.to_local() for t in (p, p.grad, s["master_param"], s["exp_avg"], s["exp_avg_sq"]))
                s["step"] += 1
                (b1, b2), t, rate = group["betas"], float(s["step"]), float(group["lr"])
                m.lerp_(g.float(), 1 - b1)
                v.mul_(b2).addcmul_(g.float(), g.float(), value=1 - b2)
                master.mul_(1 - rate * group["weight_decay"])
                master.addcdiv_(m, (v / (1 - b2**t)).sqrt_().add_(group["eps"]), value=-rate / (1 - b1**t))
                weight.copy_(master)

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        # torch gives what it loads the dtype of the weight.
        packed = [k for group in state_dict["param_groups"] for k in group["params"]]
        own = [p for group in self.param_groups for p in group["params"]]
        for k, p in zip(packed, own):
            self.state[p].update({n: v.detach().clone() for n, v in state_dict["state"][k].items() if n != "step"})


class Training(Stateful):
    """One model with its optimizer, on every rank the parts that are its own."""

    def __init__(self, kind, seed, mesh):
        torch.manual_seed(seed)
        self.kind, self.step = kind, 0
        self.model = Decoder(kind == "moe").to(torch.bfloat16 if kind == "masters" else torch.float32)
        fully_shard(self.model, mesh=mesh)
        optimizer, how = (MasterAdamW, {}) if kind == "masters" else (torch.optim.AdamW, {"fused": True})
        self.optimizer = optimizer(self.model.parameters(), lr=RATE, betas=BETAS, eps=EPSILON, weight_decay=DECAY, **how)

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optim": optimizer, "step": self.step}

    def load_state_dict(self, state):
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
        self.step = state["step"]

    def save_to(self, path):
        dcp.save({"app": self}, checkpoint_id=str(path))

    def load_from(self, path):
        dcp.load({"app": self}, checkpoint_id=str(path))

    def loss(self, batch):
        return self.model(batch)[0]

    def update(self, batch, rate):
        """One step of training; the loss of this rank's part of the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, extra = self.model(batch)
        (loss + extra).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.detach()

    def weights(self):
        """Copies of this rank's parts, the masters' where there are some."""
        own = [p for group in self.optimizer.param_groups for p in group["params"]]
        return [self.optimizer.state[p].get("master_param", p).to_local().detach().float().clone() for p in own]


class MegatronTraining(megatron_core.Training):
    """The same with megatron-core."""

    SIZES = dict(num_layers=LAYERS, hidden_size=WIDTH, ffn_hidden_size=HIDDEN, num_attention_heads=HEADS)
    EXPERTS = dict(num_moe_experts=EXPERTS, moe_router_topk=CHOSEN, moe_ffn_hidden_size=EXPERT_HIDDEN, moe_aux_loss_coeff=0.01)

    def __init__(self, seed, experts):
        torch.manual_seed(seed)
        adam = dict(adam_beta1=BETAS[0], adam_beta2=BETAS[1], adam_eps=EPSILON, weight_decay=DECAY)
        super().__init__(self.SIZES | (self.EXPERTS if experts else {}), VOCABULARY, CONTEXT, RATE, **adam)

    @property
    def step(self):
        return self.now

    def update(self, batch, rate):
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return self.update_with(batch)

    def weights(self):
        return self.masters()


def training_of(kind, seed, mesh):
    if kind.startswith("megatron"):
        return MegatronTraining(seed, kind == "megatron-moe")
    return Training(kind, seed, mesh)


def mean(values):
    """Of all ranks, for a list of tensors of one number each."""
    all_ = torch.stack([v.float() for v in values])
    dist.all_reduce(all_)
    return (all_ / dist.get_world_size()).tolist()


def held_out(training, data):
    with torch.no_grad():
        return mean([training.loss(data)])[0]


def go_on(training, checkpoint, every, data, rate_of, steps):
    """
    Loads a checkpoint and trains: losses of the held-out data after some steps, losses of batches before their
    updates, and how long the first updates are.
    """
    training.load_from(str(checkpoint))
    start = training.step
    found, losses, lengths = {0: held_out(training, data)}, [], []
    for k in range(1, steps + 1):
        before = training.weights() if k <= NORMS else None
        losses.append(training.update(every[start + k - 1], rate_of(k)))
        if before is not None:
            lengths.append(sum(((a - b) ** 2).sum() for a, b in zip(training.weights(), before)))
        if k in MEASURED or k == steps:
            found[k] = held_out(training, data)
    world, batches = dist.get_world_size(), [round(v, 4) for v in mean(losses)]
    return {
        "held_out": {k: round(v, 5) for k, v in found.items()},
        "batches": batches[:NORMS],
        "last_batches": round(sum(batches[-NORMS:]) / NORMS, 4),
        "updates": [round(math.sqrt(v * world), 5) for v in mean(lengths)],
    }


def merge(command, members, out, optimizer):
    """With the command, on the first rank; the others wait."""
    if dist.get_rank() == 0:
        words = [*shlex.split(command), "average", *map(str, members), "-o", str(out), "--quiet"]
        words += ["--format", "dcp", "--for", "resume", "--optimizer", optimizer]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(words)}\n{done.stdout}{done.stderr}")
    dist.barrier()


def one(a, kind, seed, mesh):
    """A training, the merges of its last checkpoints, and all that goes on from them."""
    began, rank, world = time.time(), dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(1000 + seed)
    every = sequences((a.steps + a.more) * SEQUENCES, generator).view(-1, SEQUENCES, CONTEXT + 1)[:, rank::world]
    data = sequences(HELD_OUT, torch.Generator().manual_seed(2))[rank::world]
    folder = Path(a.out) / f"{kind}-{seed}"
    if rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
    dist.barrier()

    training = training_of(kind, seed, mesh)
    saved = [a.steps - i * a.every for i in reversed(range(a.members))]
    name = (lambda step: f"iter_{step:07d}") if kind.startswith("megatron") else (lambda step: f"step-{step}")
    members = [folder / name(s) for s in saved]
    curve = {}
    for step in range(1, a.steps + 1):
        training.update(every[step - 1], RATE * min(1, step / WARM_UP))
        if step % 100 == 0:
            curve[step] = round(held_out(training, data), 4)
        if step in saved:
            training.save_to(str(folder / name(step)))
    trained = time.time()

    starts = {("newest", "newest"): members[-1]}
    for weights, optimizer in [("newest", "drop"), ("merged", "drop"), ("merged", "newest"), ("merged", "average")]:
        out = folder / f"{weights}-{optimizer}"
        merge(a.merge, members if weights == "merged" else members[-1:], out, optimizer)
        starts[weights, optimizer] = out

    arms = []
    for (weights, optimizer), checkpoint in starts.items():
        for warm_up in [0, RESUME_WARM_UP] if optimizer == "drop" else [0]:
            for rate in ["constant", "decay"]:
                def rate_of(k):
                    ramp = min(1, k / warm_up) if warm_up else 1
                    return RATE * min(ramp, (a.more - k + 1) / a.more if rate == "decay" else 1)
                again = training_of(kind, seed + 1000, mesh)
                result = go_on(again, checkpoint, every, data, rate_of, a.more)
                arms.append({"weights": weights, "optimizer": optimizer + (" with warm-up" if warm_up else ""), "rate": rate, **result})
    if rank == 0:
        line = {
            "model": kind, "seed": seed, "steps": a.steps, "more": a.more, "members": saved, "rate": RATE, "torch": torch.__version__,
            **({"megatron": megatron_core.version()} if kind.startswith("megatron") else {}),
            "seconds": [round(trained - began), round(time.time() - trained)], "curve": curve, "arms": arms,
        }
        with open(Path(a.out) / "results.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")
        print(kind, seed, line["seconds"], flush=True)
        if not a.keep:
            shutil.rmtree(folder)


def worker(rank, a, port):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(a.ranks))
    dist.init_process_group("gloo", rank=rank, world_size=a.ranks)
    if any(kind.startswith("megatron") for kind in a.models):
        megatron_core.prepare()
    mesh = init_device_mesh("cpu", (a.ranks,))
    results = Path(a.out) / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    dist.barrier()
    for seed in a.seeds:
        for kind in a.models:
            if not any(d["model"] == kind and d["seed"] == seed for d in done):
                one(a, kind, seed, mesh)
    dist.barrier()
    dist.destroy_process_group()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", required=True, help="folder of checkpoints and results; what is in results.jsonl is not done again")
    p.add_argument("--merge", default="npx merge", help="the command")
    p.add_argument("--models", type=lambda s: s.split(","), default=["dense", "moe"], help="dense,moe,masters,megatron,megatron-moe")
    p.add_argument("--seeds", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2, 3, 4, 5])
    p.add_argument("--ranks", type=int, default=2)
    p.add_argument("--steps", type=int, default=900, help="before the merge")
    p.add_argument("--more", type=int, default=220, help="after it")
    p.add_argument("--members", type=int, default=8)
    p.add_argument("--every", type=int, default=20, help="steps between members")
    p.add_argument("--keep", action="store_true", help="leave the checkpoints")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    mp.spawn(worker, (a, port), nprocs=a.ranks)


if __name__ == "__main__":
    main()
