"""What people do with checkpoints of torch.distributed: each becomes a file by dcp_to_torch_save, then a float32 sum.

With --back the file that is saved becomes a checkpoint of torch.distributed again."""

import time

started = time.perf_counter()
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save, torch_save_to_dcp

import_seconds = time.perf_counter() - started

from common import arguments, report, sync_folder

args = arguments(__doc__, "--back")
started = time.perf_counter()
args.output.mkdir(parents=True)
states = []
for i, folder in enumerate(args.inputs):
    whole = args.output / f"whole-{i}.pt"
    dcp_to_torch_save(folder, whole)
    states.append(torch.load(whole, mmap=True, weights_only=True))
merged = {}
for name, first in states[0].items():
    total = first.to(torch.float32)
    for state in states[1:]:
        total += state[name]
    merged[name] = (total / len(states)).to(first.dtype)
torch.save(merged, args.output / "model.pt")
if args.back:
    torch_save_to_dcp(args.output / "model.pt", args.output / "dcp")
if args.sync:
    sync_folder(args.output)
report(time.perf_counter() - started, import_seconds, version=f"torch {torch.__version__}", threads=torch.get_num_threads())
