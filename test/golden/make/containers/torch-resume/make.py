"""Checkpoints of a training loop that saves model, optimizer and all else in one file of torch.save, and what
torch itself saves for merges of them that training goes on from: `newest`, `drop` and `average`.

Run with any torch; the golden was made with 2.15. `ints_30.pt` counts its steps as numbers, as torch did before
1.12; `bare_*.pt` have no optimizer; `sgd_*.pt` have momentum and no steps."""

import argparse
import copy
from pathlib import Path

import torch

STEPS = (10, 20, 30)
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, required=True)
out = parser.parse_args().out
for name in ("", "newest", "drop", "average"):
    (out / name).mkdir(parents=True, exist_ok=True)


def train(make, prefix):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"up_proj": torch.nn.Linear(8, 16), "down_proj": torch.nn.Linear(16, 4)}).to(torch.bfloat16)
    optimizer = make(model.parameters())
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer)
    for step in range(1, STEPS[-1] + 1):
        optimizer.zero_grad()
        batch = torch.randn(5, 8, dtype=torch.bfloat16)
        model["down_proj"](model["up_proj"](batch)).pow(2).mean().backward()
        optimizer.step()
        scheduler.step()
        if step in STEPS:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}
            state |= {"rng": torch.get_rng_state()[:64].clone(), "step": step, "args": {"lr": 1e-3, "name": "tiny"}}
            torch.save(state, out / f"{prefix}{step}.pt")


train(lambda parameters: torch.optim.AdamW(parameters, lr=1e-2), "ckpt_")
train(lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9), "sgd_")


def load(name):
    return torch.load(out / f"{name}.pt", weights_only=True)


for step in STEPS:
    bare = load(f"ckpt_{step}")
    del bare["optimizer"]
    torch.save(bare, out / f"bare_{step}.pt")
ints = load("ckpt_30")
for state in ints["optimizer"]["state"].values():
    state["step"] = 30
torch.save(ints, out / "ints_30.pt")


def mean(tensors):
    return (sum(t.double() for t in tensors) / len(tensors)).to(tensors[0].dtype)


for optimizer in ("newest", "drop", "average"):
    members = [load(f"ckpt_{step}") for step in STEPS]
    merged = copy.copy(load("ckpt_30"))
    for name, tensor in merged["model"].items():
        tensor.copy_(mean([member["model"][name] for member in members]))
    for i, state in merged["optimizer"]["state"].items():
        for part, tensor in state.items():
            if optimizer == "drop":
                tensor.zero_()
            elif optimizer == "average" and part != "step":
                tensor.copy_(mean([member["optimizer"]["state"][i][part] for member in members]))
    torch.save(merged, out / optimizer / "merged.pt")
