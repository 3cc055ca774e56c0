"""DeepSpeed's ZeRO 1 and 2 of a model that was trained, and what torch itself saves for merges of its steps that training goes on from:
`newest`, `drop` and `average`, each as DeepSpeed's folder of a step.

    torchrun --nproc-per-node W make.py --out DIR --stage 1|2 --dtype bfloat16|float16|float32 [--groups 2] [--hidden H] [--tied 1] [--steps 5,10,15]

With --load DIR2 (folders `newest`, `drop` and `average` with a step each) it trains and writes nothing: DeepSpeed loads each of them, and
prints a line of JSON: how far masters, weights and moments of its engine are from float64 means of the steps in DIR, whether its weights are the
rounding of its masters, the step, and the losses of the next ten steps beside those of an engine in which the newest was loaded and then its masters
and moments were set to the means by hand.

Needs deepspeed (0.15.4 and 0.19.8 tried, with torch 2.15.0 on CPU and gloo), DS_ACCELERATOR=cpu. That takes float16 on CPU only if it is told so, as here.
"""
import argparse, copy, glob, json, os, sys, warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
import deepspeed, torch
import torch.distributed as dist
from torch import nn

sys.modules["deepspeed.comm.torch"].build_shm_op = lambda *x: None  # else a C++ extension is compiled at the first start
from deepspeed.accelerator import get_accelerator

get_accelerator().is_fp16_supported = lambda: True
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
for name, default in {"out": "", "stage": 1, "dtype": "bfloat16", "groups": 1, "hidden": 6, "tied": 0, "frozen": 0, "steps": "5,10,15", "load": "", "config": "{}"}.items():
    p.add_argument(f"--{name}", default=default, type=type(default))
a = p.parse_args()
STEPS = [int(step) for step in a.steps.split(",")]
VOCABULARY, CONTEXT, MORE = 11, 9, 10


class Model(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, h)
        self.layers = nn.ModuleList([nn.ModuleDict({"norm": nn.LayerNorm(h), "up_proj": nn.Linear(h, h + 3), "down_proj": nn.Linear(h + 3, h)})])
        self.norm = nn.LayerNorm(h)
        self.lm_head = nn.Linear(h, VOCABULARY, bias=False)
        if a.tied:
            self.lm_head.weight = self.embed_tokens.weight
        self.norm.weight.requires_grad_(not a.frozen)
        self.register_buffer("inv_freq", torch.arange(3.0))

    def forward(self, tokens):
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = x + layer["down_proj"](torch.relu(layer["up_proj"](layer["norm"](x))))
        return self.lm_head(self.norm(x))


def engine():
    torch.manual_seed(0)
    model = Model(a.hidden)
    params = [w for w in model.parameters() if w.requires_grad]
    if a.groups == 2:
        params = [{"params": [w for w in params if w.ndim > 1], "weight_decay": 0.1}, {"params": [w for w in params if w.ndim == 1], "weight_decay": 0.0}]
    config = {
        "train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": a.stage}, "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False,
        "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 5, "warmup_max_lr": 2e-2}}, **json.loads(a.config),
    }
    if a.dtype != "float32":
        config[{"bfloat16": "bf16", "float16": "fp16"}[a.dtype]] = {"enabled": True, **({"initial_scale_power": 8} if a.dtype == "float16" else {})}
    return deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(params, lr=2e-2), config=config)[0]


def train(e, first, last, each=None):
    """Losses of steps on batches that follow from the step and the rank; each token follows from the one before it."""
    losses = []
    for step in range(first, last + 1):
        g = torch.Generator().manual_seed(1000 * step + dist.get_rank())
        x = torch.randint(VOCABULARY, (4, CONTEXT), generator=g)
        for t in range(1, CONTEXT):
            x[:, t] = (x[:, t - 1] * 7 + 3) % VOCABULARY
        loss = nn.functional.cross_entropy(e(x[:, :-1]).float().flatten(0, 1), x[:, 1:].flatten())
        e.backward(loss)
        e.step()
        losses.append(loss.item())
        if each:
            each(step)
    return losses


def files(folder):
    return sorted(glob.glob(f"{folder}/*.pt"))


def load(file):
    return torch.load(file, map_location="cpu", weights_only=False)


def mean(tensors):
    return sum(t.double() * (1 / len(tensors)) for t in tensors)


def moments(state):
    """Tensors that an optimizer of DeepSpeed's keeps beside the masters, as (part, tensor)."""
    of = state["base_optimizer_state"]
    groups = of if isinstance(of, list) else [of["state"][i] for i in sorted(of["state"])]
    return [(part, t) for group in groups for part, t in group.items() if torch.is_tensor(t)]


def merged(use, out):
    """Merges the steps with torch alone, as float64 and by the names in DeepSpeed's own files."""
    newest = f"{a.out}/global_step{STEPS[-1]}"
    os.makedirs(out)
    masters = {}
    for file in files(newest):
        if not file.endswith("optim_states.pt"):
            continue
        members = [load(f"{a.out}/global_step{step}/{os.path.basename(file)}")["optimizer_state_dict"] for step in STEPS]
        whole = load(file)
        state = whole["optimizer_state_dict"]
        for group, tensor in enumerate(state["single_partition_of_fp32_groups"]):
            tensor.data.copy_(mean([m["single_partition_of_fp32_groups"][group] for m in members]))
            for name, at in state["param_slice_mappings"][group].items():
                masters.setdefault(name, []).append(tensor.data[at.start : at.start + at.numel])
        for i, (part, tensor) in enumerate(moments(state)):
            if use == "drop":
                tensor.zero_()
            elif use == "average" and part != "step":
                tensor.copy_(mean([moments(m)[i][1] for m in members]))
        torch.save(whole, f"{out}/{os.path.basename(file)}")
    file = f"{newest}/mp_rank_00_model_states.pt"
    whole = load(file)
    others = [load(f"{a.out}/global_step{step}/mp_rank_00_model_states.pt")["module"] for step in STEPS]
    for name, tensor in whole["module"].items():
        if name in masters:
            tensor.copy_(torch.cat(masters[name]).view(tensor.shape))
        elif name not in ("lm_head.weight", "inv_freq"):
            tensor.copy_(mean([m[name] for m in others]))
    torch.save(whole, f"{out}/mp_rank_00_model_states.pt")


def state_of(e):
    """Of this rank: masters and moments as the engine holds them."""
    o = e.optimizer
    own = o.fp32_groups_flat_partition if hasattr(o, "fp32_groups_flat_partition") else o.single_partition_of_fp32_groups
    return [t.detach() for t in own], [(part, t) for t in own for part, t in o.optimizer.state[t].items() if torch.is_tensor(t)]


def off(found, expected):
    return max((x.double() - y.double()).abs().max().item() for x, y in zip(found, expected))


def check():
    rank, tag = dist.get_rank(), f"global_step{STEPS[-1]}"
    kept = []
    for step in STEPS:
        e = engine()
        e.load_checkpoint(a.out, tag=f"global_step{step}")
        kept.append(copy.deepcopy(state_of(e)))
    means = [mean([k[0][i] for k in kept]) for i in range(len(kept[0][0]))]
    for use in ("newest", "average", "drop"):
        by_hand = engine()
        by_hand.load_checkpoint(a.out, tag=tag)
        masters, own = state_of(by_hand)
        with torch.no_grad():
            for master, value in zip(masters, means):
                master.copy_(value)
            for i, (part, tensor) in enumerate(own):
                if use == "drop":
                    tensor.zero_()
                elif use == "average" and part != "step":
                    tensor.copy_(mean([k[1][i][1] for k in kept]))
            # As at the end of a step: each rank's weights from its masters, and those of the others from them.
            o = by_hand.optimizer
            for i, group in enumerate(o.bf16_groups_flat if hasattr(o, "bf16_groups_flat") else o.bit16_groups_flat):
                parts = [torch.zeros_like(masters[i]) for _ in range(dist.get_world_size())]
                dist.all_gather(parts, masters[i].contiguous())
                group.copy_(torch.cat(parts)[: group.numel()])
        e = engine()
        path, client = e.load_checkpoint(f"{a.load}/{use}", tag=tag)
        found = state_of(e)
        weights = list(e.module.parameters())
        result = {
            "stage": a.stage, "dtype": a.dtype, "groups": a.groups, "ranks": dist.get_world_size(), "optimizer": use, "loaded": path is not None,
            "step": e.global_steps, "tokens": client["tokens"], "masters off by": off(found[0], means),
            "moments off by": off([t for _, t in found[1]], [t for _, t in own]),
            "weights off those of the masters by": off(weights, list(by_hand.module.parameters())),
            "steps of the optimizer": sorted({t.item() for part, t in found[1] if part == "step"}),
        }
        result["losses"] = train(e, STEPS[-1] + 1, STEPS[-1] + MORE)
        result["losses by hand"] = train(by_hand, STEPS[-1] + 1, STEPS[-1] + MORE)
        result["the same"] = result["losses"] == result["losses by hand"]
        if rank == 0:
            print(json.dumps(result), flush=True)


deepspeed.init_distributed(dist_backend="gloo")
if a.load:
    check()
else:
    e = engine()
    save = lambda step: step in STEPS and e.save_checkpoint(a.out, tag=f"global_step{step}", client_state={"tokens": step * 100, "rng": torch.arange(step)})
    train(e, 1, STEPS[-1], save)
    dist.barrier()
    if dist.get_rank() == 0:
        for use in ("newest", "drop", "average"):
            merged(use, f"{a.out}/{use}/global_step{STEPS[-1]}")
dist.barrier()
dist.destroy_process_group()
