"""Makes the golden files beside it with the Python safetensors library and with transformers' way of writing an index.

Usage: python make.py [FOLDER]    (needs numpy and safetensors; the versions used are in golden.json)
"""
import hashlib
import json
import pathlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import save_file

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
folder = folder if folder.is_dir() else folder.parent


def described(path, tensors, metadata):
    """What a reader must find in the file: dtype, shape and digest of the bytes of each tensor, by the library's own view of the data."""
    names = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int8": "I8", "uint16": "U16", "bool": "BOOL", "complex64": "C64"}
    return {
        "file": path.name,
        "metadata": metadata,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": {
            name: {"dtype": names[str(array.dtype)], "shape": list(array.shape), "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
            for name, array in tensors.items()
        },
    }


rng = np.random.default_rng(3)
plain = {
    "model.embed_tokens.weight": rng.standard_normal((5, 4)).astype(np.float16),
    "model.layers.0.self_attn.q_proj.weight": rng.standard_normal((4, 4)).astype(np.float32),
    "model.layers.0.mlp.experts.0.down_proj.weight": rng.standard_normal((3, 2)).astype(np.float64),
    "model.norm.weight": np.ones(4, np.float16),
}
odd = {
    "__proto__": np.arange(3, dtype=np.int64),
    "": np.array([True, False, True]),
    'quote " backslash \\ slash / tab \t': np.array([1, 2, 3], np.int8),
    "größe.重み.😀": np.array([1 + 2j], np.complex64),
    "\u2028\u007f\u0001": np.array([7], np.uint16),
    "scalar": np.array(1.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "high.rank": np.zeros((1, 2, 1, 1, 2, 1, 1, 1), np.int8),
}
files = []
for name, tensors, metadata in [
    ("plain.safetensors", plain, {"format": "np"}),
    ("odd.safetensors", odd, {"": "ключ", "__proto__": 'a "b"', "line": "1\n2"}),
    ("none.safetensors", {"a": np.zeros(1, np.int8)}, None),
]:
    path = folder / name
    save_file(tensors, path, metadata=metadata)
    files.append(described(path, tensors, metadata))

# As in transformers' save_pretrained: json.dumps(index, indent=2, sort_keys=True) + "\n".
index = {
    "metadata": {"total_size": 1234, "total_parameters": 617, "nested": {"b": [1, "x"], "a": {}, "c": []}, "ä": None, "yes": True},
    "weight_map": {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(["b", "a", "Ä\U0001f600", "Ä\ufb01", "a.b", "a\"", "\u007f"])},
}
(folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
(folder / "golden.json").write_text(
    json.dumps({"safetensors": safetensors.__version__, "numpy": np.__version__, "files": files, "index": index}, indent=1) + "\n"
)
