"""Puts the evaluations of all seeds together: writes results.json, and the tables of demo/README.md from it."""

import json
import platform
from pathlib import Path

import safetensors
import torch
import transformers

from install import COMMITTED
from loss import WINDOWS_PER_BLOCK
from models import CONTEXT, MODELS
from text import held_out
from train import STEPS, WORK

SEEDS = (0, 1, 2)
HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- tables: written by make/collect.py -->", "<!-- end of tables -->"


def rounded(value):
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def collect() -> dict:
    seeds = lambda model: [json.loads((WORK / f"seed-{seed}" / f"{model}.json").read_text()) for seed in SEEDS]
    return {
        "unit": f"nats per predicted byte, windows of {CONTEXT} bytes; standard errors over blocks of {WINDOWS_PER_BLOCK} windows",
        "made_with": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
        "held_out_bytes": {name: len(held_out(name)) for name in ("search", "validation")},
        "models": {name: {"parameters": make().num_parameters(), "seeds": rounded(seeds(name))} for name, make in MODELS.items()},
    }


def table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]) + "\n"


def change(difference: dict) -> str:
    return f"{difference['mean']:+.4f} ± {difference['standard_error']:.4f}"


def best(seed: dict) -> dict:
    """The number of checkpoints that the search slice would have one choose."""
    return min(seed["last"], key=lambda row: row["search"])


def recovered(seed: dict) -> float:
    """How much of what annealing gives the merge gives, on the validation slice."""
    newest = seed["last"][0]["validation"]
    return (newest - best(seed)["validation"]) / (newest - seed["annealed"]["validation"])


def headline(models: dict) -> str:
    rows = []
    for name, model in models.items():
        for seed in model["seeds"]:
            newest, merged, annealed = seed["last"][0], best(seed), seed["annealed"]
            rows.append(
                [f"{name}, seed {seed['seed']}", f"{newest['validation']:.4f}", f"{merged['validation']:.4f}", str(merged["n"])]
                + [change(merged["minus_newest"]), f"{annealed['validation']:.4f}", change(annealed["minus_newest"])]
                + [f"{100 * recovered(seed):.0f} %"]
            )
    return table(["run", "newest", "merged", "N", "merged − newest", "annealed", "annealed − newest", "recovered"], rows)


def per_seed(first: str) -> list[str]:
    return [first] + [f"seed {seed}" for seed in SEEDS]


def last_n(model: dict) -> str:
    cell = lambda row: f"{row['validation']:.4f}" + (f" ({change(row['minus_newest'])})" if "minus_newest" in row else "")
    rows = [[str(rows[0]["n"])] + [cell(row) for row in rows] for rows in zip(*(seed["last"] for seed in model["seeds"]))]
    annealed = ["annealed"] + [f"{s['annealed']['validation']:.4f} ({change(s['annealed']['minus_newest'])})" for s in model["seeds"]]
    return table(per_seed("N"), rows + [annealed])


def singles(model: dict, run: str) -> str:
    return table(per_seed("step"), [[str(step)] + [f"{s['single'][str(step)]:.4f}" for s in model["seeds"]] for step in COMMITTED[run]])


def early(model: dict) -> str:
    def label(steps: list[int]) -> str:
        if len(steps) == 1:
            return f"step {steps[0]} alone"
        return f"mean of {len(steps)}: {steps[0]} to {steps[-1]}, every {steps[1] - steps[0]}"

    rows = zip(*(seed["early"] for seed in model["seeds"]))
    cell = lambda row: f"{row['validation']:.4f}" + (f" ({change(row['minus_newest'])})" if "minus_newest" in row else "")
    return table(per_seed("checkpoints"), [[label(row[0]["steps"])] + [cell(seed) for seed in row] for row in rows])


def schedules(model: dict) -> str:
    rows = zip(*([row for row in seed["schedules"] if "minus_sma" in row] for seed in model["seeds"]))
    return table(per_seed("weights (against sma)"), [[f"{r[0]['schedule']}, N = {r[0]['n']}"] + [change(s["minus_sma"]) for s in r] for r in rows])


def tables(results: dict) -> str:
    dense, moe = results["models"]["dense"], results["models"]["moe"]
    parts = [
        ("What merging gives, and what annealing gives", headline(results["models"])),
        ("Dense: mean of the last N checkpoints (200 steps apart, the last at step 6,000)", last_n(dense)),
        ("Mixture of experts: mean of the last N checkpoints", last_n(moe)),
        ("Dense: the committed checkpoints one by one", singles(dense, "dense")),
        ("Mixture of experts: the committed checkpoints one by one", singles(moe, "moe")),
        ("Dense, early in the run: where wide windows harm", early(dense)),
        ("Dense: other weights over the same checkpoints", schedules(dense)),
    ]
    return "\n".join(f"### {title}\n\n{body}" for title, body in parts)


if __name__ == "__main__":
    results = collect()
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n{END}{rest.partition(END)[2]}")
