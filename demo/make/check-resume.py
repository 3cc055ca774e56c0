"""Checks that transformers' Trainer goes on from a merge: once with the weights alone, once with the newest member's optimizer state as well.

    python demo/make/check-resume.py

Trains 60 steps from demo/runs/dense/checkpoint-6000 in a temporary folder, saving with optimizer state every 20, merges the three checkpoints with
`merge run` (for: resume; optimizer drop and newest), then trains 40 more steps from the newest checkpoint and from both merges, on the same data in the
same order. Needs `npm run build`. Prints held-out losses; exits 1 when the Trainer did not start from what it was given.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import torch
from accelerate import __version__ as accelerate_version
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments, logging

from loss import window_losses, windows
from oracle import combine, load, same_bits, sma
from text import held_out

ROOT = Path(__file__).parent.parent.parent
START = ROOT / "demo/runs/dense/checkpoint-6000"
STEPS, MORE, SAVE_EVERY, BATCH = 60, 40, 20, 8
logging.set_verbosity_error()
logging.disable_progress_bar()


class InOrder(Trainer):
    """The same data in the same order, whatever the start."""

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


class AtStart(TrainerCallback):
    """What the Trainer holds before its first step."""

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.step = state.global_step
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        moments = getattr(optimizer, "optimizer", optimizer).state.values()
        self.moments = [entry["exp_avg"].detach().clone() for entry in moments]


def train(load: Path, data: torch.Tensor, output: Path, steps: int, resume: Path | None = None) -> tuple[AtStart, torch.nn.Module]:
    args = TrainingArguments(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        weight_decay=0.1,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        save_steps=SAVE_EVERY,
        logging_steps=SAVE_EVERY,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(load, dtype=torch.float32)
    at_start = AtStart()
    samples = [{"input_ids": window, "labels": window} for window in data]
    trainer = InOrder(model=model, args=args, train_dataset=samples, callbacks=[at_start])
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return at_start, trainer.model.eval()


def members(folder: Path) -> list[Path]:
    return [folder / "run" / f"checkpoint-{step}" for step in range(SAVE_EVERY, STEPS + 1, SAVE_EVERY)]


def merge(folder: Path) -> tuple[Path, Path]:
    """(weights alone, with the newest member's state) of the run in `folder`, by the command that users have."""
    recipe = folder / "resume.yaml"
    outputs = [{"path": optimizer, "for": "resume", "optimizer": optimizer} for optimizer in ("drop", "newest")]
    inputs = [str(path.relative_to(folder)) for path in members(folder)]
    recipe.write_text(json.dumps({"inputs": inputs, "outputs": outputs}))  # JSON is YAML
    subprocess.run(["node", str(ROOT / "bin/merge.js"), "run", str(recipe), "-q"], check=True)
    return folder / "drop", folder / "newest"


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in b)


def main() -> None:
    torch.set_num_threads(1)
    validation = windows(held_out("validation"))
    data = windows(held_out("search"))[: (STEPS + MORE) * BATCH]  # unseen by the demo runs

    def loss(model: torch.nn.Module) -> str:
        return f"{window_losses(model, validation).mean():.4f}"

    def loaded(folder: Path) -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(START, data, folder / "run", STEPS)
        newest = folder / "run" / f"checkpoint-{STEPS}"
        dropped, kept = merge(folder)
        rows = []

        def go_on(label: str, load: Path, resume: Path | None) -> AtStart:
            steps, rest = (STEPS + MORE, data) if resume else (MORE, data[STEPS * BATCH :])
            at_start, model = train(load, rest, folder / label, steps, resume)
            rows.append(f"| {label} | {loss(loaded(load))} | {loss(model)} |")
            return at_start

        control = go_on("newest checkpoint, resumed", newest, newest)
        weights_alone = go_on("merge, optimizer drop, loaded as a model", dropped, None)
        with_state = go_on("merge, optimizer newest, resumed", kept, kept)

        merged = load_file(dropped / "model.safetensors")
        findings = {
            "both merges hold the same float32 tensors": same(merged, load_file(kept / "model.safetensors"))
            and all(t.dtype == torch.float32 for t in merged.values()),
            "they are torch's float64 mean, bit for bit": same_bits(merged, combine([load(path) for path in members(folder)], sma(3))) == [],
            "drop: the Trainer starts at step 0 from the merged weights": weights_alone.step == 0 and same(weights_alone.weights, merged),
            "drop: it has no moments, and no file of them": weights_alone.moments == []
            and not (dropped / "optimizer.pt").exists()
            and not (dropped / "trainer_state.json").exists(),
            f"newest: the Trainer starts at step {STEPS} from the merged weights": with_state.step == STEPS and same(with_state.weights, merged),
            "newest: it has the moments of the newest member, as the control has": len(with_state.moments) > 0
            and all(torch.equal(a, b) for a, b in zip(with_state.moments, control.moments, strict=True)),
            "newest: state files are those of the newest member, byte for byte": all(
                (kept / file).read_bytes() == (newest / file).read_bytes()
                for file in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "training_args.bin")
            ),
        }
        print(f"transformers Trainer, accelerate {accelerate_version}; held-out loss in nats per predicted byte\n")
        print(f"| start | at the start | after {MORE} steps |\n| --- | ---: | ---: |")
        print("\n".join(rows) + "\n")
        for finding, holds in findings.items():
            print(f"{'yes' if holds else 'NO '}  {finding}")
        raise SystemExit(0 if all(findings.values()) else 1)


if __name__ == "__main__":
    main()
