"""Signals, processes, threads, locales."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import engines_of

import ckpt_merge

HERE = str(Path(ckpt_merge.__file__).resolve().parents[1])


def program(text: str, **env: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "PYTHONPATH": HERE, **env}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def until(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def watching(run: Path) -> subprocess.Popen[str]:
    child = program(f"""
        import ckpt_merge
        for event in ckpt_merge.watch({str(run)!r}, output="merges", window=3, settle=0, poll=1):
            print(event.type, flush=True)
    """)
    for line in child.stdout:
        if line.strip() == "merged":
            break
    assert engines_of(run)
    return child


def test_ctrl_c_ends_a_watch(run, tmp_path):
    child = watching(run)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    assert "KeyboardInterrupt" in child.stderr.read()
    assert until(lambda: not engines_of(tmp_path) and not engines_of(run))


def test_ctrl_c_ends_a_merge_and_nothing_is_left(run, tmp_path):
    child = program(f"""
        import ckpt_merge
        def slow(event):
            print(event.type, flush=True)
        ckpt_merge.average({str(run)!r}, output="merged", dtype="F32", max_read="1MB", keep=False, progress=slow)
    """)
    for line in child.stdout:
        if line.strip() == "progress":
            break
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    assert "KeyboardInterrupt" in child.stderr.read()
    assert os.listdir(tmp_path) == []


def test_a_killed_parent_takes_its_engine_along(run):
    child = watching(run)
    child.kill()
    child.wait()
    assert until(lambda: not engines_of(run), 10)


def test_the_engine_is_killed(run, tmp_path):
    def kill(event):
        for pid in engines_of(tmp_path / "merged"):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ckpt_merge.EngineError, match="SIGKILL"):
        ckpt_merge.average(run, output=tmp_path / "merged", max_read="1MB", progress=kill)


def average_to(words: tuple[str, str]) -> str:
    return str(ckpt_merge.average(words[0], last=2, output=words[1]).outputs[0].path)


def fail_at(path: str) -> None:
    ckpt_merge.inspect(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(run, method, tmp_path):
    with multiprocessing.get_context(method).Pool(2) as pool:
        made = pool.map(average_to, [(str(run), str(tmp_path / f"m{i}")) for i in range(2)])
        assert all(os.path.isdir(path) for path in made)
        with pytest.raises(ckpt_merge.InputError) as caught:
            pool.apply(fail_at, ("nowhere",))
    assert caught.value.code == "E_NOT_FOUND"


def test_a_fork_leaves_a_watch_alone(run):
    events = ckpt_merge.watch(run, output="merges", window=3, settle=0, poll=1)
    next(events)
    pid = os.fork()
    if pid == 0:
        events.close()
        events.__del__()
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.3)
    assert events._process.child.poll() is None
    events.close()


def test_threads(run):
    failures = []

    def work(i: int) -> None:
        try:
            ckpt_merge.average(run, last=2, output=f"merged-{i}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({Path(f"merged-{i}/model.safetensors").read_bytes() for i in range(4)}) == 1


def test_documents_larger_than_a_pipe(run):
    document = ckpt_merge.inspect(run / "checkpoint-6000", tensors=True)
    assert len(document.tensors) > 20
    child = program(f"""
        import ckpt_merge, json, sys
        json.dump([ckpt_merge.plan({str(run)!r})] * 40, sys.stdout)
    """)
    # Nobody reads for a while.
    time.sleep(1)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0 and len(out) > 65536, err


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", "nowhere"])
def test_locales(run, locale, tmp_path):
    child = program(
        f"""
        import ckpt_merge, os
        os.mkdir(b"na\\xc3\\xafve")
        here = [name for name in os.listdir(".") if name.startswith("na")][0]
        ckpt_merge.average({str(run)!r}, last=2, output=os.path.join(here, "merged"))
        try:
            ckpt_merge.inspect("\\u6a21\\u578b")
        except ckpt_merge.MergeError as error:
            print(ascii(str(error)))
        """,
        LC_ALL=locale,
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        PYTHONIOENCODING="utf-8",
    )
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert (tmp_path / "naïve" / "merged").is_dir()
    assert "E_NOT_FOUND" in out and r"\u6a21\u578b" in out


@pytest.mark.slow
def test_a_restarted_kernel_leaves_no_engine(run):
    manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    kernel, client = manager.start_new_kernel(env={**os.environ, "PYTHONPATH": HERE})
    try:
        watch = f"e = ckpt_merge.watch({str(run)!r}, output='kernel-merges', window=3, settle=0, poll=1); next(e)"
        client.execute(f"import ckpt_merge; {watch}", reply=True, timeout=30)
        assert engines_of("kernel-merges")
        client.execute("open('looking', 'w').close()\nfor event in e: pass")
        assert until(lambda: os.path.exists("looking"))
        time.sleep(0.5)
        kernel.interrupt_kernel()
        assert until(lambda: not engines_of("kernel-merges"), 10)
        # What comes right after an error is passed over by the kernel.
        time.sleep(1)
        client.execute(watch, reply=True, timeout=30)
        assert engines_of("kernel-merges")
        kernel.restart_kernel(now=True)
        assert until(lambda: not engines_of("kernel-merges"), 10)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def test_standard_error_that_is_closed(run):
    child = program(f"""
        import sys, ckpt_merge
        sys.stderr = None
        ckpt_merge.average({str(run)!r}, last=2, output="merged")
        print("done")
    """)
    assert child.communicate(timeout=30)[0] == "done\n"
