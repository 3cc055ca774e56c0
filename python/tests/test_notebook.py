from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import ROOT

import ckpt_merge

NOTEBOOK = ROOT / "docs" / "python.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(run, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("CKPT_MERGE_RUN", str(run))
    monkeypatch.setenv("PYTHONPATH", str(Path(ckpt_merge.__file__).resolve().parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(cell.cell_type != "code" or cell.outputs == [] for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": os.getcwd()}}).execute()
    shown = [output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    # A table of the run, one of the merge, the pages of the diff and the search.
    assert len(shown) == 4
    assert "6,000" in shown[0] and "<table>" in shown[1]
    assert all(page.startswith("<iframe srcdoc=") and "&lt;/html&gt;" in page for page in shown[2:])
