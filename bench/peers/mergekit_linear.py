"""mergekit's linear method as `mergekit-yaml` runs it by default."""

import time

started = time.perf_counter()
from importlib.metadata import version

import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

import_seconds = time.perf_counter() - started

from common import arguments, report, sync_folder

args = arguments(__doc__)
started = time.perf_counter()
config = {
    "merge_method": "linear",
    "dtype": "bfloat16",
    "parameters": {"weight": 1.0},
    "models": [{"model": str(folder)} for folder in args.inputs],
}
source = yaml.safe_dump(config)
options = MergeOptions(quiet=True, copy_tokenizer=False)  # the synthetic checkpoints have no tokenizer
run_merge(MergeConfiguration.model_validate(config), str(args.output), options=options, config_source=source)
if args.sync:
    sync_folder(args.output)
report(time.perf_counter() - started, import_seconds, version=f"mergekit {version('mergekit')}")
