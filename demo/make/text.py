"""The text of the demo runs: the King James Bible, as Debian's `bible-kjv` prints it.

Source: the Debian packages bible-kjv and bible-kjv-text, version 4.38. The text is in the public domain; in the United Kingdom it is under Crown
letters patent.

One verse a line, references stripped, byte-level vocabulary (256). Every 16th block of 40 verses is held out; the held-out
blocks go by turns to two slices: `search` (to choose by) and `validation` (to report).
"""

import subprocess
from pathlib import Path

import numpy as np

VERSES_PER_BLOCK = 40
HELD_OUT_EVERY = 16
HELD_OUT_FOLDER = Path(__file__).parent.parent / "held-out"


def verses() -> list[str]:
    """All 31,102 verses in order. Needs the Debian packages bible-kjv and bible-kjv-text."""
    printed = subprocess.run(["bible", "-f", "ge1:1-rev22:21"], capture_output=True, check=True).stdout
    return [line.split(" ", 1)[1] for line in printed.decode("ascii").splitlines()]


def split() -> tuple[bytes, bytes, bytes]:
    """(training, search, validation): the bytes of the three parts."""
    lines = verses()
    blocks = ["".join(f"{line}\n" for line in lines[i : i + VERSES_PER_BLOCK]) for i in range(0, len(lines), VERSES_PER_BLOCK)]
    is_held_out = [i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for i in range(len(blocks))]
    training = [block for block, out in zip(blocks, is_held_out) if not out]
    held_out = [block for block, out in zip(blocks, is_held_out) if out]
    return tuple("".join(part).encode("ascii") for part in (training, held_out[0::2], held_out[1::2]))


def as_array(text: bytes) -> np.ndarray:
    return np.frombuffer(text, dtype=np.uint8).astype(np.int64)


def held_out(name: str) -> bytes:
    """A committed slice, `search` or `validation`; needs no Debian package."""
    return (HELD_OUT_FOLDER / f"{name}.txt").read_bytes()


if __name__ == "__main__":
    training, search, validation = split()
    HELD_OUT_FOLDER.mkdir(exist_ok=True)
    (HELD_OUT_FOLDER / "search.txt").write_bytes(search)
    (HELD_OUT_FOLDER / "validation.txt").write_bytes(validation)
    print(f"training {len(training)} bytes, search {len(search)}, validation {len(validation)}")
