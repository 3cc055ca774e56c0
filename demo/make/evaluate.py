"""Held-out losses of one trained model and seed, computed with transformers; writes work/seed-S/MODEL.json.

    python evaluate.py dense --seed 0     a few minutes on one core

Merges are the exact ones of oracle.py. Everything is measured on the validation slice; what one would choose by (the number of
checkpoints) on the search slice too. `collect.py` puts the files of all seeds together.
"""

import argparse
import json

import numpy as np
import torch

from loss import load_merged, load_model, paired, window_losses, windows
from models import MODELS
from oracle import combine, ema, load, sma, wma
from text import held_out
from train import FORK_STEP, STEPS, WORK

SPACING = 200
DEMO_BYTES = 16384  # what `merge demo` evaluates
TRAILING = 6
SCHEDULE_COUNTS = (6, 12)


class Evaluation:
    def __init__(self, model: str, seed: int):
        self.model, self.base = model, WORK / f"seed-{seed}"
        self.slices = {name: windows(held_out(name)) for name in ("search", "validation")}
        self.known: dict[tuple, np.ndarray] = {}
        self.slices["demo"] = windows(held_out("validation"), DEMO_BYTES)

    def path(self, step: int, folder: str = ""):
        return self.base / f"{self.model}{folder}" / f"checkpoint-{step}"

    def newest(self, count: int, end: int = STEPS, spacing: int = SPACING, folder: str = "") -> list:
        """Paths of the last `count` checkpoints up to `end`, oldest first."""
        return [self.path(end - i * spacing, folder) for i in reversed(range(count))]

    def losses(self, paths: list, weights: list[float] | None = None, on: str = "validation") -> np.ndarray:
        """Window losses of the merge of `paths` (of a checkpoint as it is, for one path)."""
        key = (*paths, *(weights or ()), on)
        if key not in self.known:
            merged = combine([load(path) for path in paths], weights or sma(len(paths))) if len(paths) > 1 else None
            model = load_model(paths[0]) if merged is None else load_merged(merged, paths[-1])
            self.known[key] = window_losses(model, self.slices[on])
        return self.known[key]

    def last(self, most: int) -> list[dict]:
        """The mean of the last 1..most checkpoints."""
        newest = self.losses(self.newest(1))
        rows = []
        for n in range(1, most + 1):
            on_validation = self.losses(self.newest(n))
            row = {"n": n, "validation": on_validation.mean(), "search": self.losses(self.newest(n), on="search").mean()}
            rows.append(row if n == 1 else row | {"minus_newest": paired(newest, on_validation)})
        return rows

    def annealed(self) -> dict:
        control = [self.path(STEPS, "-annealed")]
        on_validation = self.losses(control)
        along = {step: self.losses([self.path(step, "-annealed")]).mean() for step in range(FORK_STEP + SPACING, STEPS, SPACING)}
        return {
            "validation": on_validation.mean(),
            "search": self.losses(control, on="search").mean(),
            "minus_newest": paired(self.losses(self.newest(1)), on_validation),
            "by_step": along | {STEPS: on_validation.mean()},
        }

    def schedules(self) -> list[dict]:
        """Other weights over the same checkpoints, each against the plain mean."""
        rows = []
        for n in SCHEDULE_COUNTS:
            paths = self.newest(n)
            mean = self.losses(paths)
            rows.append({"schedule": "sma", "n": n, "validation": mean.mean()})
            for name, weights in (("wma", wma(n)), ("ema alpha 0.2", ema(n, 0.2)), ("ema alpha 0.5", ema(n, 0.5))):
                losses = self.losses(paths, weights)
                rows.append({"schedule": name, "n": n, "validation": losses.mean(), "minus_sma": paired(mean, losses)})
        return rows

    def early(self) -> list[dict]:
        """Where wide windows harm: means at step 500 and 1,000, spaced 50, and of the three checkpoints that are committed."""
        cases = [self.newest(n, end, 50, "-early") for end, counts in ((500, (1, 3, 5, 10)), (1000, (1, 3, 5, 10, 15, 20))) for n in counts]
        cases += [self.newest(1, step, 50, "-early") for step in (300, 650)]
        cases += [self.newest(n, 1000, 350, "-early") for n in (2, 3)]
        rows = []
        for paths in cases:
            losses = self.losses(paths)
            row = {"steps": [int(path.name.split("-")[1]) for path in paths], "validation": losses.mean()}
            if len(paths) > 1:
                row["minus_newest"] = paired(self.losses(paths[-1:]), losses)
            rows.append(row)
        return rows

    def trailing(self) -> dict:
        """The mean of the last TRAILING checkpoints, at every step of the run."""
        return {end: self.losses(self.newest(TRAILING, end)).mean() for end in range(TRAILING * SPACING, STEPS + 1, SPACING)}

    def demo(self) -> dict:
        """What `merge demo` computes on its 16 KB, for comparison: by number of checkpoints averaged, and annealed."""
        rows = {f"last {n}": self.losses(self.newest(n), on="demo").mean() for n in (1, 4, 6)}
        return rows | {"annealed": self.losses([self.path(STEPS, "-annealed")], on="demo").mean()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    evaluation = Evaluation(args.model, args.seed)
    result = {
        "seed": args.seed,
        "single": {step: evaluation.losses([evaluation.path(step)]).mean() for step in range(SPACING, STEPS + 1, SPACING)},
        "last": evaluation.last(12 if args.model == "dense" else 10),
        "annealed": evaluation.annealed(),
        "schedules": evaluation.schedules() if args.model == "dense" else [],
        "early": evaluation.early() if args.model == "dense" else [],
        "trailing": evaluation.trailing(),
        "demo": evaluation.demo(),
    }
    (evaluation.base / f"{args.model}.json").write_text(json.dumps(result, default=float))


if __name__ == "__main__":
    main()
