"""A tiny training that saves with torch.distributed.checkpoint, and goes on from what it saved or from a merge of it.

    torchrun --nproc-per-node 2 resumed.py train DIR 40,60,80               saves DIR/40, DIR/60, DIR/80, on gloo
    torchrun --nproc-per-node 2 resumed.py train DIR 100 --load DIR/80      goes on from there
    torchrun --nproc-per-node 2 resumed.py go-on MERGE MEMBER,MEMBER        loads a merge with dcp.load, and goes on for ten steps

`go-on` prints a line of JSON: the steps of trainer and optimizer that it found, how far weights and moments are off the mean of the members
(computed in float64), losses of one held-out batch before and after each step, and names that saving it anew has other than the merge.
BF16 weights of FSDP 2 where this torch runs it on a CPU, else of FSDP 1; AdamW. Tried with torch 2.4.1, 2.6.0 and 2.15.0.
"""
import argparse, json, os, tempfile, warnings

warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh

VOCABULARY, WIDTH, CONTEXT = 29, 16, 12
# From this version on FSDP 2 needs no accelerator.
HAS_FSDP2 = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 9)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH)) for _ in range(2))
        self.output = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.output(x)


class Training(Stateful):
    def __init__(self):
        torch.manual_seed(0)
        self.step, model = 0, Tiny().to(torch.bfloat16)
        if HAS_FSDP2:
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh("cpu", (dist.get_world_size(),))
            for layer in model.layers:
                fully_shard(layer, mesh=mesh)
            self.model = fully_shard(model, mesh=mesh)
        else:
            from torch.distributed.fsdp import FullyShardedDataParallel

            mesh = init_device_mesh("cpu", (dist.get_world_size(),))
            self.model = FullyShardedDataParallel(model, device_mesh=mesh, use_orig_params=True, device_id=torch.device("cpu"))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2, betas=(0.9, 0.95))

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optim": optimizer, "step": self.step}

    def load_state_dict(self, state):
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
        self.step = state["step"]

    def loss(self, step):
        """Each token follows from the one before it by a rule, with noise."""
        g = torch.Generator().manual_seed(10_000 + step)
        x = torch.randint(VOCABULARY, (32, CONTEXT), generator=g)
        for t in range(1, CONTEXT):
            x[:, t] = torch.where(torch.rand(32, generator=g) < 0.8, (x[:, t - 1] * 7 + 3) % VOCABULARY, x[:, t])
        x = x[dist.get_rank() :: dist.get_world_size()]
        return nn.functional.cross_entropy(self.model(x[:, :-1]).float().flatten(0, 1), x[:, 1:].flatten())

    def held_out(self):
        with torch.no_grad():
            loss = self.loss(0).detach()
        dist.all_reduce(loss)
        return round(float(loss) / dist.get_world_size(), 4)

    def update(self):
        self.step += 1
        self.loss(self.step).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def whole(path):
    """Every tensor of a checkpoint, by torch's own reader."""
    metadata = dcp.FileSystemReader(path).read_metadata()
    state = {k: torch.empty(tuple(v.size), dtype=v.properties.dtype) for k, v in metadata.state_dict_metadata.items() if hasattr(v, "chunks")}
    dcp.load(state, checkpoint_id=path, no_dist=True) if "no_dist" in dcp.load.__code__.co_varnames else dcp.load(state, checkpoint_id=path)
    return state


def off(found, members, pick):
    """Largest difference of tensors from the mean of the members, rounded as they are."""
    most = 0.0
    for name in filter(pick, found):
        mean = sum(m[name].double() for m in members) / len(members)
        most = max(most, float((found[name].double() - mean.float().to(found[name].dtype).double()).abs().max()))
    return most


def go_on(merge, paths):
    training = Training()
    dcp.load({"app": training}, checkpoint_id=merge)
    first, losses = training.step, [training.held_out()]
    # What was loaded, as torch writes it again.
    again = [None]
    if dist.get_rank() == 0:
        again = [tempfile.mkdtemp(dir=os.path.dirname(merge))]
    dist.broadcast_object_list(again)
    dcp.save({"app": training}, checkpoint_id=again[0])
    for _ in range(10):
        training.update()
        losses.append(training.held_out())
    found, given, members = whole(again[0]), whole(merge), [whole(path) for path in paths]
    steps = sorted({float(t) for k, t in found.items() if k.endswith(".step")})
    # A step alone has no mean, and neither has anything else that is one number.
    moments = lambda name: ".exp_avg" in name
    return {
        "torch": torch.__version__.split("+")[0], "step": first, "steps of the optimizer": steps,
        "weights off by": off(found, members, lambda name: ".model." in name),
        "moments off the mean by": off(found, members, moments), "moments off the newest by": off(found, members[-1:], moments),
        "largest moment": max(float(found[k].abs().max()) for k in found if moments(k)),
        "other": sorted(k for k in found.keys() | given.keys() if k not in found or k not in given or not torch.equal(found[k], given[k])), "losses": losses,
    }


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["train", "go-on"])
    p.add_argument("where")
    p.add_argument("list", help="steps, or members of the merge, oldest first")
    p.add_argument("--load")
    a = p.parse_args()
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    items = a.list.split(",")
    if a.what == "train":
        training = Training()
        if a.load is not None:
            dcp.load({"app": training}, checkpoint_id=a.load)
        for step in map(int, items):
            while training.step < step:
                training.update()
            dcp.save({"app": training}, checkpoint_id=f"{a.where}/{step}")
    else:
        found = go_on(a.where, items)
        if dist.get_rank() == 0:
            print(json.dumps(found), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
