"""Saves a safetensors checkpoint as torch.distributed.checkpoint does from four processes, its matrices cut as asked."""

import argparse
import json
import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from safetensors import safe_open
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

RANKS = 4


def shard_names(folder):
    index = folder / "model.safetensors.index.json"
    return sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]


def cut(length, parts, part):
    """The part of a dimension that a rank has, as torch cuts it."""
    each = -(-length // parts)
    return slice(min(part * each, length), min((part + 1) * each, length))


def save(rank, source, target, form, rendezvous):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    mesh = init_device_mesh("cpu", (2, 2) if form == "both" else (RANKS,))
    place = mesh.get_coordinate()
    state = {}
    for shard in shard_names(source):
        with safe_open(source / shard, framework="pt") as file:
            for name in file.keys():
                part = file.get_slice(name)
                shape = part.get_shape()
                if len(shape) < 2:
                    placements = [Replicate()] * mesh.ndim
                    local = file.get_tensor(name)
                elif form == "rows":
                    placements, local = [Shard(0)], part[cut(shape[0], RANKS, place[0])]
                elif form == "columns":
                    placements, local = [Shard(1)], part[:, cut(shape[1], RANKS, place[0])]
                else:
                    placements, local = [Shard(0), Shard(1)], part[cut(shape[0], 2, place[0]), cut(shape[1], 2, place[1])]
                stride = torch.empty(shape, device="meta").stride()
                state[name] = DTensor.from_local(
                    local.contiguous(), mesh, placements, run_check=False, shape=torch.Size(shape), stride=stride
                )
    dcp.save(state, checkpoint_id=str(target))
    dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("form", choices=["rows", "columns", "both"])
    args = parser.parse_args()
    rendezvous = Path(f"{args.target}.rendezvous").resolve()
    rendezvous.unlink(missing_ok=True)
    mp.spawn(save, (args.source, args.target, args.form, rendezvous), nprocs=RANKS)
    rendezvous.unlink(missing_ok=True)
    (args.target / "config.json").write_bytes((args.source / "config.json").read_bytes())
    for file in [*args.target.iterdir(), args.target]:
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
