from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ckpt_merge

#: The Python that has torch and transformers, as in the tests of the engine.
PYTHON = os.environ.get("CKPT_TEST_PYTHON") or sys.executable


@pytest.mark.slow
def test_merges_are_those_of_torch(tmp_path):
    here = {**os.environ, "PYTHONPATH": str(Path(ckpt_merge.__file__).resolve().parents[1])}
    asked = subprocess.run([PYTHON, "-c", "import torch, transformers"], capture_output=True, text=True, timeout=120)
    if asked.returncode != 0:
        pytest.skip(f"{PYTHON} has no torch and transformers: name one that has with CKPT_TEST_PYTHON")
    script = Path(__file__).with_name("torch_oracle.py")
    run = subprocess.run([PYTHON, "-W", "ignore", str(script)], env=here, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and run.stdout.endswith("agrees\n"), run.stderr
