"""Result files that lm-evaluation-harness writes for a checkpoint of demo/runs/dense: test/golden/results/lm-eval.

Run with Python, lm-eval 0.4.13, torch (CPU), transformers and datasets, from the root of the repository; nothing is downloaded. The tasks are local and small, and are there
for what they make the writer write: two filters, a group weighted by size, one of equal tasks, a group in a group, perplexities, an accuracy of 1, a NaN, one document.
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

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "test/golden/results/lm-eval"

CHOICE = """
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {file}}}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
TASKS = {
    "colours.yaml": CHOICE.format(task="colours", file="colours.jsonl"),
    "plurals.yaml": CHOICE.format(task="plurals", file="plurals.jsonl"),
    "alone.yaml": CHOICE.format(task="alone", file="alone.jsonl"),
    "by_size.yaml": "group: by_size\ntask: [colours, plurals]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "animals.yaml": CHOICE.format(task="animals", file="animals.jsonl"),
    "tools.yaml": CHOICE.format(task="tools", file="tools.jsonl"),
    "evenly.yaml": "group: evenly\ntask: [animals, tools]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n",
    "outer.yaml": "group: outer\ntask: [by_size, always]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "always.yaml": CHOICE.format(task="always", file="colours.jsonl").split("metric_list")[0]
    + "process_results: !function hooks.always\nmetric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n  - {metric: acc_norm, aggregation: mean, higher_is_better: true}\n",
    "copying.yaml": """
task: copying
dataset_path: json
dataset_kwargs: {data_files: copying.jsonl}
test_split: train
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
filter_list:
  - name: strict-match
    filter: [{function: take_first}]
  - name: first-letter
    filter: [{function: regex, regex_pattern: "([a-z])"}, {function: take_first}]
""",
    "prose.yaml": """
task: prose
dataset_path: json
dataset_kwargs: {data_files: prose.jsonl}
test_split: train
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
""",
    "next_word.yaml": """
task: next_word
dataset_path: json
dataset_kwargs: {data_files: next_word.jsonl}
test_split: train
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list:
  - metric: perplexity
  - metric: acc
""",
    "hooks.py": """
def always(doc, results):
    return {'acc': 1.0, 'acc_norm': float('nan')}
""",
}
QUESTIONS = {
    "colours": [("the sky is", " blue", " loud"), ("the grass is", " green", " salt"), ("the night is", " dark", " wet"), ("the snow is", " white", " deaf"), ("the sun is", " bright", " poor"), ("the sea is", " deep", " shy")],
    "plurals": [("one tree, two", " trees", " tree"), ("one house, two", " house", " houses"), ("one man, two", " men", " mans"), ("one leaf, two", " leaves", " leafs")],
    "animals": [("the horse can", " run", " rhyme"), ("the bird can", " fly", " fry"), ("the fish can", " swim", " sing")],
    "tools": [("cut it with a", " knife", " night"), ("dig it with a", " shovel", " shower")],
    "alone": [("once upon a", " time", " tile")],
    "copying": [("say a: a. say b:", "t", ""), ("say o: o. say e:", "t", ""), ("say t: t. say t:", "t", "")],
    "next_word": [("in the begin", "ning", ""), ("he said to", " him", ""), ("and they were", " not", "")],
}
PROSE = ["It was the best of times.", "And the king said unto him, go.", "The whale was white."]


def write_inputs(folder: Path) -> None:
    for name, text in TASKS.items():
        (folder / name).write_text(text)
    for name, rows in QUESTIONS.items():
        docs = [dict(question=question, choices=[right, wrong], answer=right if wrong == "" else 0) for question, right, wrong in rows]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "prose.jsonl").write_text("".join(json.dumps(dict(text=text)) + "\n" for text in PROSE))


def evaluate(folder: Path, model: str | None, tasks: str, output: str, *more: str) -> None:
    which = ["--model", "dummy"] if model is None else ["--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"]
    command = [sys.executable, "-m", "lm_eval", "run", *which, "--include_path", ".", "--tasks", *tasks.split(), "--output_path", output, *more]
    subprocess.run(command, cwd=folder, check=True, env=dict(os.environ, HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(folder / "cache"), PYTHONPATH=str(folder)))


def keep(source: Path, target: Path) -> None:
    """As written, but for what describes the machine, and for long texts that no reader of scores looks at."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".json":
        text = re.sub(r'^  "(pretty_env_info|git_hash|upper_git_hash|transformers_version)": .*\n', "", text, flags=re.M)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    assert "/tmp" not in text and "/home" not in text, f"{target} names this machine"


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        for checkpoint in ["checkpoint-3800", "checkpoint-6000"]:
            write_model(ROOT / "demo/runs/dense" / checkpoint, folder / f"demo:?{checkpoint}")
            everything = "evenly outer copying prose next_word"
            evaluate(folder, f"demo:?{checkpoint}", everything, f"out/{checkpoint}", "--log_samples")
        evaluate(folder, "demo:?checkpoint-6000", "plurals", "out/file/scores.json", "--log_samples")
        evaluate(folder, None, "alone", "out/random")
        for source in sorted((folder / "out").rglob("*.json*")):
            keep(source, GOLDEN / source.relative_to(folder / "out"))


main()
