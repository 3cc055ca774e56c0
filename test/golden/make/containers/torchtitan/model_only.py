"""What torchtitan leaves at the end of a run, by torch's own writer: the model alone, cast whole to bfloat16.
model_only.py RUN STEP OUT: reads RUN/checkpoint/step-STEP and writes OUT/step-(STEP + 100), with the oracle beside it."""
import json, os, sys
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict_from_keys
from safetensors.torch import save_file

run, step, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
folder = f"{run}/checkpoint/step-{step}"
names = [n for n in FileSystemReader(folder).read_metadata().state_dict_metadata if n.split(".")[0] in ("tok_embeddings", "layers", "norm", "output")]
state = _load_state_dict_from_keys(set(names), checkpoint_id=folder)


def flat(node, prefix=""):
    for k, v in node.items():
        if isinstance(v, dict):
            yield from flat(v, f"{prefix}{k}.")
        else:
            yield f"{prefix}{k}", v


whole = {k: v.to(torch.bfloat16).contiguous() for k, v in flat(state)}
assert sorted(whole) == sorted(names)
dcp.save(whole, checkpoint_id=f"{out}/step-{step + 100}")
os.makedirs(f"{out}/oracle", exist_ok=True)
save_file({k: v.float() for k, v in whole.items()}, f"{out}/oracle/{step + 100}.safetensors")
with open(f"{out}/oracle/dtypes.json", "w") as f:
    json.dump({k: "bfloat16" for k in sorted(whole)}, f, indent=0)
