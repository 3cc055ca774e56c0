"""Statistics and tables of the evidence runs: evidence.json and the section of demo/README.md, from work/evidence/scores.json.

All differences are paired by seed; their intervals are Student's, over seeds. What is said of a difference in a table was fixed beforehand:
an interval of 95 %, and a star where 0 also lies outside the interval at 95 % for the whole table (Bonferroni).
"""

import json
import math
from collections import Counter
from pathlib import Path

import torch

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- evidence: written by make/evidence.py -->", "<!-- end of evidence -->"
LOSSES = {"general loss": "loss, general text", "switched loss": "loss, switched mix"}
TASKS = ("ranking", "completion", "addition")
MEASURES = LOSSES | {task: task for task in TASKS} | {"tasks": "mean of the three tasks"}
DATA = ("same", "switched")


def quantile(p: float, freedom: int) -> float:
    """Of Student's t, by bisection on Simpson's sums of its density."""
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
    density = lambda t: scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)

    def below(t: float, parts: int = 400) -> float:
        inner = sum((4 if i % 2 else 2) * density(t * i / parts) for i in range(1, parts))
        return 0.5 + (density(0) + inner + density(t)) * t / parts / 3

    low, high = 0.0, 100.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return low


class Scores:
    """Scores by model, measure and half: one number a seed; of the tasks also the items."""

    def __init__(self, document: dict):
        self.seeds, self.scores, self.items = document["seeds"], document["scores"], document["items"]
        for of_model in self.scores.values():
            by_seed = lambda half: zip(*(of_model[task][half] for task in TASKS))
            of_model["tasks"] = {half: [sum(of_seed) / len(TASKS) for of_seed in by_seed(half)] for half in of_model["ranking"]}

    def of(self, model: str, measure: str, half: str = "validation") -> torch.Tensor:
        return torch.tensor(self.scores[model][measure][half], dtype=torch.float64)

    def by_item(self, model: str, task: str) -> torch.Tensor:
        """[seeds, items] of the validation half."""
        return torch.tensor([[int(mark) for mark in of_seed] for of_seed in self.items[model][task]["validation"]], dtype=torch.float64)


def interval(differences: torch.Tensor, comparisons: int) -> dict:
    """Mean and half width of the 95 % interval over seeds; `whole_table` when 0 lies outside that of Bonferroni too."""
    n = len(differences)
    error = float(differences.std(unbiased=True)) / math.sqrt(n)
    mean = float(differences.mean())
    return {
        "mean": mean,
        "half_width": quantile(0.975, n - 1) * error,
        "whole_table": abs(mean) > quantile(1 - 0.025 / comparisons, n - 1) * error,
    }


def cell(found: dict, measure: str) -> str:
    scale, digits = (1, 4) if measure in LOSSES else (100, 1)
    return f"{scale * found['mean']:+.{digits}f} ± {scale * found['half_width']:.{digits}f}" + " \\*" * found["whole_table"]


def table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]) + "\n"


def levels(scores: Scores, plain: str) -> str:
    kinds = {"newest": "newest", "merged": plain, "decayed": "decayed"}
    models = {"fork": "fork"} | {f"{data}, {kind}": f"{data} {model}" for data in DATA for kind, model in kinds.items()}

    def level(model: str, measure: str) -> str:
        mean = float(scores.of(model, measure).mean())
        return f"{mean:.4f}" if measure in LOSSES else f"{100 * mean:.1f}"

    return table(["", *models], [[title, *(level(model, measure) for model in models.values())] for measure, title in MEASURES.items()])


def factors(scores: Scores, plain: str) -> tuple[str, dict]:
    """The 2 x 2: what merging and decaying give on each data, and how they differ."""
    of = scores.of
    contrasts = {
        "same: merged − newest": lambda m: of(f"same {plain}", m) - of("same newest", m),
        "same: decayed − newest": lambda m: of("same decayed", m) - of("same newest", m),
        "same: merged − decayed": lambda m: of(f"same {plain}", m) - of("same decayed", m),
        "switched: merged − newest": lambda m: of(f"switched {plain}", m) - of("switched newest", m),
        "switched: decayed − newest": lambda m: of("switched decayed", m) - of("switched newest", m),
        "switched: merged − decayed": lambda m: of(f"switched {plain}", m) - of("switched decayed", m),
        "switched − same: merged": lambda m: of(f"switched {plain}", m) - of(f"same {plain}", m),
        "switched − same: decayed": lambda m: of("switched decayed", m) - of("same decayed", m),
    }
    merged_more, decayed_more = contrasts["switched − same: merged"], contrasts["switched − same: decayed"]
    contrasts["switched − same: merged − decayed"] = lambda m: merged_more(m) - decayed_more(m)
    comparisons = len(contrasts) * len(MEASURES)
    found = {name: {measure: interval(difference(measure), comparisons) for measure in MEASURES} for name, difference in contrasts.items()}
    parts = []
    for group, title in (("same", "same data"), ("switched", "switched data"), ("switched − same", "switched − same data")):
        names = [name for name in contrasts if name.startswith(f"{group}:")]
        rows = [[measure_title, *(cell(found[name][measure], measure) for name in names)] for measure, measure_title in MEASURES.items()]
        parts.append(table([title, *(name.split(": ")[1] for name in names)], rows))
    return "\n".join(parts), found


def over_items(scores: Scores, plain: str) -> str:
    """The same differences with the items as what varies: mean over seeds for each item, standard error over items."""
    rows = []
    for task in TASKS:
        row = [task]
        for data in DATA:
            differences = (scores.by_item(f"{data} {plain}", task) - scores.by_item(f"{data} decayed", task)).mean(0)
            row.append(f"{100 * float(differences.mean()):+.1f} ± {100 * float(differences.std(unbiased=True)) / math.sqrt(len(differences)):.1f}")
        rows.append(row)
    return table(["merged − decayed", *(f"{data} data" for data in DATA)], rows)


def winners(scores: Scores, plain: str) -> tuple[str, dict]:
    """The arm that the search half would have each seed choose, scored on the validation half."""
    choosers = {"tasks": ("the mean of the three tasks", 1), "general loss": ("loss, general text", -1), "switched loss": ("loss, switched mix", -1)}
    rows, found = [], {}
    comparisons = len(DATA) * len(choosers) * 5
    for data in DATA:
        arms = [model for model in scores.scores if model.startswith(f"{data} step")]
        for measure, (title, sign) in choosers.items():
            chosen = [max(arms, key=lambda arm: sign * scores.scores[arm][measure]["search"][i]) for i in range(len(scores.seeds))]
            pick = lambda of, half: torch.tensor([scores.scores[arm][of][half][i] for i, arm in enumerate(chosen)], dtype=torch.float64)
            against = lambda model, of, half="validation": interval(pick(of, half) - scores.of(model, of, half), comparisons)
            one = {
                "seen where it was chosen": against(f"{data} {plain}", measure, "search"),
                "the same, on the other half": against(f"{data} {plain}", measure),
                "tasks against plain mean": against(f"{data} {plain}", "tasks"),
                "tasks against newest": against(f"{data} newest", "tasks"),
                "tasks against decayed": against(f"{data} decayed", "tasks"),
                "chosen": dict(Counter(arm.removeprefix(f"{data} ") for arm in chosen).most_common()),
            }
            found[f"{data}, by {measure}"] = one
            times = ", ".join(f"{arm} {count} x" for arm, count in list(one["chosen"].items())[:3]) + ", …" * (len(one["chosen"]) > 3)
            measures = [measure, measure, "tasks", "tasks", "tasks"]
            rows.append([f"{data}, by {title}", *(cell(part, of) for part, of in zip(list(one.values())[:5], measures)), times])
    head = ["data, chosen by", "gain over the plain mean where it was chosen", "the same gain on the other half"]
    return table([*head, *(f"tasks: winner − {model}" for model in ("plain mean", "newest", "decayed")), "chosen"], rows), found


def all_arms(scores: Scores, plain: str) -> str:
    arms = [model.removeprefix("same ") for model in scores.scores if model.startswith("same step")]
    comparisons = 2 * 2 * (len(arms) - 1)
    rows = []
    for arm in arms:
        row = [arm]
        for data in DATA:
            for measure in ("general loss", "tasks"):
                difference = scores.of(f"{data} {arm}", measure) - scores.of(f"{data} {plain}", measure)
                row.append("–" if arm == plain else cell(interval(difference, comparisons), measure))
        rows.append(row)
    return table(["against the plain mean of ten", *(f"{data}: {title}" for data in DATA for title in ("loss, general", "tasks"))], rows)


def rounded(value):
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def lines(value, indent: str = "") -> str:
    """JSON with a line for each innermost value: lists of numbers stay together."""
    if not isinstance(value, dict) or not any(isinstance(item, dict) for item in value.values()):
        return json.dumps(value, ensure_ascii=False)
    parts = [f"{indent} {json.dumps(key, ensure_ascii=False)}: {lines(item, indent + ' ')}" for key, item in value.items()]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"


def report(work: Path, plain: str) -> None:
    scores = Scores(json.loads((work / "scores.json").read_text()))
    square, contrasts = factors(scores, plain)
    chosen, of_chosen = winners(scores, plain)
    parts = [
        ("Means over the seeds", levels(scores, plain)),
        ("What merging gives, and what the decay gives", square),
        ("The same over items", over_items(scores, plain)),
        ("The winner of the grid", chosen),
        ("Every arm of the grid", all_arms(scores, plain)),
    ]
    text = "\n".join(f"### {title}\n\n{body}" for title, body in parts)
    document = {
        "unit": "losses in nats per predicted byte, tasks as shares of items; scores by seed; half widths of 95 % intervals over seeds",
        "made_with": {"torch": torch.__version__},
        "seeds": scores.seeds,
        "contrasts": contrasts,
        "winners": of_chosen,
        "scores": scores.scores,
    }
    (HERE / "evidence.json").write_text(lines(rounded(document)) + "\n")
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
