"""Checks a merged folder that ckpt-merge wrote: every tensor bit for bit against torch's float64 mean, then loaded by transformers.

    python demo/make/check.py MERGED INPUT INPUT ... [--weights 0.5 0.5]

Prints what it found; exits 1 when any tensor differs or transformers leaves a weight unused or uninitialised.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from loss import load_model, window_losses, windows
from oracle import State, combine, load, same_bits, sma
from text import held_out


def load_folder(folder: Path) -> State:
    """All tensors of a folder, in whatever number of files."""
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("merged", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+", help="oldest first, as merged")
    parser.add_argument("--weights", type=float, nargs="+", help="default: the plain mean")
    args = parser.parse_args()
    torch.set_num_threads(1)
    expected = combine([load(path) for path in args.inputs], args.weights or sma(len(args.inputs)))
    different = same_bits(load_folder(args.merged), expected)
    elements = sum(tensor.numel() for tensor in expected.values())
    print(f"{args.merged}: {len(expected)} tensors, {elements} elements, {len(different)} tensors differ from torch's float64 mean")
    for name in different[:10]:
        print(f"  {name}")
    _, report = AutoModelForCausalLM.from_pretrained(args.merged, output_loading_info=True)
    unfit = {key: sorted(map(str, report[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if report.get(key)}
    print(f"  transformers loads it: {unfit or 'every weight found, none left over'}")
    validation = windows(held_out("validation"))
    for label, path in (("newest input", args.inputs[-1]), ("merged", args.merged)):
        print(f"  held-out loss of {label}: {window_losses(load_model(path), validation).mean():.4f} nats per byte")
    raise SystemExit(1 if different or unfit else 0)


if __name__ == "__main__":
    main()
