"""Makes golden.json from the committed checkpoints:

- logits and losses as transformers computes them (float32, from the bf16 weights), for the TypeScript forward pass to agree with;
- SHA-256 of merges as torch computes them: all tensor data, one tensor after the other in the order of their names.

    python test/golden/demo/make.py       needs demo/make/requirements.txt; run at the top of the repository
"""

import hashlib
import json
import sys
from pathlib import Path

import torch

TOP = Path(__file__).parents[3]
sys.path.insert(0, str(TOP / "demo" / "make"))

from loss import load_merged, load_model, window_losses, windows  # noqa: E402
from oracle import combine, ema, load, sma, wma  # noqa: E402
from text import held_out  # noqa: E402

DEMO_BYTES = 16384
POSITIONS = (0, 1, 63, 126)
RUNS = TOP / "demo" / "runs"


def newest(run: str, count: int) -> list[Path]:
    return [RUNS / run / f"checkpoint-{6000 - 200 * i}" for i in reversed(range(count))]


def digest(state: dict[str, torch.Tensor]) -> str:
    every = hashlib.sha256()
    for name in sorted(state):
        every.update(state[name].contiguous().view(torch.uint8).numpy().tobytes())
    return every.hexdigest()


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    demo = windows(held_out("validation"), DEMO_BYTES)
    few = windows(held_out("search"), 4096)
    golden = {"positions": POSITIONS, "models": {}}
    for name in ("dense", "moe"):
        model = load_model(newest(name, 1)[0])
        logits = model(input_ids=demo[:1]).logits[0, list(POSITIONS)]
        golden["models"][name] = {
            "checkpoint": f"demo/runs/{name}/checkpoint-6000",
            "logits": [[round(value, 6) for value in row] for row in logits.tolist()],
            "validation16k": window_losses(model, demo).mean(),
            "search4k": window_losses(model, few).tolist(),
        }
    mean = combine([load(path) for path in newest("dense", 4)], sma(4))
    merged = load_merged(mean, newest("dense", 1)[0])
    golden["meanOfDenseLast4"] = {"validation16k": window_losses(merged, demo).mean(), "search4k": window_losses(merged, few).tolist()}
    golden["merges"] = [
        {"run": run, "last": n, "method": method, "weights": weights, "sha256": digest(combine([load(path) for path in newest(run, n)], weights))}
        for run, n, method, weights in (
            ("dense", 4, "sma", sma(4)),
            ("dense", 12, "sma", sma(12)),
            ("dense", 6, "wma", wma(6)),
            ("dense", 5, "ema", ema(5, 0.2)),
            ("dense", 2, "weights", [-0.5, 1.5]),
            ("moe", 10, "sma", sma(10)),
        )
    ]
    (Path(__file__).parent / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
