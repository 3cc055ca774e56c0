"""Simple regret of Optuna's GPSampler and of scikit-optimize's gp_hedge on the functions of regret-problems.js: the truth at the point with the best score, which is
what both recommend, after 12 and 20 evaluations, as mean and standard error over 20 seeds.

Start "own" leaves the tools their own first points (ten random ones); start "ours" gives them those of our search, and their models choose from there on. Takes an
hour. Prints JSON, which is kept:

    python -B bench/peers/regret-peers.py > bench/peers/regret-peers.json
"""

import importlib.metadata
import json
import math
import statistics
import warnings

import numpy as np

EVALUATIONS = (12, 20)
SEEDS = 20


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


# name: (function on the unit cube, dimensions, greatest value, standard deviation of the noise: 10 % of the range)
PROBLEMS = {
    "quadratic": (lambda u: 1 - ((u[0] - 0.43) / 0.57) ** 2, 1, 1.0, 0.1),
    "skewed": (skewed, 1, 1.0, 0.1),
    "on the bound": (lambda u: 1 - (1 - u[0]) ** 1.5, 1, 1.0, 0.1),
    "narrow peak": (lambda u: 0.3 - 0.3 * (u[0] - 0.6) ** 2 + 0.7 * hump(u[0], 0.37, 0.05), 1, 0.9841639352452114, 0.1),
    "two humps": (lambda u: 0.75 * hump(u[0], 0.22, 0.12) + hump(u[0], 0.77, 0.07), 1, 1.0000205822657116, 0.1),
    "flat": (lambda u: 0.5, 1, 0.5, 0.1),
    "branin": (branin, 2, -0.39788735772973816, 30.0),
    "hartmann6": (hartmann6, 6, 3.322368011415515, 0.33),
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


def values(run, name, start, noisy, seed):
    """The truth at the best score after each of EVALUATIONS."""
    function, dimensions, _, noise_std = PROBLEMS[name]
    noise = np.random.default_rng([seed, 1])
    seen = []

    def score(point):
        truth = function(point)
        seen.append((truth + (noise_std * noise.standard_normal() if noisy else 0), truth))
        return seen[-1][0]

    run(score, dimensions, seed, start)
    return {n: max(seen[:n])[1] for n in EVALUATIONS}


def rows(tool, start, name, noisy, runs):
    for n in EVALUATIONS:
        regrets = [PROBLEMS[name][2] - run[n] for run in runs]
        spread = statistics.stdev(regrets) / math.sqrt(len(regrets))
        yield {"tool": tool, "start": start, "problem": name, "noisy": noisy, "evaluations": n, "mean": statistics.mean(regrets), "stderr": spread}


def main():
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    table = []
    for tool, run in (("optuna", optuna_run), ("skopt", skopt_run)):
        for start in ("own", "ours"):
            for name in PROBLEMS:
                for noisy in (False, True):
                    table += rows(tool, start, name, noisy, [values(run, name, start, noisy, seed) for seed in range(SEEDS)])
    versions = {name: importlib.metadata.version(name) for name in ("optuna", "scikit-optimize", "torch", "numpy")}
    print(json.dumps({"versions": versions, "seeds": SEEDS, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
