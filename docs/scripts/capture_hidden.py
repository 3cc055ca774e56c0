"""Writes what goes into the routers of a mixture-of-experts model, for `merge routers --hidden`.

    python capture_hidden.py MODEL TEXT.txt OUT.safetensors [TOKENS]
"""
import re
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, text_file, out, limit = sys.argv[1], sys.argv[2], sys.argv[3], int((sys.argv[4:] or [4096])[0])
device = "cuda" if torch.cuda.is_available() else "cpu"
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
config = model.config.get_text_config()
text = open(text_file, encoding="utf-8").read()
# A vocabulary of 256 is one of bytes, as the demo models of ckpt-merge have it.
ids = torch.tensor(list(text.encode())) if config.vocab_size == 256 else AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids[0]

keys = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
rows = next(getattr(config, key) for key in keys if getattr(config, key, None)) + getattr(config, "zero_expert_num", 0)
inputs = {}


def keep(parts):
    def hook(module, args, kwargs):
        x = args[0] if args else next(iter(kwargs.values()))
        parts.append(x.detach().reshape(-1, x.shape[-1]).cpu().clone())
    return hook


for name, module in model.named_modules():
    layer = re.search(r"\.(\d+)\..*\b(router|gate)$", name)
    if layer is None or layer[1] in inputs or re.search(r"shared|attn|attention|vision|audio", name):
        continue
    if any(p.shape == (rows, config.hidden_size) for p in module.parameters()):
        inputs[layer[1]] = []
        module.register_forward_pre_hook(keep(inputs[layer[1]]), with_kwargs=True)

with torch.no_grad():
    for part in ids[:limit].split(min(512, config.max_position_embeddings)):
        model(part[None].to(device), use_cache=False)
save_file({f"layers.{layer}.hidden": torch.cat(parts) for layer, parts in inputs.items()}, out, {"model": folder, "text": text_file})
print(f"{len(inputs)} routers, {sum(len(x) for x in next(iter(inputs.values())))} tokens: {out}")
