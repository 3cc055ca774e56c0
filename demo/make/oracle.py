"""The arithmetic promise of ckpt-merge in torch, and the means that the tables of demo/README.md are about."""

from pathlib import Path

import torch
from safetensors.torch import load_file

State = dict[str, torch.Tensor]


def load(checkpoint: Path) -> State:
    """Tensors of a checkpoint of one file, under the names the file gives them."""
    return load_file(checkpoint / "model.safetensors")


def combine(states: list[State], weights: list[float]) -> State:
    """acc = w1*x1; acc = acc + wi*xi in float64, in order; then float32, then the dtype of the tensor."""
    merged = {}
    for name, first in states[0].items():
        acc = first.double() * weights[0]
        for state, weight in zip(states[1:], weights[1:]):
            acc = acc + state[name].double() * weight
        merged[name] = acc.float().to(first.dtype)
    return merged


def sma(count: int) -> list[float]:
    return [1 / count] * count


def wma(count: int) -> list[float]:
    """Linear: the newest, which comes last, weighs most."""
    return [(i + 1) / (count * (count + 1) / 2) for i in range(count)]


def ema(count: int, alpha: float) -> list[float]:
    """Start with [1]; for each newer checkpoint multiply all by 1 - alpha and append alpha."""
    weights = [1.0]
    for _ in range(count - 1):
        weights = [weight * (1 - alpha) for weight in weights] + [alpha]
    return weights


def same_bits(a: State, b: State) -> list[str]:
    """Names of the tensors that are not bit for bit the same in both (or are only in one)."""
    names = sorted(a.keys() | b.keys())
    return [n for n in names if n not in a or n not in b or a[n].dtype != b[n].dtype or not _equal_bits(a[n], b[n])]


def _equal_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
