"""Trains one demo model with one seed: warm-up, constant rate, and an annealed control forked from the same run.

    python train.py dense --seed 0        about 3 minutes on one core; the figures are of seeds 0, 1 and 2, the committed weights of seed 0

Checkpoints are written by `save_pretrained` in bfloat16 (of a copy: training stays in float32) under
work/seed-S/{MODEL, MODEL-early, MODEL-annealed}/checkpoint-STEP.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch

from models import CONTEXT, MODELS
from text import as_array, split

STEPS = 6000
FORK_STEP = 5000  # the annealed control shares everything up to here, and the order of its data after
WARM_UP = 100
RATE = 3e-3
BATCH = 8
LOG_EVERY = 200
WORK = Path(__file__).parent / "work"


def constant_rate(step: int) -> float:
    return RATE * min(1.0, step / WARM_UP)


def annealed_rate(step: int) -> float:
    """Linear from RATE at FORK_STEP to 0 at STEPS."""
    return RATE * (STEPS - step) / (STEPS - FORK_STEP)


def kept_in(model: str, step: int) -> list[str]:
    """The run folders that keep this step of the constant run."""
    early = model == "dense" and step <= 1000 and step % 50 == 0
    return [model] * (step % 200 == 0) + [f"{model}-early"] * early


class Run:
    """A model in training; `fork` gives an independent copy that goes on from the same state."""

    def __init__(self, name: str, seed: int, text: torch.Tensor):
        torch.manual_seed(seed)
        self.name, self.seed, self.text = name, seed, text
        self.model = MODELS[name]().train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
        order = torch.Generator().manual_seed(1000 + seed)
        self.starts = torch.randint(len(text) - CONTEXT, (STEPS, BATCH), generator=order)
        self.step, self.recent, self.log = 0, [], []

    def fork(self) -> "Run":
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model)
        twin.optimizer = torch.optim.AdamW(twin.model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
        twin.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        twin.recent, twin.log = list(self.recent), list(self.log)
        return twin

    def advance(self, rate: float) -> None:
        """One optimizer step on the windows that belong to it."""
        windows = torch.stack([self.text[start : start + CONTEXT] for start in self.starts[self.step].tolist()])
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.model(input_ids=windows, labels=windows).loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.recent.append(loss.item())
        if self.step % LOG_EVERY == 0:
            mean = sum(self.recent) / len(self.recent)
            self.log.append({"learning_rate": rate, "loss": round(mean, 4), "step": self.step})
            self.recent = []
            print(f"{self.name} seed {self.seed} step {self.step} loss {mean:.4f}", flush=True)

    def save(self, folder: str) -> None:
        """A checkpoint as transformers writes it, with a trainer_state.json in the style of its Trainer."""
        path = WORK / f"seed-{self.seed}" / folder / f"checkpoint-{self.step}"
        copy.deepcopy(self.model).to(torch.bfloat16).save_pretrained(path)
        state = {
            "global_step": self.step,
            "log_history": self.log,
            "logging_steps": LOG_EVERY,
            "max_steps": STEPS,
            "num_input_tokens_seen": self.step * BATCH * CONTEXT,
            "train_batch_size": BATCH,
        }
        (path / "trainer_state.json").write_text(json.dumps(state, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop-after", type=int, default=STEPS, help="stop early, to try the script")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    run = Run(args.model, args.seed, torch.from_numpy(as_array(split()[0])))
    fork = None
    while run.step < args.stop_after:
        run.advance(constant_rate(run.step + 1))
        for folder in kept_in(args.model, run.step):
            run.save(folder)
        if run.step == FORK_STEP:
            fork = run.fork()
    while fork is not None and fork.step < STEPS:
        fork.advance(annealed_rate(fork.step + 1))
        if fork.step % 200 == 0:
            fork.save(f"{args.model}-annealed")
    print(f"{args.model} seed {args.seed}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
