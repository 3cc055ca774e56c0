"""Logs scores of ckpt-merge to a run of Weights & Biases that exists: the one of WANDB_RUN_ID, at the endpoint's step.

stdin: a JSON object a line, one for each trial that is new (docs/dashboards.md says what is in it).
Also heeded by wandb itself: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE=offline, WANDB_DIR.
"""
import json
import os
import sys

import wandb

run = wandb.init(id=os.environ["WANDB_RUN_ID"], resume="allow", settings=wandb.Settings(silent=True, console="off"))
# Scores come later than the training's own metrics, whose steps only grow: they have an axis of their own.
run.define_metric("ckpt_merge/step")
run.define_metric("ckpt_merge/*", step_metric="ckpt_merge/step")
for line in sys.stdin:
    row = json.loads(line)
    values = {"score": row["score"], "stderr": row["stderr"], "gain": row["gain"], "gain_error": row["gainError"], **row["metrics"]}
    logged = {f"ckpt_merge/{row['series']}/{name}": value for name, value in values.items() if value is not None}
    if logged:
        where = {"ckpt_merge/step": row["trial"] if row["step"] is None else row["step"]}
        if row["tokens"] is not None:
            where["ckpt_merge/tokens"] = row["tokens"]
        run.log({**where, **logged})
run.finish()
