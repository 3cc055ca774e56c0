"""One merge on the nodes of a Ray cluster: python ray-merge.py RANKS merge average run --last 10 -o merged

Run it on a node of the cluster, in a folder that all nodes share. Data does not pass through Ray.
"""
import os, subprocess, sys, uuid

import ray

ranks, command = int(sys.argv[1]), sys.argv[2:]
folder, launch = os.getcwd(), uuid.uuid4().hex
ray.init(address="auto")
# A task takes all of a node, so that each node has one.
cpus = min(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])


@ray.remote(num_cpus=cpus, max_retries=3, retry_exceptions=True)
def merge(rank):
    env = {**os.environ, "MERGE_RANK": str(rank), "MERGE_WORLD_SIZE": str(ranks), "MERGE_LAUNCH": launch}
    code = subprocess.run(command, env=env, cwd=folder).returncode
    if code not in (0, 2, 3, 4, 5, 6):  # With one of those it would end again.
        raise RuntimeError(f"rank {rank} ended with {code}")
    return code


sys.exit(max(ray.get([merge.remote(rank) for rank in range(ranks)])))
