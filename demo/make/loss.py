"""Held-out loss with transformers, in nats per predicted byte, over windows of 128 bytes (127 predictions each)."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from models import CONTEXT
from oracle import State
from text import as_array

WINDOWS_PER_BLOCK = 32  # 4,096 bytes: about one held-out block of 40 verses


def windows(text: bytes, max_bytes: int | None = None) -> torch.Tensor:
    """All windows, or floor(max_bytes / 128) of them spread evenly; src/demo/held-out-loss.ts chooses the same."""
    total = len(text) // CONTEXT
    count = total if max_bytes is None else min(total, max_bytes // CONTEXT)
    starts = [i * total // count * CONTEXT for i in range(count)]
    array = as_array(text)
    return torch.from_numpy(np.stack([array[start : start + CONTEXT] for start in starts]))


def load_model(checkpoint: Path):
    """The bf16 weights of a checkpoint, computing in float32."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    model.config.output_router_logits = False  # else the router's auxiliary loss is computed too
    return model.eval()


def load_merged(state: State, like: Path):
    """A model of merged tensors, through a folder on disk as a user would load it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(like / "config.json", folder)
        save_file(state, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        return load_model(Path(folder))


@torch.no_grad()
def window_losses(model, inputs: torch.Tensor, batch: int = 64) -> np.ndarray:
    """Mean loss of each window, float64."""
    losses = []
    for part in inputs.split(batch):
        logits = model(input_ids=part, use_cache=False).logits[:, :-1].double()
        picked = logits.gather(-1, part[:, 1:, None]).squeeze(-1)
        losses.append((logits.logsumexp(-1) - picked).mean(-1))
    return torch.cat(losses).numpy()


def paired(a: np.ndarray, b: np.ndarray) -> dict:
    """Mean of b - a over all windows, and its standard error from blocks of windows (neighbouring windows are not independent)."""
    blocks = len(a) // WINDOWS_PER_BLOCK
    of_blocks = (b - a)[: blocks * WINDOWS_PER_BLOCK].reshape(blocks, -1).mean(1)
    return {"mean": float((b - a).mean()), "standard_error": float(of_blocks.std(ddof=1) / blocks**0.5), "blocks": blocks}
