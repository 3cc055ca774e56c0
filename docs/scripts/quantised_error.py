"""How far a merge of quantised checkpoints is from averaging the unquantised ones: the tables of docs/quantised.md.

    python docs/scripts/quantised_error.py 'npx merge'

Needs torch and safetensors. A is 1024 x 1024 normal weights (std 0.02, eight columns 30 times as large), B is A plus normal noise of the given size relative to
A's. In the last row B has one weight in each block of 128 x 128 that is eight times as large as any of A's. Both are quantised with torch, merged with equal weights by the command, and compared with (A + B) / 2: relative Frobenius error.
"""
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SIZE = 1024
DRIFTS = [0.001, 0.01, 0.05, 0.2, 1.0]
OUTLIER = "0.01, and one outlier a block in B"
E4M3 = torch.float8_e4m3fn
FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=torch.float64)
NAME = "model.layers.0.mlp.down_proj.weight"
EXPERTS = "model.layers.0.mlp.experts.down_proj"
torch.set_num_threads(1)


def error(found, truth):
    return ((found - truth).norm() / truth.norm()).item()


def spread(scales, block):
    """A scale for every weight."""
    return scales.double().repeat_interleave(block[0], 0)[:SIZE].repeat_interleave(block[1], 1)[:, :SIZE]


def fp8(weight, block):
    tiles = weight.unfold(0, block[0], block[0]).unfold(1, block[1], block[1])
    scales = (tiles.abs().amax((-1, -2)) / 448).float()
    codes = (weight / spread(scales, block)).float().to(E4M3)
    return codes, scales


class Fp8:
    """FP8 with a scale for each block."""

    wrong_ways = "codes averaged, scales averaged | bytes averaged"

    def __init__(self, title, block, suffix, quantization, one=False):
        self.title, self.block, self.suffix, self.quantization, self.one = title, block, suffix, quantization, one

    def tensors(self, weight):
        codes, scales = fp8(weight, self.block)
        return {NAME: codes, NAME + self.suffix: scales.reshape(1) if self.one else scales}

    def values(self, tensors):
        return tensors[NAME].double() * spread(tensors[NAME + self.suffix].reshape(-(-SIZE // self.block[0]), -1), self.block)

    def wrong(self, a, b):
        codes = ((a[NAME].float() + b[NAME].float()) / 2).to(E4M3)
        scales = (a[NAME + self.suffix] + b[NAME + self.suffix]) / 2
        bytes_ = ((a[NAME].view(torch.uint8).int() + b[NAME].view(torch.uint8).int()) // 2).to(torch.uint8).view(E4M3)
        return [{NAME: codes, NAME + self.suffix: scales}, {NAME: bytes_, NAME + self.suffix: scales}]

    def floats(self, tensors):
        return tensors[NAME].double()


class Mxfp4:
    """FP4 with a power of two for each 32, as gpt-oss has it."""

    title = "MXFP4"
    wrong_ways = "codes of one, scales averaged | bytes averaged"
    quantization = {"quant_method": "mxfp4"}

    def tensors(self, weight):
        groups = weight.reshape(SIZE, -1, 32)
        exponent = torch.ceil(torch.log2(groups.abs().amax(-1) / 6))
        scaled = groups / torch.exp2(exponent)[..., None]
        code = (scaled[..., None] - FP4).abs().argmin(-1)
        blocks = (code[..., 0::2] | (code[..., 1::2] << 4)).to(torch.uint8)
        return {EXPERTS + "_blocks": blocks[None], EXPERTS + "_scales": (exponent + 127).to(torch.uint8)[None]}

    def values(self, tensors):
        blocks, scales = tensors[EXPERTS + "_blocks"][0].long(), tensors[EXPERTS + "_scales"][0].double()
        code = torch.stack([blocks & 15, blocks >> 4], -1).reshape(SIZE, -1, 32)
        return (FP4[code] * torch.exp2(scales - 127)[..., None]).reshape(SIZE, SIZE)

    def wrong(self, a, b):
        values = []
        blocks, scales = EXPERTS + "_blocks", EXPERTS + "_scales"
        mean = lambda x, y: ((x.int() + y.int()) // 2).to(torch.uint8)
        values.append({blocks: a[blocks], scales: mean(a[scales], b[scales])})
        values.append({blocks: mean(a[blocks], b[blocks]), scales: mean(a[scales], b[scales])})
        return values

    def floats(self, tensors):
        return tensors[EXPERTS][0].T.double()


def merge(command, folder, form, a, b, dtype):
    for name, tensors in (("a", a), ("b", b)):
        (folder / name).mkdir(exist_ok=True)
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps({"model_type": "x", "quantization_config": form.quantization}))
    out = folder / f"out-{dtype}"
    run = [*shlex.split(command), "average", folder / "a", folder / "b", "--dtype", dtype, "-o", out, "--force", "--json"]
    result = json.loads(subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
    ratios = [figure["ratio"] for figure in result["outputs"][0]["rounding"]]
    return load_file(out / "model.safetensors"), ratios


def main(command):
    group = lambda strategy: {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"g": {"weights": {"strategy": strategy}}}}
    forms = [
        Fp8("FP8, blocks of 128 x 128", (128, 128), "_scale_inv", {"quant_method": "fp8", "weight_block_size": [128, 128]}),
        Fp8("FP8, a scale a row", (1, SIZE), "_scale", group("channel")),
        Fp8("FP8, a scale a tensor", (SIZE, SIZE), "_scale", group("tensor"), one=True),
        Mxfp4(),
    ]
    for form in forms:
        print(f"\n**{form.title}**\n\n| drift | the mean itself, quantised | merged, `--dtype same` | merged, `--dtype BF16` | rounding / merging | {form.wrong_ways} |")
        print("|---|---|---|---|---|---|---|")
        for case in [*DRIFTS, OUTLIER]:
            drift = 0.01 if case == OUTLIER else case
            torch.manual_seed(1)
            a = torch.randn(SIZE, SIZE, dtype=torch.float64) * 0.02
            a[:, ::128] *= 30
            b = a + drift * a.std() * torch.randn(SIZE, SIZE, dtype=torch.float64)
            if case == OUTLIER:
                b[64::128, 64::128] = 8 * a.abs().max()
            truth = (a + b) / 2
            qa, qb = form.tensors(a), form.tensors(b)
            with tempfile.TemporaryDirectory() as folder:
                same, ratios = merge(command, Path(folder), form, qa, qb, "same")
                floats, _ = merge(command, Path(folder), form, qa, qb, "BF16")
            errors = [error(form.values(form.tensors(truth)), truth), error(form.values(same), truth), error(form.floats(floats), truth)]
            wrong = [error(form.values(w), truth) for w in form.wrong(qa, qb)]
            ratio = "-" if ratios[0] is None else f"{ratios[0]:.2g}"
            print(f"| {case} | " + " | ".join(f"{e:.3f}" for e in errors) + f" | {ratio} | " + " | ".join(f"{e:.3f}" for e in wrong) + " |")


main(sys.argv[1])
