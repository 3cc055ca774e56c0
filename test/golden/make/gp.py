"""Makes test/golden/gp/*.json with scikit-learn and mpmath (pip install scikit-learn mpmath): Gaussian processes, acquisition functions, the normal distribution.

    python test/golden/make/gp.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy.stats
import sklearn
from mpmath import erfc, exp, log, mp, mpf, pi, sqrt
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

OUT = Path(__file__).parent.parent / "gp"
KERNELS = {
    "rbf": lambda lengths: RBF(lengths),
    "matern32": lambda lengths: Matern(lengths, nu=1.5),
    "matern52": lambda lengths: Matern(lengths, nu=2.5),
}


def expand(points, axes, lengths):
    """Coordinates whose Euclidean distance is ours: levels rounded, choices one-hot (two of them sqrt(2) apart, so lengths times sqrt(2))."""
    columns, widths = [], []
    for a, axis in enumerate(axes):
        x = points[:, a]
        if axis["kind"] == "real":
            columns.append(x), widths.append(lengths[a])
        else:
            steps = axis["count"] - 1
            index = np.floor(x * steps + 0.5)
            if axis["kind"] == "levels":
                columns.append(index / steps), widths.append(lengths[a])
            else:
                for value in range(axis["count"]):
                    columns.append((index == value).astype(float)), widths.append(lengths[a] * np.sqrt(2))
    return np.column_stack(columns), np.array(widths)


def case(name, kernel, axes, points, values, queries, hyper, variances=None, normalize=False):
    points, values, queries = map(np.asarray, (points, values, queries))
    lengths, signal, noise = hyper["lengths"], hyper["signal"], hyper["noise"]
    x, widths = expand(points, axes, lengths)
    q, _ = expand(queries, axes, lengths)
    extra = np.zeros(len(values)) if variances is None else np.asarray(variances)
    white = ConstantKernel(signal) * KERNELS[kernel](widths) + WhiteKernel(noise)
    model = GaussianProcessRegressor(white, alpha=extra, optimizer=None, normalize_y=normalize).fit(x, values)
    likelihood, gradient = model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    # Without the white part in the kernel, so that a prediction has no noise of a value in it.
    silent = GaussianProcessRegressor(
        ConstantKernel(signal) * KERNELS[kernel](widths), alpha=extra + noise, optimizer=None, normalize_y=normalize
    ).fit(x, values)
    mean, covariance = silent.predict(q, return_cov=True)
    _, std = silent.predict(q, return_std=True)
    # theta is [signal, lengths of the expanded axes, noise]; ours lengths, signal, noise. A choice has one length for its columns.
    ours, at = [], 1
    for axis in axes:
        width = axis["count"] if axis["kind"] == "choice" else 1
        ours.append(gradient[at : at + width].sum())
        at += width
    return {
        "name": name,
        "kernel": kernel,
        "axes": axes,
        "points": points.tolist(),
        "values": values.tolist(),
        "variances": None if variances is None else extra.tolist(),
        "queries": queries.tolist(),
        "hyper": hyper,
        "normalize": normalize,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "covariance": covariance.tolist(),
        "logMarginalLikelihood": likelihood,
        "gradient": [*ours, gradient[0], gradient[-1]],
    }


def cases():
    rng = np.random.default_rng(6)
    real = {"kind": "real"}
    table = dict(
        axes=[real, real],
        points=[(0, 0), (0.25, 0.75), (0.5, 0.5), (0.75, 0.1), (1, 1)],
        values=[0.1, 0.8, 1, 0.4, -0.2],
        queries=[(0.1, 0.2), (0.5, 0.5), (0.9, 0.6)],
    )
    for kernel in KERNELS:
        hyper = {"lengths": [0.5, 0.3], "signal": 1.0 if kernel == "rbf" else 1.5, "noise": 1e-4}
        yield case(f"table {kernel}", kernel, hyper=hyper, **table)
    yield case("table, values standardised", "matern52", hyper={"lengths": [0.5, 0.3], "signal": 1.5, "noise": 1e-4}, normalize=True, **table)
    for kernel in KERNELS:
        for width, count in ((1, 9), (3, 14)):
            points = rng.random((count, width))
            values = np.sin(6 * points[:, 0]) + points.sum(axis=1) + 0.1 * rng.standard_normal(count)
            hyper = {"lengths": (0.2 + rng.random(width)).tolist(), "signal": 1.7, "noise": 0.01}
            yield case(f"{width} axes {kernel}", kernel, [real] * width, points, values, rng.random((4, width)), hyper)
    points = np.repeat(rng.random((5, 2)), 3, axis=0)
    values = points[:, 0] + 0.2 * rng.standard_normal(15)
    yield case(
        "repeats with known variances", "matern52", [real] * 2, points, values, rng.random((4, 2)),
        {"lengths": [0.7, 0.4], "signal": 0.8, "noise": 1e-3}, variances=0.05 * rng.random(15),
    )
    axes = [real, {"kind": "levels", "count": 4}, {"kind": "choice", "count": 3}]
    points, queries = rng.random((12, 3)), rng.random((4, 3))
    yield case(
        "levels and a choice", "matern52", axes, points, rng.standard_normal(12), queries,
        {"lengths": [0.4, 0.9, 1.3], "signal": 1.2, "noise": 0.02},
    )


def acquisition():
    """For minimisation, as scikit-optimize has it; here with mean and best turned around, for maximisation."""
    rng = np.random.default_rng(7)
    mean, std = rng.standard_normal(12), np.exp(rng.standard_normal(12))
    best, xi, kappa = 0.7, 0.01, 1.96
    z = (mean - best - xi) / std
    pdf, cdf = scipy.stats.norm.pdf(z), scipy.stats.norm.cdf(z)
    return {
        "mean": mean.tolist(),
        "std": std.tolist(),
        "best": best,
        "ei": (std * (pdf + z * cdf)).tolist(),
        "pi": cdf.tolist(),
        "ucb": (mean + kappa * std).tolist(),
    }


def normal():
    """[x, cdf, log cdf, log(pdf(x) + x cdf(x))] to more digits than a double has, as text."""
    mp.dps = 60
    rows = []
    for x in [-1e5, -300, -40, -37, -20, -8, -5, -3, -2.1, -2, -1.9, -1, -0.5, -1e-3, 0, 1e-9, 0.3, 1, 1.9, 2, 2.1, 3, 5, 8, 9]:
        cdf = erfc(-mpf(x) / sqrt(2)) / 2
        pdf = exp(-mpf(x) ** 2 / 2) / sqrt(2 * pi)
        # What cancels grows like x^4; 60 digits are enough to 1e5.
        rows.append([x, mp.nstr(cdf, 20), mp.nstr(log(cdf), 20), mp.nstr(log(pdf + mpf(x) * cdf), 20)])
    return rows


warnings.filterwarnings("error")
OUT.mkdir(exist_ok=True)
(OUT / "scikit-learn.json").write_text(
    json.dumps({"sklearn": sklearn.__version__, "cases": list(cases()), "acquisition": acquisition()}, indent=1) + "\n"
)
(OUT / "normal.json").write_text(json.dumps(normal(), indent=1) + "\n")
