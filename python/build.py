"""Builds the wheel, which carries the engine, and prints its path.

python3 python/build.py [--addon FILE] [--tag TAG] [--out FOLDER]

--addon: the addon to carry, named as prebuilds are: linux-arm64.node (default: what is built here).
--tag: the platform, as manylinux_2_28_aarch64 (default: what `auditwheel show` says of the addon).
--out: folder of the wheel (default: build/wheel).

Needs Node, npm and what `npm run build` made; hatchling and auditwheel come from the package registry into
build/python-tools.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ["hatchling>=1.26", "auditwheel>=6", "twine>=6"]
#: Without Node, which is another wheel.
MOST_BYTES = 12_000_000
MACHINES = {"x64": "x86_64", "arm64": "aarch64"}


def main() -> int:
    parser = argparse.ArgumentParser(usage="python3 python/build.py [--addon FILE] [--tag TAG] [--out FOLDER]")
    for option in ("--addon", "--tag", "--out"):
        parser.add_argument(option)
    given = parser.parse_args()
    out = Path(given.out or ROOT / "build" / "wheel").resolve()
    out.mkdir(parents=True, exist_ok=True)
    tools = with_tools()
    with tempfile.TemporaryDirectory(prefix="ckpt-merge-wheel-") as scratch:
        engine = Path(scratch, "engine")
        addon = [] if given.addon is None else [str(Path(given.addon).resolve())]
        run("node", str(ROOT / "scripts" / "standalone.js"), str(engine), *addon)
        tag = given.tag
        if tag is None:
            draft = wheel_of(tools, engine, f"linux_{machine(engine)}", Path(scratch))
            tag = shown_tag(run(tools / "auditwheel", "show", str(draft), read=True))
        wheel = wheel_of(tools, engine, tag, Path(scratch, "tagged"))
        run(tools / "twine", "check", "--strict", str(wheel), read=True)
        size = wheel.stat().st_size
        if size > MOST_BYTES:
            raise SystemExit(f"{wheel.name} has {size:,} bytes, and at most {MOST_BYTES:,} are wanted")
        path = Path(shutil.copy(wheel, out))
    print(f"{wheel.name}: {size / 1e6:.1f} MB", file=sys.stderr)
    print(path)
    return 0


def with_tools() -> Path:
    """The programs of a virtual environment that has the tools."""
    folder = ROOT / "build" / "python-tools"
    programs = folder / "bin"
    if not all((programs / name).exists() for name in ("hatchling", "auditwheel", "twine")):
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        run(programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS)
    return programs


def machine(engine: Path) -> str:
    """The machine as wheels call it, by the addon's name."""
    (addon,) = (engine / "prebuilds").iterdir()
    for node, wheel in MACHINES.items():
        if addon.name.startswith(f"linux-{node}."):
            return wheel
    raise SystemExit(f"{addon.name} on {platform.system()}: say which platform that is with --tag")


def wheel_of(tools: Path, engine: Path, tag: str, folder: Path) -> Path:
    environment = {**os.environ, "CKPT_MERGE_WHEEL_ENGINE": str(engine), "CKPT_MERGE_WHEEL_TAG": tag}
    run(tools / "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT / "python", env=environment, read=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def shown_tag(text: str) -> str:
    found = re.search(r'consistent with\s+the\s+following platform tag:\s+"([^"]+)"', text)
    if found is None:
        raise SystemExit(f"auditwheel names no platform:\n{text}")
    return found[1]


def run(*command: object, read: bool = False, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a program prints, which else goes to standard error."""
    ended = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE if read else None
    )
    if ended.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {ended.returncode}\n{ended.stdout}{ended.stderr or ''}")
    if not read:
        sys.stderr.write(ended.stdout)
    return ended.stdout


sys.exit(main())
