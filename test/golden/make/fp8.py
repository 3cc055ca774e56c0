"""Makes ../fp8.json: what torch says that FP8 codes stand for, and which codes it gives numbers.

`values`: the 256 values of each dtype as float32 bits (hex). `codes`: numbers (float32 bits) and the code that torch gives them: every tie between neighbours and
the floats beside it, both signs; the edges of the range; numbers of any size. Left out: NaN (torch keeps its sign, a merge writes the canonical one) and
infinity to E4M3 (torch 2.15 saturates it, a merge writes NaN). torch saturates finite numbers in F8_E4M3 and gives NaN in the FNUZ forms; ml_dtypes gives NaN in both.
"""

import json
import struct
from pathlib import Path

import torch

DTYPES = {
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
}


def bits(values: torch.Tensor) -> list[str]:
    return [struct.pack(">f", v).hex() for v in values.tolist()]


def case(dtype: torch.dtype) -> dict:
    values = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    finite = values[torch.isfinite(values)].unique()
    ties = (finite[1:].double() + finite[:-1].double()).mul(0.5).float()
    inf = torch.tensor(float("inf"))
    largest = finite.max().item()
    edges = torch.tensor([largest * f for f in (1, 1.03, 1.04, 1.05, 1.0625, 1.07, 1.1, 2, 1e30)] + [2.0**-e for e in range(5, 30)])
    generator = torch.Generator().manual_seed(5)
    wild = torch.randn(200, generator=generator) * torch.exp2(torch.randint(-20, 20, (200,), generator=generator).float())
    numbers = torch.cat([ties, torch.nextafter(ties, inf), torch.nextafter(ties, -inf), edges, -edges, wild])
    # The last ties: beyond the largest number, where it goes on.
    step = largest - finite[-2].item()
    last = torch.tensor([largest + step / 2])
    numbers = torch.cat([numbers, last, -last, torch.nextafter(last, inf), torch.nextafter(last, -inf)])
    numbers = numbers[torch.isfinite(numbers)]
    codes = numbers.to(dtype).view(torch.uint8)
    return {"values": "".join(bits(values)), "numbers": "".join(bits(numbers)), "codes": bytes(codes.tolist()).hex()}


out = {"torch": torch.__version__.split("+")[0], "dtypes": {name: case(dtype) for name, dtype in DTYPES.items()}}
Path(__file__).parent.parent.joinpath("fp8.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf8")
