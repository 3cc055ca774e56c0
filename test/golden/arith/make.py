"""Makes the golden bytes of the arithmetic promise with torch, cross-checked with numpy where numpy has the dtype.

    python test/golden/arith/make.py

writes golden.bin (inputs and expected outputs, little-endian, one after another) and manifest.json (where each lies) beside itself; an
input there is [byte offset, dtype, weight, NaNs, infinities].
Needs torch and numpy; the tests need neither. Deterministic: a second run writes the same bytes.
"""

import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
INTS = {"BF16": np.uint16, "F16": np.uint16, "F32": np.uint32, "F64": np.uint64}
CANONICAL_NAN = {"BF16": 0x7FC0, "F16": 0x7E00, "F32": 0x7FC00000, "F64": 0x7FF8000000000000}
# Sign bit, +infinity, largest finite, smallest normal and 1 as bit patterns.
LANDMARKS = {
    "BF16": (0x8000, 0x7F80, 0x7F7F, 0x0080, 0x3F80),
    "F16": (0x8000, 0x7C00, 0x7BFF, 0x0400, 0x3C00),
    "F32": (0x80000000, 0x7F800000, 0x7F7FFFFF, 0x00800000, 0x3F800000),
    "F64": (1 << 63, 0x7FF << 52, (0x7FF << 52) - 1, 1 << 52, 0x3FF << 52),
}
RNG = np.random.default_rng(20240517)

blob = bytearray()
cases = []


def store(array):
    """Appends the array's bytes, aligned to nothing in particular; returns where they start."""
    offset = len(blob)
    blob.extend(array.tobytes())
    return offset


def to_torch(bits, dtype):
    signed = {2: np.int16, 4: np.int32, 8: np.int64}[bits.dtype.itemsize]
    return torch.from_numpy(bits.view(signed).copy()).view(DTYPES[dtype])


def to_bits(tensor, dtype):
    ints = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    bits = tensor.contiguous().view(ints).numpy().view(INTS[dtype]).copy()
    bits[torch.isnan(tensor).numpy()] = CANONICAL_NAN[dtype]
    return bits


def merged(inputs, weights, out):
    """The promise in torch. `inputs`: (bits, dtype) each. Returns expected bits and how many are not finite though all their members are."""
    members = [(to_torch(b, d), w) for (b, d), w in zip(inputs, weights) if w != 0]
    x, w = zip(*members)
    acc = x[0].double() * w[0]
    for i in range(1, len(x)):
        acc = acc + x[i].double() * w[i]
    result = acc if out == "F64" else acc.float().to(DTYPES[out])

    # numpy does the same sum, and the same narrowing where it has the dtype.
    with np.errstate(all="ignore"):
        check = x[0].double().numpy() * np.float64(w[0])
        for i in range(1, len(x)):
            check = check + x[i].double().numpy() * np.float64(w[i])
        np.testing.assert_array_equal(check, acc.numpy())
        if out != "F64":
            check = check.astype(np.float32)
        if out == "F16":
            check = check.astype(np.float16)
    if out != "BF16":
        np.testing.assert_array_equal(to_bits(torch.from_numpy(check), out), to_bits(result, out))
    finite = torch.stack([torch.isfinite(t) for t in x]).all(dim=0)
    overflow = int((finite & ~torch.isfinite(result)).sum())
    return to_bits(result, out), overflow


def case(name, inputs, weights, out):
    """`inputs`: (offset, bits, dtype) each."""
    count = len(inputs[0][1])
    expected, overflow = merged([(b, d) for _, b, d in inputs], weights, out)
    tensors = [to_torch(b, d) for _, b, d in inputs]
    cases.append(
        {
            "name": name,
            "count": count,
            "inputs": [
                [offset, dtype, weight, *((int(torch.isnan(t).sum()), int(torch.isinf(t).sum())) if weight != 0 else (0, 0))]
                for (offset, _, dtype), weight, t in zip(inputs, weights, tensors)
            ],
            "outDtype": out,
            "overflow": overflow,
            "expected": store(expected),
        }
    )


def specials(dtype):
    """16 bit patterns: signed zeros, denormals, edges of the range, infinities, NaNs of both signs, quiet and signalling."""
    sign, inf, largest, normal, one = LANDMARKS[dtype]
    quiet = CANONICAL_NAN[dtype] & ~inf
    patterns = [0, sign, 1, sign | 1, normal - 1, sign | normal, largest, sign | largest, inf, sign | inf]
    patterns += [inf | 1, sign | inf | quiet, sign | inf | quiet | 5, inf | quiet | (quiet - 1), one, sign | (one + 1)]
    return np.array(patterns, dtype=INTS[dtype])


def random_bits(dtype, count):
    """Weights-like values, some over the whole exponent range, a few specials."""
    values = RNG.normal(0, 0.02, count)
    wide = RNG.random(count) < 0.25
    reach = {"BF16": 120, "F16": 12, "F32": 120, "F64": 900}[dtype]
    values[wide] = RNG.normal(0, 1, wide.sum()) * 2.0 ** RNG.integers(-reach, reach, wide.sum())
    bits = to_bits(torch.from_numpy(values).to(DTYPES[dtype]), dtype)
    special = RNG.random(count) < 0.04
    bits[special] = RNG.choice(specials(dtype), special.sum())
    return bits


def weight_styles(n):
    decimals = [0.3, 0.27, 0.22, 0.21, 0.1, 0.7, 0.05, 0.15, 1.1, 0.01][:n]
    extrapolating = [1.5 if i % 2 == 0 else -0.5 for i in range(n)]
    zeros = [0.0 if i % 3 == 0 else 1 / 3 for i in range(n)]
    if n == 1:
        zeros = [-2.0]
    return {
        "uniform": [1 / n] * n,
        "decimals": decimals,
        "wma": [(i + 1) / (n * (n + 1) / 2) for i in range(n)],
        "extrapolating": extrapolating,
        "zeros": zeros,
    }


def narrowing(dtype):
    """float64 values at, and one step of float32 or less than that beside, the ties of a 16-bit dtype; and the edges of its range."""
    inf = LANDMARKS[dtype][1]
    codes = np.concatenate([np.arange(0, 20), np.arange(inf - 20, inf - 1), RNG.integers(0, inf - 2, 60)]).astype(np.uint16)
    low = to_torch(codes, dtype).double().numpy()
    high = to_torch(codes + np.uint16(1), dtype).double().numpy()
    middle = (low + high) / 2
    values = [middle]
    for direction in (-np.inf, np.inf):
        values.append(np.nextafter(middle.astype(np.float32), np.float32(direction)).astype(np.float64))
        # Less than half a float32 step away: float32 lands on the tie, and the second rounding goes to even.
        values.append(np.nextafter(middle, direction))
        values.append(middle * (1 + (2.0**-30 if direction > 0 else -(2.0**-30))))
    # Halfway between the largest finite number and the one that would follow it.
    largest = to_torch(np.array([inf - 1], dtype=np.uint16), dtype).double().numpy()
    below = to_torch(np.array([inf - 2], dtype=np.uint16), dtype).double().numpy()
    edge = largest + (largest - below) / 2
    values.append(np.concatenate([edge, np.nextafter(edge, 0), edge * (1 - 2.0**-30), edge * (1 - 2.0**-20), edge * 2]))
    values = np.concatenate(values)
    return np.concatenate([values, -values])


COUNT = 187  # no multiple of any vector length
pool = {}
for dtype in DTYPES:
    pool[dtype] = []
    for _ in range(10):
        bits = random_bits(dtype, COUNT)
        pool[dtype].append((store(bits), bits, dtype))

for a, source in enumerate(DTYPES):
    for b, target in enumerate(DTYPES):
        for n in range(1, 11):
            styles = weight_styles(n)
            style = list(styles)[(a + b + n) % len(styles)]
            case(f"{source} to {target}, N={n}, {style}", pool[source][:n], styles[style], target)

mixed = [pool[d][i] for i, d in enumerate(["F32", "BF16", "F64", "F16", "BF16", "F16", "F32"])]
for target in DTYPES:
    case(f"mixed dtypes to {target}", mixed, weight_styles(7)["decimals"], target)

for source in DTYPES:
    first = np.repeat(specials(source), 16)
    second = np.tile(specials(source), 16)
    pair = [(store(first), first, source), (store(second), second, source)]
    for target in DTYPES:
        extremes = [[2.0**1000, -(2.0**1000)], [2.0**-1000, 2.0**-1000]]  # exact products, but for overflow and underflow
        if target == "F64":
            extremes.append([1e-300, 1e300])
        for weights in [[1.0, 1.0], [0.5, -1.5], [1.0, 0.0], [0.0, -1.0], *(extremes if target in ("BF16", "F64") else [])]:
            case(f"specials of {source} to {target}, weights {weights}", pair, weights, target)

for target in ("BF16", "F16"):
    wide = narrowing(target).view(np.uint64)
    with np.errstate(over="ignore"):
        single = wide.view(np.float64).astype(np.float32).view(np.uint32)
    as_f64 = (store(wide), wide, "F64")
    as_f32 = (store(single), single, "F32")
    case(f"ties of {target} from F64", [as_f64], [1.0], target)
    case(f"ties of {target} from F32", [as_f32], [1.0], target)
    # 0.1 + 0.9 is not quite the identity in float64: results fall beside the ties.
    case(f"ties of {target} from F64, two members", [as_f64, as_f64], [0.1, 0.9], target)

near_overflow = 2.0**128 * (1 - 2.0 ** -RNG.integers(20, 30, 40))
edge = np.concatenate([RNG.normal(0, 1, 100) * 2.0**-149, near_overflow, RNG.normal(0, 1e-42, 60)])
bits = edge.view(np.uint64)
case("edges of F32 from F64", [(store(bits), bits, "F64")], [1.0], "F32")

# The order of the sum decides: a large member that a later one cancels.
values = RNG.normal(0, 0.02, (3, 128))
big = RNG.normal(0, 1, 128) * 2.0**60
ordered = []
for row in (big, values[0], -big, values[1], values[2]):
    bits = to_bits(torch.from_numpy(row).to(torch.float32), "F32")
    ordered.append((store(bits), bits, "F32"))
for target in DTYPES:
    case(f"order decides, to {target}", ordered, [1.0, 1.0, 1.0, 0.3, 0.7], target)

(HERE / "golden.bin").write_bytes(blob)
lines = ",\n".join("    " + json.dumps(c) for c in cases)
made_by = f"torch {torch.__version__}, numpy {np.__version__}"
(HERE / "manifest.json").write_text(f'{{\n  "madeBy": {json.dumps(made_by)},\n  "cases": [\n{lines}\n  ]\n}}\n')
print(f"{len(cases)} cases, {len(blob)} bytes")
