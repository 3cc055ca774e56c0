"""names-check.py OUT GOLDEN STEP: OUT is what `merge convert GOLDEN/... --names hf -o OUT` made of a step of a golden names-*. Compares its logits in
transformers (5.24 tried) with those of the golden's own framework, and its tensors with GOLDEN/hf-STEP.safetensors, byte for byte.
"""
import os, sys, warnings
warnings.filterwarnings("ignore")
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
out, golden, step = sys.argv[1:4]
m, info = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, output_loading_info=True, attn_implementation="eager")
told = load_file(f"{golden}/logits.safetensors")
with torch.no_grad():
    mine = m(told["tokens"]).logits
want = told[f"logits-{step}"]
print(type(m).__name__, {k: list(v)[:3] for k, v in info.items() if v}, "max abs logit", want.abs().max().item(), "max difference", (mine[..., : want.shape[-1]] - want).abs().max().item())
hf = f"{golden}/hf-{step}.safetensors"
if os.path.exists(hf):
    a, b = load_file(f"{out}/model.safetensors"), load_file(hf)
    print("names equal", set(a) == set(b), sorted(set(a) ^ set(b))[:4], "bytes equal", all(torch.equal(a[k], b[k]) for k in a if k in b))
