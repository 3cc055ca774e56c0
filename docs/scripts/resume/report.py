"""Tables and picture of docs/resume.md, from what train.py measured.

    python docs/scripts/resume/report.py docs/scripts/resume/results*.jsonl [--picture docs/images/resume.svg]

Needs no packages. Differences are paired: of the same model, seed, batches and rate, against the newest checkpoint
with its optimizer.
"""
import argparse, json, math
from statistics import mean, stdev

# Two-sided 95 % quantiles of Student's t.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
CONTROL = ("newest", "newest")
ARMS = [
    ("newest", "drop"), ("newest", "drop with warm-up"),
    ("merged", "newest"), ("merged", "average"), ("merged", "drop"), ("merged", "drop with warm-up"),
]
NAMES = {
    "dense": "Dense", "moe": "Mixture of experts", "masters": "Dense, BF16 with float32 masters",
    "megatron": "Megatron-core, dense", "megatron-moe": "Megatron-core, mixture of experts",
}
RATES = {"constant": "constant rate", "decay": "rate to 0"}
GREY, COLOURS = "#737f8d", ["#94a3b8", "#64748b", "#3b82f6", "#10b981", "#ef4444", "#f59e0b"]


def arm(run, rate, weights, optimizer):
    return next(a for a in run["arms"] if (a["rate"], a["weights"], a["optimizer"]) == (rate, weights, optimizer))


def interval(values):
    """Mean, and half of the 95 % t interval."""
    return mean(values), T[len(values) - 1] * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def differences(runs, rate, which, value, control=CONTROL):
    return interval([value(arm(r, rate, *which)) - value(arm(r, rate, *control)) for r in runs])


def thousandths(found):
    """In thousandths; bold where the interval is without 0."""
    middle, half = (1000 * v for v in found)
    text = f"{middle:+.0f} ± {half:.0f}".replace("-", "−")
    return f"**{text}**" if abs(middle) > half else text


def row(name, cells):
    return f"| {name} | {' | '.join(cells)} |"


def losses(runs, steps):
    after = [str(s) for s in steps]
    last = after[-1]
    columns = [("constant", s) for s in after if s != "100"] + [("decay", s) for s in ("50", "200", last) if s in after]
    head = [f"{'end' if s == last else s}{' (to 0)' if r == 'decay' else ''}" for r, s in columns]
    yield row("from", head)
    yield row("---", ["---:"] * len(head))
    yield row("newest, its optimizer: loss", [f"{mean(arm(r, rate, *CONTROL)['held_out'][s] for r in runs):.3f}" for rate, s in columns])
    pairs = [(", ".join(which), which, CONTROL) for which in ARMS]
    pairs.append(("merged, average, less merged, newest", ("merged", "average"), ("merged", "newest")))
    for name, which, control in pairs:
        found = [differences(runs, rate, which, lambda a, s=s: a["held_out"][s], control) for rate, s in columns]
        yield row(name, [thousandths(f) for f in found])


def lengths(runs, at=(1, 2, 3, 5, 10, 20)):
    yield row("from", [str(k) for k in at])
    yield row("---", ["---:"] * len(at))
    yield row("newest, its optimizer", [f"{mean(arm(r, 'constant', *CONTROL)['updates'][k - 1] for r in runs):.3f}" for k in at])
    for which in ARMS:
        ratios = [[arm(r, "constant", *which)["updates"][k - 1] / arm(r, "constant", *CONTROL)["updates"][k - 1] for r in runs] for k in at]
        yield row(", ".join(which), [f"× {mean(v):.2f}" for v in ratios])


def batches(runs):
    """Losses of the batches themselves, before each update."""
    for rate in RATES:
        for which in ARMS:
            first, last = (differences(runs, rate, which, value) for value in (lambda a: mean(a["batches"]), lambda a: a["last_batches"]))
            yield f"{rate}, {', '.join(which)}: batches 1 to 20 {thousandths(first)}, last 20 {thousandths(last)}"


def picture(models):
    """A panel for each model and rate: differences of the held-out loss, by steps, evenly spaced."""
    width, high, left, top, gap = 330, 170, 52, 24, 26
    out, kinds = [], [(m, r) for m in models for r in RATES]
    for n, (model, rate) in enumerate(kinds):
        runs = models[model]
        x0, y0 = left + (n % 2) * (width + left), top + (n // 2) * (high + gap + 26)
        steps = list(runs[0]["arms"][0]["held_out"])
        found = {w: [differences(runs, rate, w, lambda a, s=s: a["held_out"][s]) for s in steps] for w in ARMS}
        low, up = -0.25, 0.15
        def y(v):
            return y0 + high * (up - min(max(v, low), up)) / (up - low)
        xs = [x0 + width * (i + 0.5) / len(steps) for i in range(len(steps))]
        out.append(f'<text x="{x0}" y="{y0 - 10}" font-weight="bold">{NAMES[model]}, {RATES[rate]}</text>')
        for v in (-0.2, -0.1, 0, 0.1):
            out.append(f'<path d="M{x0} {y(v):.1f}h{width}" stroke="{GREY}" stroke-opacity="{0.9 if v == 0 else 0.2}"/>')
            out.append(f'<text x="{x0 - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{f"{v:+.1f}".replace("-", "−") if v else "0"}</text>')
        for x, s in zip(xs, steps):
            out.append(f'<text x="{x:.1f}" y="{y0 + high + 15}" text-anchor="middle">{s}</text>')
        for colour, which in zip(COLOURS, ARMS):
            line = "L".join(f"{x:.1f} {y(m):.1f}" for x, (m, _) in zip(xs, found[which]))
            bars = "".join(f"M{x:.1f} {y(m - h):.1f}V{y(m + h):.1f}" for x, (m, h) in zip(xs, found[which]) if h == h)
            dash = ' stroke-dasharray="4 3"' if which[0] == "newest" else ""
            out.append(f'<path d="M{line}" stroke="{colour}" stroke-width="1.8"{dash}/>')
            out.append(f'<path d="{bars}" stroke="{colour}" stroke-opacity="0.6"/>')
    rows = -(-len(kinds) // 2)
    foot = top + rows * (high + gap + 26)
    for n, (colour, which) in enumerate(zip(COLOURS, ARMS)):
        x, y_ = left + (n % 3) * 245, foot + (n // 3) * 18
        dash = ' stroke-dasharray="4 3"' if which[0] == "newest" else ""
        out.append(f'<path d="M{x} {y_ - 4}h22" stroke="{colour}" stroke-width="1.8"{dash}/>')
        out.append(f'<text x="{x + 28}" y="{y_}">{", ".join(which)}</text>')
    w, h = 2 * (width + left) + 12, foot + 26
    title = "Held-out loss after training went on, less that of the newest checkpoint with its optimizer, by steps after the start"
    style = f'font-family="system-ui, sans-serif" font-size="11" fill="{GREY}" role="img" aria-labelledby="title"'
    body = "\n".join(out).replace("<path ", '<path fill="none" ')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" {style}>'
    return f'{head}\n<title id="title">{title}</title>\n{body}\n</svg>\n'


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("results", nargs="+")
    p.add_argument("--picture")
    a = p.parse_args()
    models = {}
    for path in a.results:
        for line in open(path):
            models.setdefault(json.loads(line)["model"], []).append(json.loads(line))
    for model, runs in models.items():
        print(f"\n{NAMES[model]}, seeds {len(runs)}: held-out loss after steps, and in thousandths the difference\n")
        print(*losses(runs, list(runs[0]["arms"][0]["held_out"])), sep="\n")
        print("\nLength of the update, at the constant rate\n")
        print(*lengths(runs), sep="\n")
        print("\nLoss of the batches, difference in thousandths\n")
        print(*batches(runs), sep="\n")
    if a.picture:
        with open(a.picture, "w") as f:
            f.write(picture({m: r for m, r in models.items() if m in ("dense", "moe")}))


if __name__ == "__main__":
    main()
