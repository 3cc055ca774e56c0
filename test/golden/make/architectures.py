"""Names, shapes and dtypes of a tiny random model of every architecture of transformers that can be built without weights: the data of test/golden/architectures.json.gz.

Run with Python, torch (CPU), transformers, safetensors and scipy; nothing is downloaded. Half an hour on two cores. The default
configuration of each type is made small by the names of its numbers, in several ways until one builds; what stays large is built
without memory (device meta). Of a configuration only what the naming rules read is kept. Arguments: the types to make, else all.
"""

import copy
import gzip
import itertools
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors import safe_open
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto import modeling_auto as auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

FIRST = ["CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "PRETRAINING", "MASKED_LM", "CTC", "RNNT", "TDT"]
MAPPINGS = [f"MODEL_FOR_{task}_MAPPING_NAMES" for task in FIRST]
MAPPINGS += [name for name in dir(auto) if name.endswith("_MAPPING_NAMES") and name not in [*MAPPINGS, "CONFIG_MAPPING_NAMES", "MODEL_MAPPING_NAMES"]]
MAPPINGS += ["MODEL_MAPPING_NAMES"]

WIDTH = re.compile(r"size|dim|channels?|width|rank|features|d_model|d_ff|d_kv|n_embd|inner|ffn|embed|hidden|intermediate|planes|filters|state|value|key")
NO_WIDTH = re.compile(
    r"vocab|image_size|patch_size|img_size|kernel|stride|num_|n_head|n_layer|_id$|token|layers|blocks|max_|window|position|temporal|groups?$|block_size|chunk|sample"
    r"|frame|fps|heads|_ratio|crop|pool|scale|codebook_size|dilation|depths?$|spatial|conv_dim$|batch|length"
)
DEPTH = re.compile(r"^(depth|.*_depth|n_layers?|num_blocks|num_.*blocks|.*_layers|n_.*_layer)$")
# By how much widths are divided, how many layers stay, whether vocabularies and experts shrink, whether depths are left alone.
WAYS = [(f, 4, True, True, False) for f in (16, 32, 64, 8, 4, 2)]
WAYS += [(16, 4, True, False, False), (4, 6, False, False, False), (4, 4, False, False, True), (1, 4, True, True, False), (1, 2, False, False, False), (1, 4, False, False, True), None]
MOST_PARAMETERS = 12e6

KEPT = set(
    "model_type num_hidden_layers n_layer n_layers num_layers num_experts num_local_experts n_routed_experts moe_num_experts num_experts_per_tok num_experts_per_token"
    " experts_per_token top_k_experts moe_top_k moe_k moe_topk n_activated_experts zero_expert_num n_shared_experts num_shared_experts moe_num_shared_experts hidden_size"
    " n_embd d_model dim num_nextn_predict_layers mtp_num_hidden_layers num_mtp_layers tie_word_embeddings layer_types".split()
)
NESTED = ("text_config", "llm_config", "language_config", "language_model_config", "thinker_config", "ffn_config", "moe_config", "moe", "moe_args")
OF_OTHERS = {"transformers_version", "model_type", "_name_or_path", "architectures", "dtype", "torch_dtype"}
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL", torch.uint8: "U8"}


def shrunk_list(key, values, factor, layers, depth):
    if depth is not None and len(values) == depth > layers and not isinstance(values[0], dict):
        kept = values[:layers]
        if all(isinstance(value, str) for value in values):  # A layer of each kind.
            for i, kind in enumerate([kind for kind in dict.fromkeys(values) if kind not in kept][: layers - 1]):
                kept[layers - 1 - i] = kind
        return kept
    widths = all(type(value) is int and value >= 16 and value % factor == 0 for value in values)
    return [value // factor for value in values] if values and widths and WIDTH.search(key) and not NO_WIDTH.search(key) else values


def shrunk(config, factor, layers, vocabulary, experts, keep_depth):
    depth = next((config[key] for key in ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "depth", "encoder_layers") if type(config.get(key)) is int), None)
    mixture = "experts" in str(config.keys())
    small = {}
    for key, value in copy.deepcopy(config).items():
        if isinstance(value, dict) and key not in ("id2label", "label2id", "rope_scaling", "rope_parameters", "quantization_config"):
            value = shrunk(value, factor, layers, vocabulary, experts, keep_depth)
        elif isinstance(value, list):
            value = [shrunk(v, factor, layers, vocabulary, experts, keep_depth) if isinstance(v, dict) else v for v in value]
            value = shrunk_list(key, value, factor, layers, None if keep_depth else depth)
        elif type(value) is int:
            if DEPTH.match(key) and not keep_depth and not re.search("mtp|nextn|^first|dense", key):
                value = min(value, layers)
            elif vocabulary and "vocab_size" in key and value > 200:
                value = 128
            elif vocabulary and key.endswith("_id") and value >= 128:
                value = 10 + sum(key.encode()) % 100
            elif experts and re.search(r"num_.*expert|n_routed|^n_.*expert", key) and value > 8 and not re.search("per_tok|group", key):
                value = 8
            elif experts and mixture and re.search(r"(experts_per_tok|top_?k|moe_k)$", key) and value > 2:
                value = 2
            elif experts and key in ("n_group", "num_expert_group", "topk_group") and value > 1:
                value = 1 if key == "topk_group" else 2
            elif WIDTH.search(key) and not NO_WIDTH.search(key) and value >= 16 and value % factor == 0:
                value = max(value // factor, 2)
            elif vocabulary and re.search("max_position|n_positions|n_ctx|max_.*_positions|max_seq|seq_len", key):
                value = min(value, 512)
        small[key] = value
    return small


def configured(config_class, way):
    config = config_class()
    if way is None:
        return config
    return config_class(**shrunk({key: value for key, value in config.to_dict().items() if key not in OF_OTHERS}, *way))


def in_time(seconds, make):
    signal.alarm(seconds)
    try:
        return make()
    finally:
        signal.alarm(0)


def built(config_class, model_class, way):
    with torch.device("meta"):
        return model_class._from_config(configured(config_class, way))


def smallest(config_class, names):
    """The class that a type is mostly used as, and the way that makes it small enough, or smallest."""
    for name in names[:3]:
        model_class = getattr(transformers, name, None)
        best = None
        for way in WAYS if model_class is not None else []:
            try:
                model = in_time(40, lambda: built(config_class, model_class, way))
            except Exception:  # These numbers do not go together in this architecture.
                continue
            count = sum(parameter.numel() for parameter in model.parameters())
            if best is None or count < best[0]:
                best = (count, model_class, way)
            if count <= MOST_PARAMETERS:
                break
        if best is not None:
            return best
    raise ValueError("no way builds it")


def saved(config_class, names):
    count, model_class, way = smallest(config_class, names)
    if count <= MOST_PARAMETERS:
        torch.manual_seed(0)
        model = model_class._from_config(configured(config_class, way), dtype=torch.bfloat16)
        with tempfile.TemporaryDirectory() as folder:
            in_time(120, lambda: model.save_pretrained(folder, save_original_format=True))
            tensors = {}
            for file in sorted(Path(folder).glob("*.safetensors")):
                with safe_open(file, "pt") as opened:
                    for name in opened.keys():
                        piece = opened.get_slice(name)
                        tensors[name] = (piece.get_dtype(), tuple(piece.get_shape()))
            return json.loads((Path(folder) / "config.json").read_text()), tensors
    model = built(config_class, model_class, way)
    state = dict(model.state_dict())
    for name in getattr(model, "all_tied_weights_keys", None) or {}:
        state.pop(name, None)
    state = revert_weight_conversion(model, state)
    return model.config.to_dict(), {name: (DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in state.items()}


def kept(config):
    small = {key: value for key, value in config.items() if key in KEPT and value is not None}
    if "mlp" not in (small.get("layer_types") or []):
        small.pop("layer_types", None)
    for key in NESTED:
        if isinstance(config.get(key), dict):
            small[key] = kept(config[key])
    speaks = next((key for key in config if re.search("expert|moe|router", key, re.I) and key not in small and key not in NESTED), None)
    return small if speaks is None else {**small, speaks: 0}


def ranges(numbers):
    runs = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "|".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)


def lines(tensors):
    """`NAME SHAPE [DTYPE]`, with {0-3} for numbers; names of one kind, shape and dtype together where they fill a grid."""
    kinds = {}
    for name, (dtype, shape) in tensors.items():
        parts = [part for part in re.split(r"(?<=\.)(\d+)(?=\.|$)|^(\d+)(?=\.)", name) if part is not None]
        key = "".join("#" if part.isdigit() else part for part in parts)
        kinds.setdefault((key, dtype, shape), []).append(tuple(int(part) for part in parts if part.isdigit()))
    for (key, dtype, shape), all_numbers in kinds.items():
        tail = (" " + "x".join(map(str, shape)) if shape else " -") + ("" if dtype in ("BF16", "F32") else f" {dtype}")
        grids = [all_numbers]
        if not is_grid(all_numbers):
            by_rest = {}
            for numbers in all_numbers:
                by_rest.setdefault(tuple(sorted(other[1:] for other in all_numbers if other[0] == numbers[0])), []).append(numbers)
            grids = itertools.chain(*([g] if is_grid(g) else [[n] for n in g] for g in by_rest.values()))
        for grid in grids:
            axes = iter([ranges({numbers[i] for numbers in grid}) for i in range(len(grid[0]))])
            yield re.sub("#", lambda _: "{" + next(axes) + "}", key) + tail


def is_grid(all_numbers):
    sizes = [len({numbers[i] for numbers in all_numbers}) for i in range(len(all_numbers[0]))]
    return len(all_numbers) == torch.tensor(sizes).prod().item()


def expired(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, expired)
models = {}
for model_type in sorted(sys.argv[1:] or CONFIG_MAPPING_NAMES):
    classes = []
    for mapping in MAPPINGS:
        found = getattr(auto, mapping).get(model_type) or []
        classes += [name for name in ([found] if isinstance(found, str) else found) if name not in classes]
    try:
        config, tensors = saved(CONFIG_MAPPING[model_type], classes)
        models[model_type] = {"config": kept(config), "tensors": list(lines(tensors))}
        print(model_type, "ok", file=sys.stderr)
    except Exception as error:  # A part of another model, or one that needs other libraries or numbers: said, and left out.
        print(model_type, "FAILED", type(error).__name__, str(error)[:200], file=sys.stderr)
if len(sys.argv) > 1:
    print(json.dumps(models, indent=1))
else:
    out = Path(__file__).parent.parent / "architectures.json.gz"
    out.write_bytes(gzip.compress(json.dumps(models, separators=(",", ":")).encode(), 9, mtime=0))
