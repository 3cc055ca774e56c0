"""Evidence: does merging stand for a decay of the learning rate, with and without a switch of the data? Eight seeds of a tiny model.

    python evidence.py train      work/evidence/seed-S/BRANCH/checkpoint-STEP; about 5 minutes of one core
    python evidence.py merge      the grid of merges, by `merge grid` of this repository (needs `npm run build`)
    python evidence.py score      work/evidence/scores.json; about 4 minutes of one core
    python evidence.py report     evidence.json and the tables of demo/README.md, from scores.json

A base run at a constant rate, then four branches of equal length from the same weights and optimizer state: {constant rate, linear decay
to 0} x {the same data, switched data}. The constant branches are merged. Everything here (mixes, tasks, windows, shapes, comparisons) was
fixed before the eight seeds were scored; trials with other seeds (100 and 101) had shown which tasks are neither impossible nor solved.
"""

import argparse
import copy
import json
import subprocess
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from evidence_model import CONFIG, CONTEXT, State, initial, next_losses, shapes
from evidence_report import report
from evidence_tasks import HALVES, Data, correct, loss_windows, losses, tasks

SEEDS = list(range(8))
BASE_STEPS, BRANCH_STEPS, SAVE_EVERY = 2400, 800, 80
WARM_UP, RATE, BATCH = 100, 3e-3, 8
# (switched, decayed)
BRANCHES = {"same": (False, False), "switched": (True, False), "same-decayed": (False, True), "switched-decayed": (True, True)}
WINDOWS, STRIDES, SHAPES = (3, 6, 10), (1, 2), ("linear", "minus-sqrt")  # the grid; windows in saves, of which a stride of 2 leaves half
END = BASE_STEPS + BRANCH_STEPS
PLAIN = f"step{END}-w10ckpt-wsm-linear"  # the plain mean of the whole branch (a linear decay): what is compared with the decay
ROOT = Path(__file__).parent.parent.parent
WORK = Path(__file__).parent / "work" / "evidence"


def rate(step: int, decayed: bool) -> float:
    """Linear from RATE at the fork to 0 at the end where decayed."""
    return RATE * (END - step) / BRANCH_STEPS if decayed else RATE * min(1.0, step / WARM_UP)


class Run:
    """All seeds in training, side by side."""

    def __init__(self, seeds: list[int]):
        self.seeds, self.step, self.data = seeds, 0, Data()
        self.state = {name: tensor.requires_grad_() for name, tensor in initial(seeds).items()}
        self.optimizer = self.new_optimizer()

    def new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.state.values(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def fork(self) -> "Run":
        """An independent copy that goes on from the same weights and moments."""
        twin = copy.copy(self)
        twin.state = {name: tensor.detach().clone().requires_grad_() for name, tensor in self.state.items()}
        twin.optimizer = twin.new_optimizer()
        twin.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return twin

    def advance(self, switched: bool, decayed: bool) -> None:
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, decayed)
        windows = torch.stack([torch.from_numpy(self.data.windows(seed, self.step, BATCH, switched)) for seed in self.seeds])
        of_seeds = next_losses(self.state, windows).mean((1, 2))
        self.optimizer.zero_grad(set_to_none=True)
        of_seeds.sum().backward()  # seeds share nothing: each gets the gradient of its own loss
        self.clip(1.0)
        self.optimizer.step()
        if self.step % 200 == 0:
            print(f"step {self.step}, mean loss of the batch {of_seeds.mean():.3f}", flush=True)

    def clip(self, most: float) -> None:
        """Each seed's gradient to a norm of at most `most`."""
        gradients = [tensor.grad for tensor in self.state.values()]
        norms = sum(gradient.flatten(1).square().sum(1) for gradient in gradients).sqrt()
        factors = (most / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient *= factors.view(-1, *[1] * (gradient.dim() - 1))

    def save(self, branch: str, last_rate: float) -> None:
        for i, seed in enumerate(self.seeds):
            folder = WORK / f"seed-{seed}" / branch / f"checkpoint-{self.step}"
            folder.mkdir(parents=True, exist_ok=True)
            weights = {name: tensor[i].detach().clone() for name, tensor in self.state.items()}
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
            (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
            tokens, log = self.step * BATCH * CONTEXT, [{"learning_rate": last_rate, "step": self.step}]
            trainer = {"global_step": self.step, "num_input_tokens_seen": tokens, "log_history": log}
            (folder / "trainer_state.json").write_text(json.dumps(trainer, indent=1) + "\n")


def train(seeds: list[int]) -> None:
    base = Run(seeds)
    while base.step < BASE_STEPS:
        base.advance(switched=False, decayed=False)
    base.save("base", RATE)
    for branch, (switched, decayed) in BRANCHES.items():
        run = base.fork()
        while run.step < END:
            run.advance(switched, decayed)
            if run.step == END or (not decayed and run.step % SAVE_EVERY == 0):
                run.save(branch, rate(run.step, decayed))


def arms() -> list[str]:
    """The outputs of the grid, as `merge grid` names them."""
    name = lambda window, shape, stride: f"step{END}-w{window}ckpt-wsm-{shape}" + f"-stride{stride}" * (stride > 1)
    return [name(window, shape, stride) for window in WINDOWS for shape in SHAPES for stride in STRIDES]


def merge(seeds: list[int]) -> None:
    values = lambda items: ",".join(map(str, items))
    axes = ["--windows", ",".join(f"{window}ckpt" for window in WINDOWS), "--decay", values(SHAPES), "--strides", values(STRIDES)]
    for seed in seeds:
        for branch in ("same", "switched"):
            folder = WORK / f"seed-{seed}"
            command = ["node", str(ROOT / "bin/merge.js"), "grid", str(folder / branch), *axes, "-o", str(folder / f"merged-{branch}"), "-q"]
            subprocess.run(command, check=True)


def folders() -> dict[str, str]:
    """What is scored: its name, and its folder in that of a seed."""
    found = {"fork": f"base/checkpoint-{BASE_STEPS}"}
    for data in ("same", "switched"):
        found[f"{data} newest"] = f"{data}/checkpoint-{END}"
        found[f"{data} decayed"] = f"{data}-decayed/checkpoint-{END}"
        found |= {f"{data} {arm}": f"merged-{data}/{arm}" for arm in arms()}
    return found


def load(seeds: list[int], folder: str) -> State:
    of_seeds = [load_file(WORK / f"seed-{seed}" / folder / "model.safetensors") for seed in seeds]
    return {name: torch.stack([state[name] for state in of_seeds]) for name in shapes()}


def score(seeds: list[int]) -> None:
    """By model, measure and half: a number for each seed, and of the tasks which items are right."""
    asked, windows = tasks(), loss_windows()
    scores, items = {}, {}
    for model, folder in folders().items():
        began, state = time.monotonic(), load(seeds, folder)
        right = {task: {half: correct(state, task, asked[task][half]) for half in HALVES} for task in asked}
        marks = lambda of: ["".join(map(str, seed)) for seed in of.int().tolist()]
        items[model] = {task: {half: marks(of) for half, of in halves.items()} for task, halves in right.items()}
        scores[model] = {f"{mix} loss": {half: losses(state, windows[mix][half]) for half in HALVES} for mix in windows}
        scores[model] |= {task: {half: of.double().mean(1).tolist() for half, of in halves.items()} for task, halves in right.items()}
        means = ", ".join(f"{name} {sum(of['validation']) / len(seeds):.3f}" for name, of in scores[model].items())
        print(f"{model}: {means} ({time.monotonic() - began:.0f} s)", flush=True)
    (WORK / "scores.json").write_text(json.dumps({"seeds": seeds, "scores": scores, "items": items}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "merge", "score", "report"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    if args.what == "report":
        report(WORK, PLAIN)
    else:
        {"train": train, "merge": merge, "score": score}[args.what](args.seeds)
    print(f"{args.what}: {time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
