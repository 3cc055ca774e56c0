"""The naive mean: whole checkpoints loaded one after another and added up in the dtype that they are stored in."""

import time

started = time.perf_counter()
import torch
from safetensors.torch import load_file, save_file

import_seconds = time.perf_counter() - started

from common import arguments, copy_side_files, report, shard_names, sync_folder

args = arguments(__doc__)
started = time.perf_counter()
args.output.mkdir(parents=True)
total = {}
for folder in args.inputs:
    for shard in shard_names(folder):
        for name, tensor in load_file(folder / shard).items():
            if folder == args.inputs[0]:
                total.setdefault(shard, {})[name] = tensor
            else:
                total[shard][name] += tensor
for shard, tensors in total.items():
    for tensor in tensors.values():
        tensor /= len(args.inputs)
    save_file(tensors, args.output / shard, metadata={"format": "pt"})
copy_side_files(args.inputs[-1], args.output)
if args.sync:
    sync_folder(args.output)
report(time.perf_counter() - started, import_seconds, version=f"torch {torch.__version__}", threads=torch.get_num_threads())
