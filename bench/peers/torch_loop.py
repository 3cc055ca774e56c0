"""The streaming loop that people write: shard by shard, one tensor at a time, float32 sum, saved with safetensors."""

import time

started = time.perf_counter()
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import_seconds = time.perf_counter() - started

from common import arguments, copy_side_files, report, shard_names, sync_folder

args = arguments(__doc__)
started = time.perf_counter()
args.output.mkdir(parents=True)
for shard in shard_names(args.inputs[-1]):
    files = [safe_open(folder / shard, framework="pt") for folder in args.inputs]
    merged = {}
    for name in files[0].keys():
        first = files[0].get_tensor(name)
        total = first.to(torch.float32)
        for file in files[1:]:
            total += file.get_tensor(name)
        merged[name] = (total / len(files)).to(first.dtype)
    save_file(merged, args.output / shard, metadata={"format": "pt"})
copy_side_files(args.inputs[-1], args.output)
if args.sync:
    sync_folder(args.output)
report(time.perf_counter() - started, import_seconds, version=f"torch {torch.__version__}", threads=torch.get_num_threads())
