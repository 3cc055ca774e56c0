"""Makes logits.json: what transformers computes (float32, from the committed bf16 weights) for the TypeScript forward pass to agree with.

    python test/golden/demo/make.py       needs demo/make/requirements.txt; run at the top of the repository
"""

import json
import sys
from pathlib import Path

import torch

TOP = Path(__file__).parents[3]
sys.path.insert(0, str(TOP / "demo" / "make"))

from loss import load_merged, load_model, window_losses, windows  # noqa: E402
from oracle import combine, load, sma  # noqa: E402
from text import held_out  # noqa: E402

DEMO_BYTES = 16384
POSITIONS = (0, 1, 63, 126)
RUNS = TOP / "demo" / "runs"


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    demo = windows(held_out("validation"), DEMO_BYTES)
    few = windows(held_out("search"), 4096)
    golden = {"positions": POSITIONS, "models": {}}
    for name in ("dense", "moe"):
        newest = RUNS / name / "checkpoint-6000"
        model = load_model(newest)
        logits = model(input_ids=demo[:1]).logits[0, list(POSITIONS)]
        golden["models"][name] = {
            "checkpoint": f"demo/runs/{name}/checkpoint-6000",
            "logits": [[round(value, 6) for value in row] for row in logits.tolist()],
            "validation16k": window_losses(model, demo).mean(),
            "search4k": window_losses(model, few).tolist(),
        }
    newest_four = [RUNS / "dense" / f"checkpoint-{step}" for step in (5400, 5600, 5800, 6000)]
    merged = load_merged(combine([load(path) for path in newest_four], sma(4)), newest_four[-1])
    golden["meanOfDenseLast4"] = {"validation16k": window_losses(merged, demo).mean()}
    (Path(__file__).parent / "logits.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
