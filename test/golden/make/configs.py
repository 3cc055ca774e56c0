"""config.json of one model as two versions of transformers write it: the data of test/golden/configs/pairs.json.

Nothing is downloaded and no torch is needed. With an environment for each version:
  python4 configs.py save DIR/old        # one by one, the configurations below, by an older version
  python5 configs.py again DIR/old DIR/new   # loaded and saved again by a newer one
  python5 configs.py pack OUT DIR/old DIR/new [DIR/older DIR/new-of-older ...]
"""

import json
import sys
from pathlib import Path

SMALL = dict(num_hidden_layers=8)
LONG = dict(hidden_size=64, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=131072, original_max_position_embeddings=4096)
FACTORS = dict(short_factor=[1.0] * 8, long_factor=[1.5] * 8)
CONFIGS = {
    "llama": ("llama", dict(rope_theta=500000.0, max_position_embeddings=131072, num_key_value_heads=8, rope_scaling=dict(
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192, rope_type="llama3"))),
    "llama plain": ("llama", {}),
    "llama linear": ("llama", dict(rope_scaling=dict(type="linear", factor=2.0))),
    "llama tied": ("llama", dict(tie_word_embeddings=True)),
    "qwen2": ("qwen2", dict(SMALL, rope_theta=1000000.0, sliding_window=131072, use_sliding_window=False, max_window_layers=28)),
    "qwen2 yarn": ("qwen2", dict(SMALL, rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=32768))),
    "qwen2 windows": ("qwen2", dict(SMALL, use_sliding_window=True, sliding_window=4096, max_window_layers=2)),
    "qwen2_moe": ("qwen2_moe", SMALL),
    "qwen3": ("qwen3", dict(SMALL, head_dim=128, rope_theta=1000000)),
    "qwen3_moe": ("qwen3_moe", dict(SMALL, rope_theta=1000000.0, norm_topk_prob=True)),
    "qwen3_next": ("qwen3_next", SMALL),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", SMALL),
    "gemma3_text": ("gemma3_text", dict(num_hidden_layers=12, rope_scaling=dict(factor=8.0, rope_type="linear"), sliding_window=1024)),
    "gemma3": ("gemma3", dict(text_config=dict(num_hidden_layers=12, rope_scaling=dict(factor=8.0, rope_type="linear"), sliding_window=1024))),
    "gemma3n_text": ("gemma3n_text", dict(num_hidden_layers=10)),
    "mistral": ("mistral", dict(sliding_window=None, rope_theta=1000000.0, head_dim=128)),
    "mistral windows": ("mistral", dict(sliding_window=4096)),
    "mixtral": ("mixtral", dict(rope_theta=1e6)),
    "phi": ("phi", dict(partial_rotary_factor=0.4)),
    "phi3": ("phi3", dict(LONG, rope_scaling=dict(FACTORS, type="longrope"))),
    "phi3 su": ("phi3", dict(LONG, rope_scaling=dict(FACTORS, type="su"))),
    "phimoe": ("phimoe", {}),
    "olmo": ("olmo", {}),
    "olmo2": ("olmo2", dict(rope_theta=500000)),
    "olmo3": ("olmo3", dict(SMALL, rope_theta=500000, max_position_embeddings=65536, rope_scaling=dict(
        rope_type="yarn", factor=8.0, original_max_position_embeddings=8192, attention_factor=1.2079441541679836, beta_fast=32.0, beta_slow=1.0))),
    "olmoe": ("olmoe", {}),
    "deepseek_v2": ("deepseek_v2", {}),
    "deepseek_v3": ("deepseek_v3", dict(max_position_embeddings=163840, rope_scaling=dict(
        beta_fast=32, beta_slow=1, factor=40, mscale=1.0, mscale_all_dim=1.0, original_max_position_embeddings=4096, type="yarn"))),
    "dots1": ("dots1", SMALL),
    "glm": ("glm", {}),
    "glm4": ("glm4", {}),
    "glm4_moe": ("glm4_moe", {}),
    "gpt_oss": ("gpt_oss", SMALL),
    "granite": ("granite", dict(embedding_multiplier=12.0, attention_multiplier=0.0078125)),
    "granitemoe": ("granitemoe", {}),
    "granitemoehybrid": ("granitemoehybrid", dict(num_hidden_layers=4, layer_types=["mamba", "mamba", "attention", "mamba"])),
    "mamba": ("mamba", {}),
    "mamba2": ("mamba2", {}),
    "bamba": ("bamba", dict(attn_layer_indices=[9, 18, 27])),
    "zamba2": ("zamba2", {}),
    "jamba": ("jamba", {}),
    "falcon": ("falcon", {}),
    "falcon_h1": ("falcon_h1", dict(rope_theta=100000000000.0, attention_in_multiplier=0.5)),
    "nemotron": ("nemotron", {}),
    "cohere": ("cohere", {}),
    "cohere2": ("cohere2", dict(SMALL, rope_theta=50000)),
    "llama4_text": ("llama4_text", dict(SMALL, rope_scaling=dict(
        factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0, original_max_position_embeddings=8192, rope_type="llama3"))),
    "starcoder2": ("starcoder2", dict(rope_theta=999999.4420358813, sliding_window=4096)),
    "gpt_neox": ("gpt_neox", {}),
    "gpt2": ("gpt2", {}),
    "stablelm": ("stablelm", {}),
    "smollm3": ("smollm3", SMALL),
    "exaone4": ("exaone4", dict(SMALL, sliding_window=4096)),
    "ernie4_5_moe": ("ernie4_5_moe", {}),
    "hunyuan_v1_moe": ("hunyuan_v1_moe", {}),
    "minimax": ("minimax", SMALL),
    "lfm2": ("lfm2", SMALL),
    "apertus": ("apertus", {}),
    "longcat_flash": ("longcat_flash", {}),
    "qwen2_vl": ("qwen2_vl", dict(SMALL, rope_scaling=dict(type="mrope", mrope_section=[16, 24, 24]), rope_theta=1000000.0)),
}


def save(folder):
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    for name, (family, values) in CONFIGS.items():  # of versions before 4.57, 14 of them are kept
        if family not in CONFIG_MAPPING:
            continue
        try:
            config = CONFIG_MAPPING[family](**values)
        except ValueError as error:  # a form of positions that this version does not know
            print(name, error)
            continue
        classes = CLASSES.get(family)
        if classes is not None:
            config.architectures = [classes if isinstance(classes, str) else classes[0]]
        setattr(config, "dtype" if transformers.__version__ > "4.56" else "torch_dtype", "bfloat16")
        config.save_pretrained(folder / name)


def again(source, folder):
    from transformers import AutoConfig

    for path in sorted(source.iterdir()):
        AutoConfig.from_pretrained(path).save_pretrained(folder / path.name)


def pack(out, *folders):
    def text(folder, name):
        # Infinity stays as it is written; spaces do not.
        return json.dumps(json.loads((folder / name / "config.json").read_text()), separators=(",", ":"))

    pairs = []
    for older, newer in zip(folders[::2], folders[1::2]):
        pairs += [[path.name, text(older, path.name), text(newer, path.name)] for path in sorted(older.iterdir())]
    lines = ",\n".join(json.dumps(pair) for pair in pairs)
    out.write_text(f"[\n{lines}\n]\n")
    print(len(pairs), out.stat().st_size)


if __name__ == "__main__":
    {"save": save, "again": again, "pack": pack}[sys.argv[1]](*map(Path, sys.argv[2:]))
