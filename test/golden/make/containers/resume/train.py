"""A tiny training with FSDP2 and AdamW on gloo that saves with torch.distributed.checkpoint, and goes on from what it saved, or from a merge of it.
torchrun --nproc-per-node 2 train.py --out DIR [--steps 40,60,80] [--load DIR/60 --until 90]
Every step has its own batch, whatever was loaded: losses of several starts are of the same data. Tried with torch 2.15.0.
"""
import argparse, json, os
import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

p = argparse.ArgumentParser()
p.add_argument("--out")
p.add_argument("--steps", default="40,60,80")
p.add_argument("--load")
p.add_argument("--until", type=int, default=0)
p.add_argument("--dtype", default="bfloat16")
p.add_argument("--lr", type=float, default=3e-3)
a = p.parse_args()
dist.init_process_group("gloo")
W, rank = dist.get_world_size(), dist.get_rank()
V, H, T = 29, 16, 12


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(V, H)
        self.layers = nn.ModuleList([nn.Sequential(nn.RMSNorm(H), nn.Linear(H, 2 * H, bias=False), nn.SiLU(), nn.Linear(2 * H, H)) for _ in range(2)])
        self.norm = nn.RMSNorm(H)
        self.output = nn.Linear(H, V, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.output(self.norm(x))


def batch(step):
    """Each token follows from the one before it by a rule, with some noise."""
    g = torch.Generator().manual_seed(10_000 + step)
    x = torch.randint(0, V, (16 * W, T), generator=g)
    for t in range(1, T):
        follow = (x[:, t - 1] * 7 + 3) % V
        x[:, t] = torch.where(torch.rand(16 * W, generator=g) < 0.8, follow, x[:, t])
    mine = x[rank::W]
    return mine[:, :-1], mine[:, 1:]


torch.manual_seed(0)
model = Tiny().to(getattr(torch, a.dtype))
mesh = init_device_mesh("cpu", (W,))
for layer in model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
opt = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.1, eps=1e-6)


class State(dcp.stateful.Stateful):
    step = 0

    def state_dict(self):
        sd, od = get_state_dict(model, opt)
        return {"model": sd, "optim": od, "step": self.step}

    def load_state_dict(self, state):
        set_state_dict(model, opt, model_state_dict=state["model"], optim_state_dict=state["optim"])
        self.step = state["step"]


state = State()
if a.load:
    dcp.load({"app": state}, checkpoint_id=a.load)
saves = [int(s) for s in a.steps.split(",")]
losses, norms = [], []
for step in range(state.step + 1, (a.until or max(saves)) + 1):
    x, y = batch(step)
    loss = nn.functional.cross_entropy(model(x).float().flatten(0, 1), y.flatten())
    loss.backward()
    before = [q.detach().to_local().float().clone() for q in model.parameters()]
    opt.step()
    opt.zero_grad()
    with torch.no_grad():
        moved = sum(((q.to_local().float() - b) ** 2).sum() for q, b in zip(model.parameters(), before))
        both = torch.stack([loss.detach().float(), moved])
    dist.all_reduce(both)
    losses.append(round(float(both[0]) / W, 4))
    norms.append(round(float(both[1]) ** 0.5, 4))
    state.step = step
    if not a.load and step in saves:
        dcp.save({"app": state}, checkpoint_id=f"{a.out}/{step}")
if rank == 0:
    print(json.dumps({"load": a.load, "step": (a.until or max(saves)), "losses": losses if a.load else losses[-3:], "norms": norms if a.load else norms[-3:]}))
dist.destroy_process_group()
