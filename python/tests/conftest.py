"""Tests of the package: that of this repository, or the one that is installed, with its own engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "demo" / "runs" / "dense"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("CKPT_TEST_SLOW"):
        return
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.skip(reason="CKPT_TEST_SLOW is not set"))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the demo, near what is written: a merge does not record the way to another top-level folder."""
    return shutil.copytree(RUN, tmp_path_factory.mktemp("runs") / "dense")


@pytest.fixture
def members(run: Path) -> list[Path]:
    return [run / f"checkpoint-{step}" for step in (5600, 5800, 6000)]


@pytest.fixture
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    from ckpt_merge._node import engine, find_node

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([find_node(), engine(), *map(str, words)], capture_output=True, text=True, timeout=120)

    return call


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def engines_of(folder: object) -> list[int]:
    """Processes of an engine that were told of a folder."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            words = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if b"merge.js" in words and os.fsencode(str(folder)) in words:
            found.append(int(name))
    return found
