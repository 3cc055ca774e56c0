from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

import ckpt_merge


@pytest.mark.filterwarnings("ignore::ckpt_merge.MergeWarning")
def test_bytes_are_those_of_the_command_line(run, cli, tmp_path):
    for i, (keywords, words) in enumerate(
        [
            ({"last": 3}, ["--last", "3"]),
            ({"last": 4, "method": "ema", "alpha": 0.3, "dtype": "F32"}, ["--last", "4", "--method", "ema", "--alpha", "0.3", "--dtype", "F32"]),
            ({"steps": [5600, 6000], "weights": [-0.5, 1.5]}, ["--steps", "5600,6000", "--weights=-0.5,1.5"]),
            ({"last": 3, "policy": ["name=*norm*:use=newest", "role=embedding:use=oldest"]}, ["--last", "3", "--policy", "name=*norm*:use=newest", "--policy", "role=embedding:use=oldest"]),
        ]
    ):
        here, there = tmp_path / f"here-{i}", tmp_path / f"there-{i}"
        document = ckpt_merge.average(run, output=here, **keywords)
        assert document.outputs[0].tensors > 20
        assert cli("average", run, "-o", there, *words).returncode == 0
        assert (here / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_paths_are_text_bytes_or_objects(kind, members, tmp_path):
    output = tmp_path / "naïve – 模型"
    ckpt_merge.average(*map(kind, map(str, members)), output=kind(str(output)))
    assert (output / "model.safetensors").exists()
    assert ckpt_merge.verify(kind(str(output)), full=True).recomputed.fraction == 1


def test_documents_have_keys_and_attributes(run):
    plan = ckpt_merge.plan(run, last=3)
    assert plan["schema"] == "ckpt-merge/plan"
    assert plan.outputs[0].members[-1].step == 6000 == plan["outputs"][0]["members"][-1]["step"]
    assert plan.bytes_read == plan["bytesRead"]
    assert "bytes_read" in dir(plan)
    assert pickle.loads(pickle.dumps(plan)) == plan
    with pytest.raises(AttributeError, match="bytes_red.*bytes_read"):
        plan.bytes_red


@pytest.mark.slow
def test_every_question_has_its_document(run, members, tmp_path):
    ckpt_merge.average(*members, output="merged")
    assert [c.step for c in ckpt_merge.ls(run).checkpoints][-1] == 6000
    assert ckpt_merge.inspect("merged").schema == "ckpt-merge/inspect"
    assert ckpt_merge.verify("merged").schema == "ckpt-merge/verify"
    assert ckpt_merge.diff(run, last=2).schema == "ckpt-merge/diff"
    assert ckpt_merge.keep(run, budget=5, windows="1000steps").schema.startswith("ckpt-merge/keep")
    assert ckpt_merge.doctor().schema == "ckpt-merge/doctor"
    assert ckpt_merge.convert(members[0], output="converted", dtype="F32").outputs[0].path == "converted"
    (tmp_path / "recipe.yaml").write_text(f"inputs: [{members[0]}, {members[1]}]\noutputs:\n  - path: a\n")
    assert ckpt_merge.run("recipe.yaml").outputs[0].path.endswith("a")
    assert ckpt_merge.average(*members, output="dry", dry_run=True).schema == "ckpt-merge/plan"
    assert not (tmp_path / "dry").exists()
    grid = ckpt_merge.grid(run, windows="400steps", endpoints=[6000], output="grid")
    assert (tmp_path / "grid").is_dir() and grid.schema
    moe = run.parent / "moe"
    if moe.exists():
        assert ckpt_merge.routers(moe, last=2).schema == "ckpt-merge/routers"


def test_relative_paths_are_of_the_folder_that_is_named(members, tmp_path):
    (tmp_path / "there").mkdir()
    ckpt_merge.average(*members, output="merged", cwd=tmp_path / "there")
    assert (tmp_path / "there" / "merged").is_dir()


def test_a_watch_is_an_iterator(run, tmp_path):
    with ckpt_merge.watch(run, output="merges", window=3, settle=0, once=True) as events:
        types = [event.type for event in events]
    assert types[0] == "started" and "merged" in types
    assert events.summary.schema == "ckpt-merge/watch"
    assert list(events) == []


def test_a_watch_ends_when_it_is_closed(run, tmp_path):
    events = ckpt_merge.watch(run, output="merges", window=3, settle=0, poll=1)
    for event in events:
        if event.type == "merged":
            break
    events.close()
    assert events._process.child.poll() is not None
    with pytest.raises(StopIteration):
        next(events)


def test_a_function_hears_of_progress(run):
    heard = []
    ckpt_merge.average(run, last=3, output="merged", progress=heard.append)
    assert any(event.type == "progress" for event in heard)
    progress = [event for event in heard if event.type == "progress"]
    assert progress[-1].bytes_read == progress[-1].bytes_read_total


def test_what_a_listener_raises_ends_the_merge(run, tmp_path):
    def listen(event):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ckpt_merge.average(run, last=3, output="merged", progress=listen)
    assert not (tmp_path / "merged").exists()


@pytest.mark.slow
def test_tqdm_shows_progress(run, capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    ckpt_merge.average(run, last=3, output="merged", progress=True)
    ckpt_merge.average(run, last=3, output="again")
    assert "again" not in capsys.readouterr().err


def test_notebooks_show_tables(run):
    html = ckpt_merge.ls(run)._repr_html_()
    assert html.count("<tr>") > 10 and "6,000" in html
    assert "<script" not in ckpt_merge.Document(a="<script>")._repr_html_()


def test_notebooks_show_pages(run):
    html = ckpt_merge.diff(run, last=2, out="diff.html")._repr_html_()
    assert html.startswith("<iframe srcdoc=") and "&lt;style&gt;" in html


def test_pandas_has_a_row_each(run):
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = ckpt_merge.ls(run).to_pandas()
    assert frame["step"].max() == 6000
    assert all(name == name.lower() for name in frame.columns)


def test_errors_have_code_details_and_help(members):
    ckpt_merge.average(*members, output="merged")
    with pytest.raises(ckpt_merge.OutputExistsError) as caught:
        ckpt_merge.average(*members, output="merged")
    error = caught.value
    assert (error.code, error.exit_code) == ("E_OUTPUT_EXISTS", 4)
    assert error.help == "Choose another output or add force=True."
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.details) == (type(error), str(error), error.details)


def test_warnings_are_warnings_of_the_calling_line(run):
    with pytest.warns(ckpt_merge.MergeWarning, match=r"^\[W_DTYPE_CHANGED\]") as caught:
        document = ckpt_merge.average(run, last=2, output="float32", dtype="F32")
    assert [warning.filename for warning in caught] == [__file__] * len(document.warnings)


def test_numbers_of_other_libraries(run):
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    assert len(ckpt_merge.plan(run, last=numpy.int64(3)).outputs[0].members) == 3


def test_version():
    assert ckpt_merge.__version__.count(".") == 2
    with pytest.raises(AttributeError):
        ckpt_merge.nothing
