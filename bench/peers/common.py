"""What the comparison scripts share: arguments, shards, flushing, the JSON line that bench/peers.js reads."""

import argparse
import json
import os
import resource
from pathlib import Path


def arguments(description, *flags):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--sync", action="store_true", help="flush the output to the device before the clock stops")
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def shard_names(folder):
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return ["model.safetensors"]
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def copy_side_files(source, target):
    for name in ("config.json", "model.safetensors.index.json"):
        if (source / name).exists():
            (target / name).write_bytes((source / name).read_bytes())


def sync_folder(folder):
    for path in [*folder.iterdir(), folder]:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def report(seconds, import_seconds, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "import_seconds": import_seconds, "max_rss_mb": peak, **more}))
