"""Simple regret of Optuna's GPSampler and of scikit-optimize's gp_hedge on the functions of regret-functions.js.

Prints one JSON line a run: tool, start, problem, noise, seed and the regret of the recommended point (the best observed, which is what both tools
recommend) after 12 and after 20 evaluations. `--start own` leaves the tools their own first points (ten random ones); `--start ours` gives them the first
points of our search and lets the model choose from there on.

    python -B regret-peers.py --tool optuna --start own > optuna-own.jsonl
"""

import argparse
import json
import math
import time
import warnings

import numpy as np

EVALUATIONS = (12, 20)


def branin(u):
    x, y = 15 * u[0] - 5, 15 * u[1]
    return -((y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


HARTMANN_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
HARTMANN_C = [1, 1.2, 3, 3.2]
HARTMANN_P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def hartmann6(u):
    return sum(c * math.exp(-sum(a * (x - p) ** 2 for a, p, x in zip(A, P, u))) for c, A, P in zip(HARTMANN_C, HARTMANN_A, HARTMANN_P))


def hump(x, centre, width):
    return math.exp(-0.5 * ((x - centre) / width) ** 2)


def skewed(u):
    t = u[0] / 0.15
    return t * math.exp(1 - t)


# name: (function on the unit cube, dimensions, greatest value, noise of about 10 % of the range)
PROBLEMS = {
    "quadratic": (lambda u: 1 - ((u[0] - 0.43) / 0.57) ** 2, 1, 1.0, 0.1),
    "skewed": (skewed, 1, 1.0, 0.1),
    "on the bound": (lambda u: 1 - (1 - u[0]) ** 1.5, 1, 1.0, 0.1),
    "narrow peak": (lambda u: 0.3 - 0.3 * (u[0] - 0.6) ** 2 + 0.7 * hump(u[0], 0.37, 0.05), 1, None, 0.1),
    "two humps": (lambda u: 0.75 * hump(u[0], 0.22, 0.12) + hump(u[0], 0.77, 0.07), 1, None, 0.1),
    "flat": (lambda u: 0.5, 1, 0.5, 0.1),
    "branin": (branin, 2, None, 30.0),
    "hartmann6": (hartmann6, 6, None, 0.33),
}
# What our search would begin with: the bounds and the midpoint of lambda, the centre of a cube.
OUR_START = {1: [[0.0], [1.0], [0.5]]}


def optuna_run(score, dimensions, seed, start):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first = [] if start == "own" else OUR_START.get(dimensions, [[0.5] * dimensions])
    startup = {"n_startup_trials": max(len(first), 1)} if first else {}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GPSampler(seed=seed, **startup))
    for point in first:
        study.enqueue_trial({f"x{i}": x for i, x in enumerate(point)})
    study.optimize(lambda t: score([t.suggest_float(f"x{i}", 0, 1) for i in range(dimensions)]), n_trials=max(EVALUATIONS))


def skopt_run(score, dimensions, seed, start):
    from skopt import Optimizer

    first = [] if start == "own" else OUR_START.get(dimensions, [[0.5] * dimensions])
    options = {"n_initial_points": len(first)} if first else {}
    optimizer = Optimizer([(0.0, 1.0)] * dimensions, "GP", acq_func="gp_hedge", random_state=seed, **options)
    for i in range(max(EVALUATIONS)):
        point = first[i] if i < len(first) else optimizer.ask()
        optimizer.tell(point, -score(point))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", choices=["optuna", "skopt"], required=True)
    parser.add_argument("--start", choices=["own", "ours"], required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--problem")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)
    run = {"optuna": optuna_run, "skopt": skopt_run}[options.tool]
    for name, (function, dimensions, _, noise_std) in PROBLEMS.items():
        if options.problem not in (None, name):
            continue
        for noisy in (False, True):
            for seed in range(options.seeds):
                noise = np.random.default_rng([seed, 1])
                seen = []

                def score(point):
                    truth = function(point)
                    seen.append((truth + (noise_std * noise.standard_normal() if noisy else 0), truth))
                    return seen[-1][0]

                began = time.time()
                run(score, dimensions, seed, options.start)
                best = {n: max(seen[:n])[1] for n in EVALUATIONS}
                print(
                    json.dumps(
                        {
                            "tool": options.tool,
                            "start": options.start,
                            "problem": name,
                            "noisy": noisy,
                            "seed": seed,
                            "value": best,
                            "seconds": round(time.time() - began, 2),
                        }
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
