"""One state, as torch 2.1, 2.5 and 2.15 save it: the same tensors in every form of torch.distributed.checkpoint and torch.save.
torchrun --nproc-per-node 4 make.py --out DIR     Tried with torch 2.1.2 (Python 3.11), 2.4.1, 2.5.1 (3.12) and 2.15.0 (3.11).

DIR/KIND/STEP of DCP (KINDS below: rows over 4 ranks with uneven and empty pieces, columns, a 2-D mesh, replicas, one process, FSDP 1),
DIR/bin/STEP, DIR/bin-sharded/STEP, DIR/pt/STEP.pt of torch.save, DIR/ranks-KIND/model_world_size_4_rank_R.pt of DTensors, DIR/refused.
Names and values are the same in all of them, whatever the version: DIR/oracle/STEP.safetensors is what the version's own loader reads of each
(checked against one another here), DIR/merged/ (--merged 1) the weighted sums of three steps in float64 by torch.
"""
import collections, json, os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
try:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
except ImportError:
    from torch.distributed._tensor import Replicate, Shard, distribute_tensor
try:
    from torch.distributed.device_mesh import init_device_mesh
except ImportError:  # 2.1
    from torch.distributed._tensor import DeviceMesh
    init_device_mesh = lambda device, shape: DeviceMesh(device, torch.arange(4).reshape(shape))

a = options(steps="100,200,300", merged=0, kinds="")
dist.init_process_group("gloo")
W, rank = dist.get_world_size(), dist.get_rank()
assert W == 4
VERSION = tuple(int(x) for x in torch.__version__.split("+")[0].split(".")[:2])
save = getattr(dcp, "save", None) if VERSION >= (2, 2) else None

B, H, F = torch.bfloat16, torch.float16, torch.float32
MODEL = [
    ("embed.weight", (7, 6), B), ("layers.0.wq.weight", (8, 6), B), ("layers.0.wo.weight", (6, 8), H), ("layers.0.w1.weight", (10, 6), F),
    ("layers.0.norm.weight", (6,), F), ("layers.0.short.weight", (5, 3), B), ("layers.0.two.weight", (2, 4), F), ("layers.0.experts.w", (3, 4, 6), B),
    ("layers.0.scale", (), F), ("layers.0.double", (3, 3), torch.float64),
]
KINDS = {
    "rows": ((4,), (Shard(0),)),
    "columns": ((4,), (Shard(1),)),
    "2d": ((2, 2), (Shard(0), Shard(1))),
    "hsdp": ((2, 2), (Replicate(), Shard(0))),
    "replicated": ((4,), (Replicate(),)),
}
# Not each form at each step: the files stay small, and merges go across.
STEPS = {"rows": (100, 300), "columns": (100, 200), "2d": (200, 300), "hsdp": (100, 200), "replicated": (300,), "plain": (100, 200), "fsdp1": (100, 200), "pt": (200, 300),
         "bin": (100,), "bin-sharded": (300,), "ranks-rows": (100,), "ranks-columns": (200,), "ranks-2d": (300,), "ranks-hsdp": (200,)}
if VERSION == (2, 1):
    STEPS["hsdp"] = ()
wanted = lambda kind, step: step in STEPS[kind] and (not a.kinds or kind in a.kinds.split(","))


def whole(step):
    """The state of a step, whole: the model's tensors and two of the optimizer's."""
    m = collections.OrderedDict((n, values(n, s, a.seed, step, F).to(d)) for n, s, d in MODEL)
    m["head.weight"] = m["embed.weight"]  # tied
    m["seen"] = torch.tensor(7, dtype=torch.int64)  # a count that differs is never averaged, and refused
    o = {n: values(f"ea.{n}", s, a.seed, step, F).to(d) for n, s, d in MODEL if n in ("embed.weight", "layers.0.w1.weight")}
    return m, o


def placed(t, kind):
    shape, placements = KINDS[kind]
    mesh = meshes[shape]
    if VERSION == (2, 1) and kind == "2d":
        return boxed(t)
    # A dimension that is not there is not cut, and torch 2.1 saves no piece that is empty. Old gloo sends no bfloat16.
    can = lambda p, ranks: p.dim < t.dim() and (VERSION > (2, 1) or t.shape[p.dim] >= ranks)
    cut = [p if isinstance(p, Replicate) or can(p, ranks) else Replicate() for p, ranks in zip(placements, shape)]
    return distribute_tensor(t.float(), mesh, cut).to(t.dtype) if t.dtype in (B, H) else distribute_tensor(t, mesh, cut)


def boxed(t):
    """A ShardedTensor in 2 x 2 boxes: torch 2.1 saves DTensors of one dimension only."""
    from torch.distributed._shard import sharded_tensor as st, sharding_spec as ss
    if t.dim() < 2:
        return t
    half = [(t.shape[0] + 1) // 2, (t.shape[1] + 1) // 2]
    spans = [[(0, half[d]), (half[d], t.shape[d])] for d in (0, 1)]
    boxes = [([y[0], x[0]] + [0] * (t.dim() - 2), [y[1] - y[0], x[1] - x[0]] + list(t.shape[2:])) for y in spans[0] for x in spans[1]]
    o, s = boxes[rank]
    piece = t[o[0]:o[0] + s[0], o[1]:o[1] + s[1]].contiguous()
    return st.init_from_local_shards([st.Shard(piece, ss.ShardMetadata(o, s, f"rank:{rank}/cpu"))], *t.shape)


def state_of(model, optim, step):
    return {"model": model, "optim": {"state": {n: {"exp_avg": t, "step": torch.tensor(float(step))} for n, t in optim.items()}, "param_groups": [{"lr": 1e-3, "params": list(optim)}]},
            "step": step, "nested": [1, {"a": (1, 2)}, None], "loader": {0: b"x" * 9, 1: "s"}}


def write(state, where):
    if save is not None:
        save(state, storage_writer=dcp.FileSystemWriter(where))
    else:
        dcp.save_state_dict(state, dcp.FileSystemWriter(where))


def read(where):
    """All tensors of a checkpoint, whole, as this version's own reader gives them."""
    reader = dcp.FileSystemReader(where)
    m = reader.read_metadata().state_dict_metadata
    out = {k: torch.full(v.size, 77, dtype=v.properties.dtype) for k, v in m.items() if hasattr(v, "chunks")}
    dcp.load_state_dict(out, reader, no_dist=True)
    return out


seen = {}


def agree(step, tensors, kind):
    known = seen.setdefault(step, {})
    for k, t in tensors.items():
        if k in known:
            assert torch.equal(known[k], t), (kind, step, k)
        else:
            known[k] = t


meshes = {s: init_device_mesh("cpu", s) for s in ((4,), (2, 2))}
os.makedirs(a.out, exist_ok=True)
for step in a.steps:
    m, o = whole(step)
    flat = {f"model.{k}": t for k, t in m.items()} | {f"optim.state.{n}.exp_avg": t for n, t in o.items()} | {f"optim.state.{n}.step": torch.tensor(float(step)) for n in o}
    if rank == 0:
        agree(step, flat, "made")
    for kind in KINDS:
        if wanted(kind, step):
            write(state_of({k: placed(t, kind) for k, t in m.items()}, {k: placed(t, kind) for k, t in o.items()}, step), f"{a.out}/{kind}/{step}")
            dist.barrier()
            if rank == 0:
                agree(step, read(f"{a.out}/{kind}/{step}"), kind)
        if f"ranks-{kind}" in STEPS and wanted(f"ranks-{kind}", step) and VERSION >= (2, 4):
            where = f"{a.out}/ranks-{kind}/global_step_{step}/actor"
            os.makedirs(where, exist_ok=True)
            torch.save(collections.OrderedDict((f"model.{k}", placed(t, kind)) for k, t in m.items()), f"{where}/model_world_size_4_rank_{rank}.pt")
    if wanted("plain", step) and rank == 0:
        m2 = dict(m)
        m2["layers.0.w1.weight"] = m["layers.0.w1.weight"].t().contiguous().t()  # not in the order of its elements
        state = state_of(m2, o, step)
        where = f"{a.out}/plain/{step}"
        if VERSION >= (2, 9):
            dcp.save(state, storage_writer=dcp.FileSystemWriter(where), no_dist=True)
        else:
            dcp.save_state_dict(state, dcp.FileSystemWriter(where), no_dist=True)
        agree(step, read(where), "plain")
    dist.barrier()
    if rank == 0:
        if wanted("pt", step):
            os.makedirs(f"{a.out}/pt", exist_ok=True)
            base = torch.cat([m["layers.0.short.weight"].new_zeros(2, 3), m["layers.0.short.weight"], m["layers.0.short.weight"].new_zeros(1, 3)])
            m2 = collections.OrderedDict(m)
            m2["layers.0.short.weight"] = base[2:7]
            m2["layers.0.w1.weight"] = nn.Parameter(m["layers.0.w1.weight"].t().contiguous().t())
            m2._metadata = collections.OrderedDict({"": {"version": 1}})
            torch.save(state_of(m2, o, step), f"{a.out}/pt/{step}.pt")
            back = torch.load(f"{a.out}/pt/{step}.pt")
            agree(step, {f"model.{k}": t.detach() for k, t in back["model"].items()}, "pt")
        names = [f"model.{k}" for k in m]
        for kind in ("bin", "bin-sharded"):
            if not wanted(kind, step):
                continue
            where = f"{a.out}/{kind}/{step}"
            os.makedirs(where, exist_ok=True)
            parts = [("pytorch_model.bin", names)] if kind == "bin" else [(f"pytorch_model-0000{i + 1}-of-00002.bin", names[i::2]) for i in range(2)]
            for f, own in parts:
                torch.save({n: flat[n].clone() if kind == "bin-sharded" else flat[n] for n in own}, f"{where}/{f}")
                agree(step, torch.load(f"{where}/{f}"), kind)
            if kind == "bin-sharded":
                json.dump({"metadata": {"total_size": sum(flat[n].numel() * flat[n].element_size() for n in names)}, "weight_map": {n: f for f, own in parts for n in own}}, open(f"{where}/pytorch_model.bin.index.json", "w"))
        oracle(a.out, step, seen[step])

# FSDP 1 keeps its parameters in one flat tensor each, and saves them as ShardedTensors: of one dtype.
if not a.kinds or "fsdp1" in a.kinds.split(","):
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP, StateDictType, ShardedStateDictConfig
    if VERSION == (2, 1):  # its streams of the CPU know no priority
        plain_stream = torch.cpu.Stream
        torch.cpu.Stream = lambda *x, **k: plain_stream()
        torch.cpu.Event = type("Event", (), {"record": lambda *x: None, "wait": lambda *x: None, "synchronize": lambda *x: None, "query": lambda *x: True})
    for step in STEPS["fsdp1"]:
        net = nn.Module()
        D = F if VERSION == (2, 1) else B  # its gloo sends no bfloat16
        net.embed = nn.Embedding(7, 6, dtype=D)
        net.block = nn.Sequential(collections.OrderedDict(wq=nn.Linear(6, 8, bias=True, dtype=D), w1=nn.Linear(8, 5, bias=False, dtype=D)))
        net.head = nn.Linear(5, 3, bias=False, dtype=D)
        fill(net, a.seed, step)
        expected = {f"model.{k}": t.clone() for k, t in net.state_dict().items()}
        net.block = FSDP(net.block, device_id=torch.device("cpu"))
        net = FSDP(net, device_id=torch.device("cpu"))
        with FSDP.state_dict_type(net, StateDictType.SHARDED_STATE_DICT, ShardedStateDictConfig(offload_to_cpu=False)):
            write({"model": net.state_dict(), "step": step}, f"{a.out}/fsdp1/{step}")
        dist.barrier()
        if rank == 0:
            got = read(f"{a.out}/fsdp1/{step}")
            assert sorted(got) == sorted(expected) and all(torch.equal(got[k], expected[k]) for k in got), "fsdp1"
            oracle(f"{a.out}/fsdp1", step, got)

if rank == 0:
    # What is refused: a file of before 2020's form; a save that ended in an error; TorchScript; what has no plain bytes.
    os.makedirs(f"{a.out}/refused", exist_ok=True)
    w = torch.arange(6.0)
    torch.save({"w": w}, f"{a.out}/refused/legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), f"{a.out}/refused/script.pt")
    torch.save({"w": w.reshape(2, 3).to_sparse()}, f"{a.out}/refused/sparse.pt")
    torch.save({"w": torch.view_as_complex(w.reshape(3, 2)).conj()}, f"{a.out}/refused/conjugate.pt")
    if VERSION < (2, 9):
        torch.save({"w": torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)}, f"{a.out}/refused/quantised.pt")
    torch.save({"w": torch.empty(3, device="meta")}, f"{a.out}/refused/meta.pt")
    torch.save(nn.Linear(2, 2), f"{a.out}/refused/module.pt")
    try:
        torch.save({"w": w.to(torch.float8_e4m3fn)}, f"{a.out}/refused/stub.pt")
        torch.load(f"{a.out}/refused/stub.pt")
        os.rename(f"{a.out}/refused/stub.pt", f"{a.out}/pt/f8.pt")
        oracle(f"{a.out}/pt", 8, {"w": w.to(torch.float8_e4m3fn)})
    except Exception as e:
        print("float8:", repr(e)[:100])
    if a.merged:
        os.makedirs(f"{a.out}/merged", exist_ok=True)
        w1 = 1 - 0.3
        weights = {"sma": [1 / 3] * 3, "wma": [1 / 6, 2 / 6, 3 / 6], "ema": [w1 * w1, 0.3 * w1, 0.3], "given": [-0.25, 0.5, 0.75]}
        for method, ws in weights.items():
            for out, dt in {"own": None, "bf16": B, "f16": H, "f32": F}.items():
                merged = {}
                for k in (k for k in seen[100] if k.startswith("model.")):
                    x = [seen[s][k] for s in (100, 200, 300)]
                    if not x[0].is_floating_point():
                        merged[k] = x[2].clone()
                        continue
                    acc = x[0].double() * ws[0]
                    for xi, wi in zip(x[1:], ws[1:]):
                        acc = acc + xi.double() * wi
                    to = dt or x[0].dtype
                    merged[k] = (acc if to == torch.float64 else acc.float().to(to)).clone()
                save_file(merged, f"{a.out}/merged/{method}.{out}.safetensors")
        json.dump(weights, open(f"{a.out}/merged/weights.json", "w"))
    json.dump({"torch": torch.__version__.split("+")[0], "python": ".".join(map(str, sys.version_info[:3]))}, open(f"{a.out}/versions.json", "w"))
dist.barrier()
dist.destroy_process_group()
