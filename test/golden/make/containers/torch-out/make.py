"""What torch.save writes for merged values.    python make.py --out DIR     Tried with torch 2.1.2 (Python 3.11), 2.5.1 (3.12) and 2.15.0 (3.11).

DIR/S.pt: a state dict with every view that a module may have; DIR/train-S.pt: the same with an optimizer and a trainer's values around it; DIR/many-S.pt: more
tensors than fit into one part of a pickled dict (not with --many 0). DIR/want/*.pt is what this torch saves under that name for the merged values (0.25 of step 1, 0.75 of step 2:
summed in float64, rounded to float32 and then to the dtype), made anew and not read from a file, so that even what Python takes for one object is as in a training."""
import argparse, collections, os, sys
import torch
from torch import nn

p = argparse.ArgumentParser()
p.add_argument("--out", required=True)
p.add_argument("--many", type=int, default=1)
a = p.parse_args()
B, H, F, D = torch.bfloat16, torch.float16, torch.float32, torch.float64


def model(step, to=None):
    """Values of a step; floats with the dtype `to`, where it is given."""
    g = torch.Generator().manual_seed(step)
    d = lambda own: own if to is None else to
    r = lambda *s, dt=F: torch.randn(s, generator=g, dtype=D).to(dt).to(d(dt))
    tied, base, flat = r(6, 16, dt=B), r(40, 8), r(64)
    m = collections.OrderedDict([
        ("model.embed_tokens.weight", tied), ("lm_head.weight", tied), ("model.slice.weight", base[3:9]), ("model.transposed.weight", r(5, 8, dt=H).t()),
        ("model.parameter.weight", nn.Parameter(r(5, 7))), ("model.double.weight", r(3, 3, dt=D)), ("model.scalar.weight", r()), ("model.empty.weight", torch.empty(0, 4, dtype=d(F))),
        ("model.expanded.weight", r(1, 4).expand(3, 4)), ("model.ids", torch.arange(6)), ("model.flag", torch.tensor([True, False])), ("model.permuted.weight", r(2, 3, 4, dt=B).permute(2, 0, 1)),
        ("model.first.weight", flat[:16].view(4, 4)), ("model.second.weight", flat[16:40]), ("model.inner.weight", flat[32:40]), ("model.strided.weight", flat[16:40:2]),
    ])
    m._metadata = collections.OrderedDict({"": {"version": 1}, "model": {"version": 2}})
    return m


def training(m, step):
    g = torch.Generator().manual_seed(100 + step)
    moment = torch.randn(5, 7, generator=g)
    return {
        "epoch": 3, "model": m, "config": argparse.Namespace(dtype=torch.bfloat16, size=torch.Size([2, 3])),
        "optimizer": {"state": {0: {"step": torch.tensor(float(step)), "exp_avg": moment, "exp_avg_sq": moment.square()}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "params": [0]}]},
        "lr_scheduler": {"last_epoch": step, "_last_lr": [1e-3]}, "rng": {"cpu": torch.arange(8, dtype=torch.uint8)}, "text": "ünï", "none": None,
    }


def many(step, to=None):
    g = torch.Generator().manual_seed(step)
    return {f"layers.{i}.weight": (torch.randint(0, 8, (3,), generator=g) / 7).to(F if to is None else to) for i in range(1003)}


def fill(into, x, keep=False):
    """Writes the merged values into a state of the newest step, in place: what lies outside of its tensors stays."""
    done = set()
    for (k, t), a0, a1 in zip(into.items(), *(s.values() for s in x)):
        key = (t.untyped_storage().data_ptr(), t.storage_offset(), t.shape, t.stride())
        if not a0.is_floating_point() or key in done:
            continue
        done.add(key)
        acc = a0.detach().double() * 0.25 + a1.detach().double() * 0.75
        out = acc if t.dtype == D else acc.float()
        with torch.no_grad():
            (t.detach()[:1] if 0 in t.stride() else t.detach()).copy_(out[:1] if 0 in t.stride() else out)
    return into


save = lambda state, path: (os.makedirs(os.path.dirname(path), exist_ok=True), torch.save(state, path))
for step in (1, 2):
    save(model(step), f"{a.out}/{step}.pt")
    save(training(model(step), step), f"{a.out}/train-{step}.pt")
    if a.many:
        save(many(step), f"{a.out}/many-{step}.pt")
old = lambda make: [make(1), make(2)]
save(fill(model(2), old(model)), f"{a.out}/want/merged.pt")
save(fill(model(2, B), old(model)), f"{a.out}/want/bf16.pt")
state = training(fill(model(2), old(model)), 2)
for key in ("optimizer", "lr_scheduler", "rng"):
    del state[key]
save(state, f"{a.out}/want/model-only.pt")
if a.many:
    save(fill(many(2), old(many)), f"{a.out}/want/many.pt")
    save(fill(many(2, H), old(many)), f"{a.out}/want/many-f16.pt")
    fewer = fill(many(2), old(many))
    for i in range(0, 1003, 10):
        del fewer[f"layers.{i}.weight"]
    save(fewer, f"{a.out}/want/fewer.pt")
