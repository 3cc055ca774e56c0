"""Makes test/golden/quantised: tiny quantised checkpoints, and what merging them must give.

    python test/golden/make/quantised.py test/golden/quantised

Written with torch and safetensors; the MXFP4 codes are read with transformers' own function. Each folder holds two members, `expected` (the merge in the stored
form) and, where it is not the same tensors, `floats` (the merge with --dtype BF16). The sums follow the arithmetic promise: float64, in the order of the members,
each product and sum rounded; then float32, then the dtype.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

WEIGHTS = [0.25, 0.75]
E4M3 = torch.float8_e4m3fn
FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)


def merged(values):
    total = values[0].double() * WEIGHTS[0]
    for value, weight in zip(values[1:], WEIGHTS[1:]):
        total = total + value.double() * weight
    return total


def blocks_of(matrix, rows, cols):
    for r in range(0, matrix.shape[0], rows):
        for c in range(0, matrix.shape[1], cols):
            yield r // rows, c // cols, slice(r, r + rows), slice(c, c + cols)


def quantise(matrix, rows, cols, dtype=E4M3, power_of_two=False):
    """Codes and float32 scales of a float64 matrix: s = f32(amax / max), or the next power of two; code = fp8(float32(value / s))."""
    most = torch.finfo(dtype).max
    codes = torch.empty(matrix.shape, dtype=dtype)
    scales = torch.empty(-(-matrix.shape[0] // rows), -(-matrix.shape[1] // cols), dtype=torch.float32)
    for i, j, r, c in blocks_of(matrix, rows, cols):
        amax = matrix[r, c].abs().max()
        scale = torch.exp2(torch.ceil(torch.log2(amax / most))).float() if power_of_two else (amax / most).float()
        if amax == 0:
            scale = torch.tensor(1.0)
        scales[i, j] = scale
        codes[r, c] = (matrix[r, c] / scale.double()).float().to(dtype)
    return codes, scales


def dequantise(codes, scales, rows, cols):
    out = torch.empty(codes.shape, dtype=torch.float64)
    for i, j, r, c in blocks_of(codes, rows, cols):
        out[r, c] = codes[r, c].double() * scales[i, j].double()
    return out


def random(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.02
    # Some weights are far larger than the rest, as in real models.
    values.view(-1)[::97] *= 30
    return values


def write(folder, tensors, config):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def fp8(out, name, shapes, block_of, suffix, quantization, power_of_two=False, scale_shape=lambda s: s, dtype=E4M3):
    """Two members of FP8 weights with scales, in the scheme that `block_of` and `suffix` make."""
    config = {"model_type": "llama", "dtype": "bfloat16", "quantization_config": quantization, "vocab_size": 7}
    members = []
    for m in range(2):
        tensors = {"model.norm.weight": random(24, seed=900 + m).to(torch.bfloat16)}
        for t, (weight, shape) in enumerate(shapes.items()):
            master = random(*shape, seed=t) + 0.05 * random(*shape, seed=100 * (m + 1) + t)
            if t == 0:
                master[:4, :4] = random(4, 4, seed=50)  # the same in both, as a part of a block
            codes, scales = quantise(master, *block_of(shape), dtype, power_of_two)
            tensors[weight], tensors[weight + suffix] = codes, scale_shape(scales)
        members.append(tensors)
        write(out / name / f"step-{m + 1}", tensors, config)
    same, floats = {}, {}
    for key in members[0]:
        if key == "model.norm.weight":
            same[key] = floats[key] = merged([t[key] for t in members]).float().to(torch.bfloat16)
        elif key in shapes:
            rows, cols = block_of(shapes[key])
            grid = lambda s: s.reshape(-(-shapes[key][0] // rows), -(-shapes[key][1] // cols))
            total = merged([dequantise(t[key], grid(t[key + suffix]), rows, cols) for t in members])
            codes, scales = quantise(total, rows, cols, dtype, power_of_two)
            same[key], same[key + suffix] = codes, scale_shape(scales)
            floats[key] = total.float().to(torch.bfloat16)
    write(out / name / "expected", same, config)
    write(out / name / "floats", floats, {k: v for k, v in config.items() if k != "quantization_config"})


def mxfp4_codes(values):
    """Blocks [..., cols / 32, 16] and scales of float64 rows: e = ceil(log2(amax / 6)), nearest code, ties to the even one; the low nibble first."""
    groups = values.reshape(*values.shape[:-1], -1, 32)
    amax = groups.abs().amax(-1)
    exponent = torch.ceil(torch.log2(amax / 6))
    scaled = (groups / torch.exp2(exponent)[..., None]).float().double()
    distance = (scaled.abs()[..., None] - FP4).abs()
    nearest = distance.argmin(-1)
    # Of two equally near codes argmin takes the lower; the even one is wanted.
    tied = distance.gather(-1, (nearest + 1).clamp(max=7)[..., None])[..., 0] == distance.gather(-1, nearest[..., None])[..., 0]
    code = nearest + (tied & (nearest % 2 == 1) & (nearest < 7)).long() + 8 * torch.signbit(scaled).long()
    return (code[..., 0::2] | (code[..., 1::2] << 4)).to(torch.uint8), (exponent + 127).to(torch.uint8)


def mxfp4(out):
    name = "model.layers.0.mlp.experts.gate_up_proj"
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    config = {"model_type": "gpt_oss", "dtype": "bfloat16", "quantization_config": quantization}
    members = []
    for m in range(2):
        master = random(2, 6, 64, seed=7) + 0.2 * random(2, 6, 64, seed=70 + m)
        blocks, scales = mxfp4_codes(master)
        bias = random(2, 6, seed=80 + m).to(torch.bfloat16)
        members.append({name + "_blocks": blocks, name + "_scales": scales, name + "_bias": bias})
        write(out / "mxfp4" / f"step-{m + 1}", members[-1], config)
    # [E, in, out], exact in bfloat16: the codes have three significant bits.
    values = [convert_moe_packed_tensors(t[name + "_blocks"], t[name + "_scales"], dtype=torch.bfloat16) for t in members]
    total = merged(values)
    bias = merged([t[name + "_bias"] for t in members]).float().to(torch.bfloat16)
    write(out / "mxfp4" / "floats", {name: total.float().to(torch.bfloat16).contiguous(), name + "_bias": bias}, {"model_type": "gpt_oss", "dtype": "bfloat16"})
    blocks, scales = mxfp4_codes(total.transpose(1, 2).contiguous())
    write(out / "mxfp4" / "expected", {name + "_blocks": blocks, name + "_scales": scales, name + "_bias": bias}, config)


def main(out):
    deepseek = {"model.layers.0.self_attn.o_proj.weight": (140, 132), "model.layers.0.mlp.experts.0.up_proj.weight": (20, 136)}
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    fp8(out, "block", deepseek, lambda shape: (128, 128), "_scale_inv", quantization)
    small = {"model.layers.0.mlp.down_proj.weight": (24, 40)}
    fp8(out, "power-of-two", small, lambda shape: (16, 16), "_scale_inv", {**quantization, "weight_block_size": [16, 16], "scale_fmt": "ue8m0"}, power_of_two=True)
    weights = {"num_bits": 8, "type": "float", "symmetric": True}
    group = lambda strategy: {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights": {**weights, "strategy": strategy}}}}
    fp8(out, "channel", small, lambda shape: (1, shape[1]), "_scale", group("channel"))
    fp8(out, "tensor", small, lambda shape: shape, "_scale", group("tensor"), scale_shape=lambda s: s.reshape(1))
    fp8(out, "e5m2", small, lambda shape: shape, "_scale", group("tensor"), scale_shape=lambda s: s.reshape(()), dtype=torch.float8_e5m2)
    mxfp4(out)


main(Path(sys.argv[1]))
