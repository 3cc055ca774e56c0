"""Makes golden.safetensors and golden.json: what the mixture-of-experts models of transformers choose, on tiny random models.

    python make.py          needs torch, transformers (5.23), safetensors

For every case a model of two layers or so is made, its norms, routers and biases are filled with random numbers, it is saved, and one forward pass is watched: what goes into
the router, and which experts with which weights are asked for. golden.json holds the configuration as it was saved, the tensors of that layer by name, and which of them are
the router, its biases and the norm before it, found by their values and not by their names.
"""
import json
import re
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, CONFIG_MAPPING

HERE = Path(__file__).parent
T, H, E = 12, 16, 8
SMALL = dict(
    hidden_size=H, vocab_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
    intermediate_size=16, moe_intermediate_size=8, max_position_embeddings=64,
    pad_token_id=0, bos_token_id=1, eos_token_id=2,
)
MLA = dict(q_lora_rank=8, kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, head_dim=8)
DEEPSEEK = dict(n_routed_experts=E, num_experts_per_tok=3, n_shared_experts=1, first_k_dense_replace=1, routed_scaling_factor=2.5)

# case: (model_type, settings)
CASES = {
    "mixtral": ("mixtral", dict(num_local_experts=E, num_experts_per_tok=2)),
    "qwen2_moe": ("qwen2_moe", dict(num_experts=E, num_experts_per_tok=3, shared_expert_intermediate_size=8)),
    "qwen3_moe": ("qwen3_moe", dict(num_experts=E, num_experts_per_tok=3, norm_topk_prob=True)),
    "qwen3_moe-plain": ("qwen3_moe", dict(num_experts=E, num_experts_per_tok=3, norm_topk_prob=False)),
    "qwen3_next": ("qwen3_next", dict(num_experts=E, num_experts_per_tok=3, shared_expert_intermediate_size=8,
                                      layer_types=["full_attention", "full_attention"], linear_num_value_heads=2, linear_num_key_heads=2,
                                      linear_key_head_dim=8, linear_value_head_dim=8)),
    "qwen3_5_moe": ("qwen3_5_moe_text", dict(num_experts=E, num_experts_per_tok=3, shared_expert_intermediate_size=8,
                                             layer_types=["full_attention", "full_attention"], linear_num_value_heads=2,
                                             linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8)),
    "olmoe": ("olmoe", dict(num_experts=E, num_experts_per_tok=3)),
    "flex_olmo": ("flex_olmo", dict(num_experts=E, num_experts_per_tok=3)),
    "deepseek_v2-greedy": ("deepseek_v2", dict(MLA, **DEEPSEEK, topk_method="greedy", n_group=1, topk_group=1)),
    "deepseek_v2-groups": ("deepseek_v2", dict(MLA, **DEEPSEEK, topk_method="group_limited_greedy", n_group=4, topk_group=2)),
    "deepseek_v3": ("deepseek_v3", dict(MLA, **DEEPSEEK, n_group=4, topk_group=2, norm_topk_prob=True)),
    "deepseek_v3-plain": ("deepseek_v3", dict(MLA, **DEEPSEEK, n_group=2, topk_group=1, norm_topk_prob=False)),
    "glm4_moe": ("glm4_moe", dict(DEEPSEEK, n_group=1, topk_group=1, norm_topk_prob=True)),
    "dots1": ("dots1", dict(DEEPSEEK, n_group=1, topk_group=1, norm_topk_prob=True)),
    "gpt_oss": ("gpt_oss", dict(num_local_experts=E, num_experts_per_tok=3, layer_types=["full_attention", "full_attention"])),
    "llama4": ("llama4_text", dict(num_local_experts=E, num_experts_per_tok=2, interleave_moe_layer_step=1, intermediate_size_mlp=16,
                                   moe_layers=[0, 1], layer_types=["full_attention", "full_attention"], no_rope_layers=[1, 1])),
    "jamba": ("jamba", dict(num_experts=E, num_experts_per_tok=2, attn_layer_offset=0, attn_layer_period=1, expert_layer_offset=0,
                            expert_layer_period=1, use_mamba_kernels=False)),
    "phimoe": ("phimoe", dict(num_local_experts=E, num_experts_per_tok=2, router_jitter_noise=0.2)),
    "granitemoe": ("granitemoe", dict(num_local_experts=E, num_experts_per_tok=3)),
    "minimax_m2": ("minimax_m2", dict(num_local_experts=E, num_experts_per_tok=3)),
    "ernie4_5_moe": ("ernie4_5_moe", dict(moe_num_experts=E, moe_k=3, moe_layer_start_index=1, moe_num_shared_experts=1)),
    "hunyuan_v1_moe": ("hunyuan_v1_moe", dict(num_experts=E, moe_topk=3)),
    "longcat_flash": ("longcat_flash", dict(MLA, n_routed_experts=6, zero_expert_num=2, moe_topk=3, num_layers=1, ffn_hidden_size=16,
                                            expert_ffn_hidden_size=8)),
    "nemotron_h": ("nemotron_h", dict(n_routed_experts=E, num_experts_per_tok=3, n_group=4, topk_group=2, layers_block_type=["attention", "moe"],
                                      moe_shared_expert_intermediate_size=8, mamba_num_heads=2, mamba_head_dim=8, ssm_state_size=8)),
    "afmoe": ("afmoe", dict(num_experts=E, num_experts_per_tok=3, num_dense_layers=1, route_scale=1.5, layer_types=["full_attention", "full_attention"])),
    "lfm2_moe": ("lfm2_moe", dict(num_experts=E, num_experts_per_tok=3, num_dense_layers=1, layer_types=["full_attention", "full_attention"])),
    "deepseek_v4": ("deepseek_v4", dict(n_routed_experts=E, num_experts_per_tok=3, n_shared_experts=1, mlp_layer_types=["hash_moe", "moe"],
                                        layer_types=["sliding_attention", "sliding_attention"], q_lora_rank=8, o_groups=2, o_lora_rank=8)),
    "kimi_linear": ("kimi_linear", dict(MLA, num_experts=E, num_experts_per_token=3, first_k_dense_replace=1,
                                        layer_types=["full_attention", "full_attention"])),
}


def build(model_type, settings):
    config = CONFIG_MAPPING[model_type](**{**SMALL, **settings})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            if not p.is_floating_point() or "inv_freq" in name:
                continue
            if p.ndim == 1 and "A_log" not in name:  # norms, biases
                p.copy_(torch.randn(p.shape) * 0.3 + (1.0 if "norm" in name and "bias" not in name else 0.0))
            elif re.search("correction_bias", name):
                p.copy_(torch.randn(p.shape) * 0.3)
            elif re.search(r"router|\bgate\b|classifier", name) and p.ndim == 2:
                p.copy_(torch.randn(p.shape) * 0.4)
    return model


def watch(model):
    """Inputs of the last layer's router, and the experts and weights that it leads to."""
    seen = {"norms": []}

    def is_router(name, module):
        weight = getattr(module, "weight", None)
        if weight is None and hasattr(module, "classifier"):
            weight = module.classifier.weight
        rows = {E, getattr(model.config, "n_routed_experts", E) + getattr(model.config, "zero_expert_num", 0)}
        shaped = weight is not None and weight.ndim == 2 and weight.shape[0] in rows and weight.shape[1] == H
        return shaped and "shared" not in name and re.search(r"router|gate|wg", ".".join(name.split(".")[-2:]))

    for name, module in model.named_modules():
        if is_router(name, module):
            def hook(m, args, out, name=name):
                seen["router"], seen["input"], seen["out"] = (name, m), args[0].detach().reshape(-1, H).clone(), out
            module.register_forward_hook(hook)
        if name.split(".")[-1] == "experts":
            module.register_forward_pre_hook(lambda m, args: seen.update(experts=args))
        if "norm" in name.split(".")[-1].lower() or "norm" in type(module).__name__.lower():
            module.register_forward_hook(lambda m, a, out, n=name: torch.is_tensor(out) and seen["norms"].append((n, m, out.detach().clone())))
    with torch.no_grad():
        model(input_ids=torch.randint(3, 32, (1, T)), use_cache=False)
    return seen


def main():
    tensors, cases = {}, {}
    for case, (model_type, settings) in CASES.items():
        torch.manual_seed(sum(map(ord, case)))
        model = build(model_type, settings)
        seen = watch(model)
        _, router = seen["router"]
        weight = router.weight if hasattr(router, "weight") else router.classifier.weight
        if model_type == "llama4_text":
            scores = seen["out"][0]  # zero for those not chosen
            weights, experts = torch.topk(scores, model.config.num_experts_per_tok, dim=-1)
        else:
            index = next(a for a in seen["experts"][1:] if not a.is_floating_point())
            share = next(a for a in seen["experts"][1:] if a.is_floating_point())
            experts, weights = index.reshape(T, -1), share.reshape(T, -1)
        norm = next((m for _, m, out in reversed(seen["norms"]) if out.numel() == T * H and torch.equal(out.reshape(-1, H), seen["input"])), None)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            config = json.loads((Path(folder) / "config.json").read_text())
            saved = {}
            for file in Path(folder).glob("*.safetensors"):
                with safe_open(file, "pt") as f:
                    saved |= {key: f.get_tensor(key) for key in f.keys()}

        def name_of(tensor):
            return None if tensor is None else next((k for k, v in saved.items() if v.numel() == tensor.numel() and torch.equal(v.flatten(), tensor.flatten())), None)

        layer = re.search(r"layers\.\d+\.", seen["router"][0])[0]
        bias = getattr(router, "bias", None)
        own = [(n, b) for n, b in [*model.named_parameters(), *model.named_buffers()] if layer in n]
        correction = next((b for n, b in own if re.search("correction_bias|expert_bias", n)), None)
        tensors |= {f"{case}.inputs": seen["input"], f"{case}.router": weight.detach(), f"{case}.experts": experts.int(), f"{case}.weights": weights.float()}
        if bias is not None:
            tensors[f"{case}.bias"] = bias.detach()
        if correction is not None:
            tensors[f"{case}.correction"] = correction.detach().float().flatten()
        cases[case] = {
            "config": config,
            "tensors": {k: [{"torch.float32": "F32", "torch.int64": "I64"}[str(v.dtype)], *v.shape] for k, v in saved.items() if layer in k},
            "router": name_of(weight), "bias": name_of(bias), "correction": name_of(correction), "norm": name_of(norm and norm.weight),
        }
        print(case, {k: v for k, v in cases[case].items() if k not in ("config", "tensors")})
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, HERE / "golden.safetensors")
    (HERE / "golden.safetensors").chmod(0o644)
    lines = ",\n".join(f"  {json.dumps(case)}: {json.dumps(content)}" for case, content in cases.items())
    (HERE / "golden.json").write_text(f'{{\n  "transformers": "{transformers.__version__}",\n{lines}\n}}\n')


if __name__ == "__main__":
    main()
