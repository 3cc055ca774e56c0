"""Logs scores of ckpt-merge to a run of MLflow that exists: the one of MLFLOW_RUN_ID, at the endpoint's step.

stdin: a JSON object a line, one for each trial that is new (docs/dashboards.md says what is in it).
Also heeded by MLflow itself: MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN.
"""
import json
import os
import re
import sys
from datetime import datetime

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient


def name(*parts):
    """MLflow takes letters, digits and _-. :/ in names."""
    return re.sub(r"[^\w\-. :/]", "_", "/".join(parts))


metrics = []
for line in sys.stdin:
    row = json.loads(line)
    values = {"score": row["score"], "stderr": row["stderr"], "gain": row["gain"], "gain_error": row["gainError"], **row["metrics"]}
    time = int(datetime.fromisoformat(row["time"].replace("Z", "+00:00")).timestamp() * 1000)
    step = row["trial"] if row["step"] is None else row["step"]
    for key, value in values.items():
        if value is not None:
            metrics.append(Metric(name("ckpt_merge", row["series"], key), value, time, step))
client = MlflowClient()
for i in range(0, len(metrics), 1000):
    client.log_batch(os.environ["MLFLOW_RUN_ID"], metrics=metrics[i : i + 1000])
