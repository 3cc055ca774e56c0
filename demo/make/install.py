"""Copies the checkpoints of seed 0 that are committed from work/ to demo/runs/."""

import shutil
from pathlib import Path

from train import STEPS, WORK

RUNS = Path(__file__).parent.parent / "runs"
COMMITTED = {
    "dense": range(3800, STEPS + 1, 200),
    "dense-early": (300, 650, 1000),
    "dense-annealed": (STEPS,),
    "moe": range(4200, STEPS + 1, 200),
    "moe-annealed": (STEPS,),
}

if __name__ == "__main__":
    shutil.rmtree(RUNS, ignore_errors=True)
    for run, steps in COMMITTED.items():
        for step in steps:
            shutil.copytree(WORK / "seed-0" / run / f"checkpoint-{step}", RUNS / run / f"checkpoint-{step}")
    for path in RUNS.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes 0600
    size = sum(path.stat().st_size for path in RUNS.rglob("*") if path.is_file())
    print(f"{RUNS}: {size} bytes")
    if size > 9 * 2**20:
        raise SystemExit("more than the 9 MiB that this repository has room for")
