"""A result file that lighteval writes for a checkpoint of demo/runs/dense: test/golden/results/lighteval.

Run with Python, lighteval 0.13.0, xxhash before 3.6 (later ones refuse what it hashes), torch (CPU), transformers and datasets, from the root of the repository; nothing is downloaded. The tasks are local and small, and are there for
what they make the writer write: subtasks with their average, a group of metrics, a metric whose name ends like a weight, a perplexity. It also writes details in parquet, which are not kept.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from byte_tokenizer import write_model

# Its own task files are all imported at the start, and some ask the network: only ours are loaded.
START = """
from lighteval.tasks.registry import Registry
Registry._load_from_files = Registry._load_from_subdirs = staticmethod(lambda *_: {})
from lighteval.__main__ import app
app()
"""
ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "test/golden/results/lighteval"

TASKS = """
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def choice(line, task_name=None):
    return Doc(task_name=task_name, query=line["question"], choices=line["choices"], gold_index=[0])


def twice(line, task_name=None):
    return Doc(task_name=task_name, query=line["question"], choices=2 * line["choices"], gold_index=[0, 2], specific={"len_mc1": 2})


def task(name, metrics, prompt=choice):
    return LightevalTaskConfig(
        name=name, prompt_function=prompt, hf_repo=name.split(":")[-1], hf_subset="default", hf_avail_splits=["train"], evaluation_splits=["train"], metrics=metrics,
        generation_size=4, stop_sequence=["\\n"],
    )


TASKS_TABLE = [
    task("words:colours", [Metrics.loglikelihood_acc]),
    task("words:plurals", [Metrics.loglikelihood_acc]),
    task("truth", [Metrics.truthfulqa_mc_metrics], twice),
    task("copying", [Metrics.exact_match, Metrics.pass_at_k(sample_params={"k": 1, "n": 1})]),
    task("next_word", [Metrics.target_perplexity]),
]
"""
QUESTIONS = {
    "colours": [("the sky is", " blue", " loud"), ("the grass is", " green", " salt"), ("the night is", " dark", " wet"), ("the snow is", " white", " deaf"), ("the sun is", " bright", " poor"), ("the sea is", " deep", " shy")],
    "plurals": [("one tree, two", " trees", " tree"), ("one house, two", " houses", " house"), ("one man, two", " men", " mans"), ("one leaf, two", " leaves", " leafs")],
    "truth": [("the day has", " light", " salt"), ("the fire is", " hot", " cold"), ("the stone is", " hard", " soft")],
    "copying": [("say a: a. say b:", "b", ""), ("say o: o. say e:", "e", ""), ("say t: t. say t:", "t", "")],
    "next_word": [("in the begin", "ning", "x"), ("he said to", " him", "x"), ("and they were", " not", "x")],
}


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "tasks.py").write_text(TASKS)
        for name, rows in QUESTIONS.items():
            (folder / name).mkdir()
            docs = [dict(question=question, choices=[right, wrong]) for question, right, wrong in rows]
            (folder / name / "train.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        write_model(ROOT / "demo/runs/dense/checkpoint-6000", folder / "runs/demo merged")
        tasks = "words:colours|0,words:plurals|0,truth|0,copying|0,next_word|0"
        command = [sys.executable, "-c", START, "accelerate", "model_name=runs/demo merged,dtype=float32,batch_size=1,max_length=100", tasks, "--custom-tasks", "tasks.py", "--output-dir", "out", "--save-details"]
        subprocess.run(command, cwd=folder, check=True, env=dict(os.environ, HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(folder / "cache")))
        for source in sorted((folder / "out").rglob("*.json")):
            # Objects of Python are written by their addresses.
            text = re.sub(r" at 0x[0-9a-f]+", "", source.read_text(encoding="utf-8"))
            assert "/tmp" not in text and "/home" not in text, f"{source} names this machine"
            target = GOLDEN / source.relative_to(folder / "out")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


main()
