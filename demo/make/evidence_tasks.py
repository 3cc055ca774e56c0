"""What the evidence runs are trained on and scored by: text, lines of sums, and three tasks with items.

Decided before any of the eight seeds was trained. The general data is the King James Bible (text.py) with one window of sums in 16; the
switched data is what the tasks need: windows of the New Testament and windows of sums, half and half. Everything that is scored comes in
two halves, `search`, to choose by, and `validation`, to report, which share no text and no item. Text that is scored was never trained on;
of sums there are 400, and training has them all.
"""

import random
import re
from dataclasses import dataclass

import numpy as np
import torch

from evidence_model import CONTEXT, State, logits_of, next_losses
from text import HELD_OUT_EVERY, VERSES_PER_BLOCK, as_array, verses

NEW_TESTAMENT = 23145  # number of the first verse of Matthew, from 0
GENERAL_SUMS, SWITCHED_SUMS = 1 / 16, 1 / 2  # share of windows that hold sums
HALVES = ("search", "validation")
ITEMS = {"ranking": 250, "completion": 250}  # of each half


def blocks() -> dict[str, list[list[str]]]:
    """Blocks of verses, split as text.py splits them; those from the New Testament once more under `new`."""
    lines = verses()
    parts: dict[str, list[list[str]]] = {name: [] for name in ("train", "new train", *HALVES, *(f"new {half}" for half in HALVES))}
    held_out = 0
    for i, start in enumerate(range(0, len(lines), VERSES_PER_BLOCK)):
        name = "train"
        if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1:
            name, held_out = HALVES[held_out % 2], held_out + 1
        block = lines[start : start + VERSES_PER_BLOCK]
        parts[name].append(block)
        if start >= NEW_TESTAMENT:
            parts[f"new {name}"].append(block)
    return parts


def joined(part: list[list[str]]) -> bytes:
    return "".join(f"{line}\n" for block in part for line in block).encode("ascii")


SUMS = [f"{a:02}+{b}={a + b:02}\n" for a in range(40) for b in range(10)]


def sums_window(rng: random.Random) -> bytes:
    """Sums, from the start of one on, cut at CONTEXT bytes."""
    return "".join(rng.choice(SUMS) for _ in range(CONTEXT // 8 + 1))[:CONTEXT].encode("ascii")


class Data:
    """Windows of CONTEXT bytes; what a seed sees at a step depends on the seed, the step and the mix alone."""

    def __init__(self):
        parts = blocks()
        self.general, self.new = as_array(joined(parts["train"])), as_array(joined(parts["new train"]))

    def windows(self, seed: int, step: int, count: int, switched: bool) -> np.ndarray:
        rng = random.Random(f"{seed} {step}")
        text, share = (self.new, SWITCHED_SUMS) if switched else (self.general, GENERAL_SUMS)
        rows = []
        for _ in range(count):
            if rng.random() < share:
                rows.append(as_array(sums_window(rng)))
            else:
                start = rng.randrange(len(text) - CONTEXT)
                rows.append(text[start : start + CONTEXT])
        return np.stack(rows)


@dataclass
class Items:
    """One row a text to score: its bytes, and which of them are the answer."""

    tokens: torch.Tensor  # [rows, length], zeros after the end
    answer: torch.Tensor  # [rows, length], true at the bytes asked for


def rows_of(texts: list[tuple[str, str]]) -> Items:
    """Of (prompt, answer) pairs."""
    length = max(len(prompt) + len(answer) for prompt, answer in texts)
    tokens, answers = torch.zeros(len(texts), length, dtype=torch.long), torch.zeros(len(texts), length, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(texts):
        tokens[row, : len(prompt) + len(answer)] = torch.from_numpy(as_array((prompt + answer).encode("ascii")))
        answers[row, len(prompt) : len(prompt) + len(answer)] = True
    return Items(tokens, answers)


def ranking(part: list[list[str]], rng: random.Random) -> Items:
    """Pairs of rows: a verse's next four words, then the same with two neighbours exchanged, after up to 36 bytes before them."""
    pairs, texts = set(), []
    verses_of_part = [verse for block in part for verse in block if verse.count(" ") >= 10]
    while len(pairs) < ITEMS["ranking"]:
        words = rng.choice(verses_of_part).split(" ")
        start, at = rng.randrange(5, len(words) - 4), rng.randrange(3)
        prompt, true = " ".join(words[:start])[-36:], words[start : start + 4]
        wrong = true[:at] + [true[at + 1], true[at]] + true[at + 2 :]
        pair = [(prompt, " " + " ".join(order)) for order in (true, wrong)]
        if wrong != true and len(pair[0][1]) <= CONTEXT - 36 and tuple(pair) not in pairs:
            pairs.add(tuple(pair))
            texts += pair
    return rows_of(texts)


def completion(part: list[list[str]], rng: random.Random) -> Items:
    """The rest of a word of five letters or more, after its first two and up to 40 bytes before."""
    words = [(verse, word) for block in part for verse in block for word in re.finditer("[A-Za-z]{5,}", verse) if word.start() >= 24]
    cuts = [(verse, word.start() + 2, word.end()) for verse, word in rng.sample(words, ITEMS["completion"])]
    return rows_of([(verse[max(0, cut - 42) : cut], verse[cut:end]) for verse, cut, end in cuts])


def addition(half: str, rng: random.Random) -> Items:
    """The end of each sum of one half, after another finished one."""
    of_half = random.Random("sums").sample(SUMS, len(SUMS))[HALVES.index(half) :: 2]
    return rows_of([(rng.choice(SUMS) + asked[:5], asked[5:]) for asked in of_half])


def tasks() -> dict[str, dict[str, Items]]:
    """By task and half."""
    parts, found = blocks(), {name: {} for name in ("ranking", "completion", "addition")}
    for half in HALVES:
        rng = random.Random(half)
        found["ranking"][half] = ranking(parts[f"new {half}"], rng)
        found["completion"][half] = completion(parts[f"new {half}"], rng)
        found["addition"][half] = addition(half, rng)
    return found


def spread(text: bytes, count: int) -> torch.Tensor:
    """`count` windows spread evenly over the text."""
    starts = [i * (len(text) - CONTEXT) // count for i in range(count)]
    return torch.stack([torch.from_numpy(as_array(text[start : start + CONTEXT])) for start in starts])


def loss_windows() -> dict[str, dict[str, torch.Tensor]]:
    """Held-out windows: of the general text alone, and of the switched mix (text and sums in its proportions)."""
    parts, found = blocks(), {"general": {}, "switched": {}}
    for half in HALVES:
        rng = random.Random(f"loss {half}")
        found["general"][half] = spread(joined(parts[half]), 256)
        sums = torch.stack([torch.from_numpy(as_array(sums_window(rng))) for _ in range(96)])
        found["switched"][half] = torch.cat([spread(joined(parts[f"new {half}"]), 96), sums])
    return found


PART = 64  # windows or items that are computed at once, for the sake of the caches


def for_all(state: State, tokens: torch.Tensor) -> torch.Tensor:
    """The same tokens for every seed of the stacked state."""
    return tokens[None].expand(len(next(iter(state.values()))), -1, -1)


@torch.no_grad()
def losses(state: State, windows: torch.Tensor) -> list[float]:
    """Of each seed, nats per predicted byte."""
    return torch.cat([next_losses(state, for_all(state, part)) for part in windows.split(PART)], 1).double().mean((1, 2)).tolist()


@torch.no_grad()
def correct(state: State, task: str, items: Items) -> torch.Tensor:
    """[seeds, items]: the true continuation is likelier than the other; of other tasks, greedy decoding finds the answer."""
    parts = []
    for tokens, answer in zip(items.tokens.split(PART), items.answer[:, 1:].split(PART)):
        logits = logits_of(state, for_all(state, tokens[:, :-1]))
        asked = for_all(state, tokens[:, 1:])
        if task == "ranking":
            of_bytes = logits.log_softmax(-1).gather(-1, asked[..., None]).squeeze(-1)
            of_rows = (of_bytes * answer).sum(-1)
            parts.append(of_rows[:, 0::2] > of_rows[:, 1::2])
        else:
            parts.append(((logits.argmax(-1) == asked) | ~answer).all(-1))
    return torch.cat(parts, 1)
