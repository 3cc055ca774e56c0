"""Makes ../gp/optuna.json: hyperparameters that Optuna's GPSampler fits, whose kernel and priors are those of a search here (pip install optuna torch scipy).

    python test/golden/make/gp-optuna.py
"""

import json
from pathlib import Path

import numpy as np
import optuna
from optuna._gp import gp, prior


def case(name, points, values, choices):
    standardised = (values - values.mean()) / values.std()
    fitted = gp.fit_kernel_params(
        X=points,
        Y=standardised,
        is_categorical=np.array(choices),
        log_prior=prior.default_log_prior,
        minimum_noise=prior.DEFAULT_MINIMUM_NOISE_VAR,
        deterministic_objective=False,
        gtol=1e-6,
    )
    return {
        "name": name,
        # A choice of three is at 0, 0.5 and 1 here, and any three numbers there.
        "axes": [{"kind": "choice", "count": 3} if choice else {"kind": "real"} for choice in choices],
        "points": points.tolist(),
        "values": values.tolist(),
        "hyper": {
            "lengths": fitted.length_scales.tolist(),
            "signal": fitted.kernel_scale.item(),
            "noise": fitted.noise_var.item(),
        },
    }


rng = np.random.default_rng(5)
cases = []
for noise in (0, 0.1, 0.6):
    points = rng.random((24, 3))
    cases.append(case(f"noise {noise}", points, np.sin(6 * points[:, 0]) + points[:, 1] + noise * rng.standard_normal(24), [False] * 3))
points = rng.random((20, 2))
points[:, 1] = rng.integers(0, 3, 20) / 2
cases.append(case("a choice", points, np.cos(5 * points[:, 0]) + np.array([0, 0.7, -0.4])[(2 * points[:, 1]).astype(int)], [False, True]))
text = json.dumps({"optuna": optuna.__version__, "cases": cases}, indent=1)
(Path(__file__).parent.parent / "gp" / "optuna.json").write_text(text + "\n")
