"""Counts the elements in which merged checkpoints differ from the mean in float64, rounded to float32 and then to the dtype (bit patterns)."""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open

from common import shard_names

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("inputs", nargs="+", type=Path)
parser.add_argument("--outputs", nargs="+", required=True, type=Path)
args = parser.parse_args()


def tensors_of(folder):
    found = {}
    for shard in shard_names(folder):
        file = safe_open(folder / shard, framework="pt")
        found.update({name: file for name in file.keys()})
    return found


inputs = [tensors_of(folder) for folder in args.inputs]
outputs = [tensors_of(folder) for folder in args.outputs]
weight = 1 / len(inputs)
elements = 0
different = [0] * len(outputs)
for name in inputs[0]:
    total = inputs[0][name].get_tensor(name).double() * weight
    for file in inputs[1:]:
        total = total + file[name].get_tensor(name).double() * weight
    expected = total.float().to(inputs[0][name].get_tensor(name).dtype)
    elements += expected.numel()
    for k, file in enumerate(outputs):
        found = file[name].get_tensor(name)
        different[k] += int((found.view(torch.int16) != expected.view(torch.int16)).sum())
print(json.dumps({"elements": elements, "different": dict(zip(map(str, args.outputs), different))}))
