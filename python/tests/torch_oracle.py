"""Merges of checkpoints that transformers saved, against torch's float64. Run in an empty folder."""

import sys

import torch
import transformers

import ckpt_merge

SHAPE = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
STEPS = (100, 200, 300)


def saved(folder, dtype):
    """The states of a run that it saves there."""
    states = []
    for step in STEPS:
        torch.manual_seed(step)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, num_key_value_heads=2)).to(dtype)
        model.save_pretrained(f"{folder}/checkpoint-{step}", max_shard_size="20KB")
        states.append(model.state_dict())
    return states


def mean(states, weights, name):
    total = states[0][name].double() * weights[0]
    for state, weight in zip(states[1:], weights[1:]):
        total = total + state[name].double() * weight
    return total.float().to(states[0][name].dtype)


for dtype in (torch.bfloat16, torch.float32):
    run = str(dtype)
    states = saved(run, dtype)
    for output, keywords, weights in [
        ("mean", {}, [1 / 3, 1 / 3, 1 / 3]),
        ("weighted", {"weights": torch.tensor([-0.25, 0.5, 0.75]).tolist()}, [-0.25, 0.5, 0.75]),
        ("ema", {"method": "ema", "alpha": 0.5}, [0.25, 0.25, 0.5]),
    ]:
        ckpt_merge.average(run, output=f"{run}-{output}", **keywords)
        merged = transformers.LlamaForCausalLM.from_pretrained(f"{run}-{output}", dtype=dtype).state_dict()
        assert merged.keys() == states[0].keys()
        for name, tensor in merged.items():
            assert torch.equal(tensor, mean(states, weights, name)), (run, output, name)

ids = torch.arange(64)[None]


def loss(model):
    """A tensor of one element, as losses are."""
    with torch.no_grad():
        return transformers.AutoModelForCausalLM.from_pretrained(model)(ids, labels=ids).loss


found = ckpt_merge.search(str(torch.float32), last=2, output="best", trials=4, eval=loss, goal="minimize")
assert abs(found.best.score - float(loss("best"))) < 1e-6, (found.best.score, float(loss("best")))
print("agrees", file=sys.stdout)
