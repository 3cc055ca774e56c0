"""Evaluators that are functions."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from conftest import engines_of

import ckpt_merge


def size(model: str) -> float:
    """Another number for every merge, and the same each time."""
    return sum((Path(model) / "model.safetensors").read_bytes()[-4096:]) / 1e6


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("logs/*.log")))


def test_a_search_scores_with_a_function(run, tmp_path):
    seen = []

    def score(model):
        seen.append((model, threading.current_thread()))
        return size(model)

    found = ckpt_merge.search(run, last=2, output="best", trials=4, eval=score, goal="minimize")
    assert len(seen) == sum(trial.status == "complete" for trial in found.trials) >= 4
    assert {thread for _, thread in seen} == {threading.main_thread()}
    assert all(os.path.isabs(model) for model, _ in seen) and len({model for model, _ in seen}) == len(seen)
    assert found.best.score == min(trial.score for trial in found.trials)
    assert (tmp_path / "best").is_dir()
    assert found._repr_html_().startswith("<iframe")
    # The same function as a command: the same trials.
    text = "import sys, pathlib; print(sum((pathlib.Path(sys.argv[1]) / 'model.safetensors').read_bytes()[-4096:]) / 1e6)"
    (tmp_path / "size.py").write_text(text)
    other = ckpt_merge.search(run, last=2, output="other", trials=4, eval='python3 size.py "$MERGE_MODEL"', goal="minimize")
    assert [trial.score for trial in other.trials] == [trial.score for trial in found.trials]
    assert (tmp_path / "best" / "model.safetensors").read_bytes() == (tmp_path / "other" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_search_goes_on(run):
    calls = []
    score = lambda model: calls.append(model) or size(model)  # noqa: E731
    first = ckpt_merge.search(run, last=2, output="best", trials=3, eval=score, goal="minimize")
    before = len(calls)
    second = ckpt_merge.search(run, last=2, output="best", trials=5, eval=score, goal="minimize", resume=True)
    assert [t.score for t in second.trials[: len(first.trials)]] == [t.score for t in first.trials]
    assert len(calls) - before == len(second.trials) - len(first.trials) > 0


def test_several_at_a_time_run_in_threads(run):
    together = threading.Barrier(2, timeout=30)
    about = []

    def score(model, evaluation):
        about.append(evaluation)
        if evaluation.trial > 0:
            together.wait()
        return size(model)

    ckpt_merge.search(run, last=2, output="best", trials=4, sampler="grid", eval=score, goal="minimize", parallel=2, gpus=[0, 1])
    assert {evaluation.gpu for evaluation in about} <= {"0", "1"}
    assert all(os.path.isdir(os.path.dirname(evaluation.out)) for evaluation in about)


@pytest.mark.slow
def test_soup_forecast_and_grid_score_with_functions(run, tmp_path):
    soup = ckpt_merge.soup(run, last=3, output="soup", eval=size, validate=lambda model: -size(model), goal="minimize")
    assert soup.best.score is not None
    assert ckpt_merge.forecast(run, window=6, dir="forecast", eval=size, goal="minimize").points
    grid = ckpt_merge.grid(run, windows="600steps", endpoints=[6000], output="grid", eval=size, goal="minimize")
    assert grid.outputs and grid._repr_html_().startswith("<iframe")
    assert not (tmp_path / "grid").exists()


def test_items_and_numbers_of_other_libraries(run):
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")

    means = []

    def score(model):
        items = numpy.frombuffer(Path(model, "model.safetensors").read_bytes()[-64:], dtype=numpy.uint8).astype(float)
        means.append(float(items.mean()))
        return {"score": items.mean(), "scores": items, "higher_is_better": False}

    found = ckpt_merge.search(run, last=2, output="best", trials=3, eval=score)
    assert found.goal == "minimize"
    assert [trial.score for trial in found.trials] == means


def test_what_a_function_raises_fails_its_trial(run, tmp_path):
    calls = []

    def score(model):
        calls.append(model)
        if len(calls) == 2:
            raise ArithmeticError("the batch did not fit")
        return size(model)

    found = ckpt_merge.search(run, last=2, output="best", trials=3, eval=score, goal="minimize")
    failed = [trial for trial in found.trials if trial.status == "failed"]
    assert len(failed) == 1 and "ArithmeticError: the batch did not fit" in failed[0].reason
    text = logs(tmp_path / "best.search")
    assert "Traceback (most recent call last):" in text and 'raise ArithmeticError("the batch did not fit")' in text
    assert "_evaluate.py" not in text


def test_what_the_first_call_raises_is_the_cause(run):
    def score(model):
        return {}["nothing"]

    with pytest.raises(ckpt_merge.MergeError) as caught:
        ckpt_merge.search(run, last=2, output="best", eval=score, goal="minimize")
    assert isinstance(caught.value.__cause__, KeyError)
    assert "by hand" not in caught.value.help and "Mend the evaluator" in caught.value.help


@pytest.mark.slow
@pytest.mark.parametrize("value", [None, "0.5", True, [0.5], {"score": object()}, object()])
def test_what_is_no_score_fails_the_trial(run, value):
    with pytest.raises(ckpt_merge.MergeError) as caught:
        ckpt_merge.search(run, last=2, output="best", eval=lambda model: value, goal="minimize")
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_model_is_skipped(run):
    def score(model, evaluation):
        if evaluation.trial == 2:
            raise ckpt_merge.Skip("too far")
        return size(model)

    found = ckpt_merge.search(run, last=2, output="best", trials=3, eval=score, goal="minimize")
    assert [trial.status for trial in found.trials].count("skipped") == 1


@pytest.mark.slow
def test_an_evaluation_that_takes_too_long(run):
    slow = threading.Event()

    def score(model, evaluation):
        if evaluation.trial == 1:
            slow.wait(3)
        return size(model)

    found = ckpt_merge.search(run, last=2, output="best", trials=3, eval=score, goal="minimize", timeout=1)
    assert [trial.status for trial in found.trials].count("failed") == 1


def test_ctrl_c_in_a_function(run, tmp_path):
    import tempfile

    before = set(os.listdir(tempfile.gettempdir()))

    def score(model, evaluation):
        if evaluation.trial == 1:
            raise KeyboardInterrupt
        return size(model)

    with pytest.raises(KeyboardInterrupt):
        ckpt_merge.search(run, last=2, output="best", trials=3, eval=score, goal="minimize")
    assert not (tmp_path / "best").exists()
    assert not engines_of(tmp_path)
    assert not [name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("ckpt-merge-") and "test" not in name]


@pytest.mark.slow
def test_a_temporary_folder_with_a_long_name(run, tmp_path, monkeypatch):
    import tempfile

    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert ckpt_merge.soup(run, last=2, output="soup", eval=size, goal="minimize").best


def test_a_watch_scores_with_a_function(run):
    asked = []

    def evaluate(model):
        asked.append(model)
        return {"score": len(asked), "higher_is_better": False}

    events = ckpt_merge.watch(run, output="merges", window=[2, 3], once=True, settle=0.1, eval=evaluate, log=["csv"])
    scored = [event for event in events if event.type == "scored"]
    assert [event.kind for event in scored] == ["single", "merge", "merge"]
    assert [event.score for event in scored] == [1, 2, 3]
    assert scored[2].over.gain == -2 and len(set(asked)) == 3
    assert len(events.summary.merges) == 2
    assert Path("merges/scores/scores.csv").read_text().count("\n") == 4
    ckpt_merge.export("merges/scores", to=["jsonl"])
    assert Path("merges/scores/scores.jsonl").read_text().count("\n") == 3


def test_a_function_that_raises_in_a_watch_leaves_a_model_without_a_score(run):
    def evaluate(model):
        raise ValueError("no such task")

    events = list(ckpt_merge.watch(run, output="merges", window=2, once=True, settle=0.1, eval=evaluate, goal="minimize"))
    unscored = [event for event in events if event.type == "unscored"]
    assert len(unscored) == 2 and "no such task" in unscored[0].reason
