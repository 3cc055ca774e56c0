"""Names, shapes and dtypes of tiny random models as transformers saves them, with their configurations: the data of test/golden/tiny-models.json.

Run with Python, torch (CPU), transformers and safetensors; nothing is downloaded. Names are kept as a tree over their dots.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

TINY = dict(
    hidden_size=16, intermediate_size=24, moe_intermediate_size=12, num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=40,
    num_hidden_layers=3, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)
MLA = dict(q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8, num_key_value_heads=4)
GROUPS = dict(n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2, n_group=2, topk_group=1, first_k_dense_replace=1)

# Family in the words of the table in reference/tensor-names.md, class of the configuration, what differs from TINY.
MODELS = [
    ("llama", "LlamaConfig", {}),
    ("qwen2 tied", "Qwen2Config", dict(tie_word_embeddings=True)),
    ("gpt2", "GPT2Config", dict(n_embd=16, n_layer=3, n_head=4, n_positions=32)),
    ("gemma2", "Gemma2Config", {}),
    ("falcon", "FalconConfig", dict(new_decoder_architecture=True)),
    ("t5", "T5Config", dict(d_model=16, d_kv=4, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=4)),
    ("albert", "AlbertConfig", dict(embedding_size=8)),
    ("mamba2", "Mamba2Config", dict(num_heads=4, head_dim=8, n_groups=1, state_size=8)),
    ("mixtral", "MixtralConfig", dict(num_local_experts=4)),
    ("qwen2_moe", "Qwen2MoeConfig", dict(num_experts=4, num_experts_per_tok=2, shared_expert_intermediate_size=12, mlp_only_layers=[1])),
    ("qwen3_moe", "Qwen3MoeConfig", dict(num_experts=4, num_experts_per_tok=2, decoder_sparse_step=2)),
    ("deepseek_v2", "DeepseekV2Config", dict(**MLA, **GROUPS)),
    ("deepseek_v3", "DeepseekV3Config", dict(**MLA, **GROUPS, num_nextn_predict_layers=1)),
    ("olmoe", "OlmoeConfig", dict(num_experts=4, num_experts_per_tok=2)),
    ("gpt_oss", "GptOssConfig", dict(num_local_experts=4, num_experts_per_tok=2)),
    ("llama4_text", "Llama4TextConfig", dict(num_local_experts=4, intermediate_size_mlp=24, interleave_moe_layer_step=2)),
    ("jamba", "JambaConfig", dict(num_experts=4, num_experts_per_tok=2, attn_layer_period=2, attn_layer_offset=1, use_mamba_kernels=False, mamba_d_state=4)),
    ("granitemoe", "GraniteMoeConfig", dict(num_local_experts=4, num_experts_per_tok=2)),
    ("granitemoeshared", "GraniteMoeSharedConfig", dict(num_local_experts=4, num_experts_per_tok=2, shared_intermediate_size=12)),
    ("glm4_moe", "Glm4MoeConfig", dict(**GROUPS)),
    ("minimax_m2", "MiniMaxM2Config", dict(num_local_experts=4, num_experts_per_tok=2)),
    ("longcat_flash", "LongcatFlashConfig", dict(**MLA, n_routed_experts=4, zero_expert_num=2, moe_topk=2, num_layers=2, ffn_hidden_size=24, expert_ffn_hidden_size=12)),
    ("dbrx", "DbrxConfig", dict(d_model=16, n_heads=4, n_layers=3, max_seq_len=32, attn_config=dict(kv_n_heads=2, rope_theta=1e4), ffn_config=dict(ffn_hidden_size=12, moe_num_experts=4, moe_top_k=2, hidden_size=16))),
    ("nllb_moe", "NllbMoeConfig", dict(d_model=16, encoder_layers=4, decoder_layers=4, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, num_experts=4, encoder_sparse_step=2, decoder_sparse_step=2)),
    ("switch_transformers", "SwitchTransformersConfig", dict(d_model=16, d_kv=4, d_ff=24, num_layers=4, num_decoder_layers=4, num_heads=4, num_experts=4, num_sparse_encoder_layers=2, num_sparse_decoder_layers=2)),
    ("gemma4_moe", "Gemma4TextConfig", dict(enable_moe_block=True, num_experts=4, top_k_experts=2, hidden_size_per_layer_input=4, vocab_size_per_layer_input=40, layer_types=["sliding_attention", "sliding_attention", "full_attention"], num_global_key_value_heads=2, global_head_dim=8)),
    ("ernie4_5_moe", "Ernie4_5_MoeConfig", dict(moe_num_experts=4, moe_k=2, moe_num_shared_experts=1, moe_layer_start_index=1)),
    ("nemotron_h", "NemotronHConfig", dict(n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1, moe_shared_expert_intermediate_size=12, layers_block_type=["mamba", "moe", "attention"], mamba_num_heads=4, mamba_head_dim=8, n_groups=1, ssm_state_size=8, n_group=1, topk_group=1)),
    ("hunyuan_v1_moe", "HunYuanMoEV1Config", dict(num_experts=4, moe_topk=2)),
    ("jetmoe", "JetMoeConfig", dict(num_local_experts=4, num_experts_per_tok=2, kv_channels=8)),
    ("phimoe", "PhimoeConfig", dict(num_local_experts=4, num_experts_per_tok=2)),
    ("mixtral fused", "MixtralConfig", dict(num_local_experts=4, FUSED=True)),
    ("deepseek_v3 fused", "DeepseekV3Config", dict(**MLA, **GROUPS, FUSED=True)),
    ("qwen3_next", "Qwen3NextConfig", dict(num_experts=4, num_experts_per_tok=2, shared_expert_intermediate_size=12, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=4, linear_value_head_dim=4, layer_types=["linear_attention", "linear_attention", "full_attention"])),
]


def tree(entries):
    root = {}
    for name, leaf in entries:
        *path, last = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[last] = leaf
    return root


def saved(config_class, options, folder):
    options = {**TINY, **options}
    if not any("expert" in key or key == "ffn_config" for key in options):
        del options["moe_intermediate_size"]  # A dense model's configuration does not speak of experts.
    if config_class == "FalconConfig":
        del options["head_dim"]
    fused = options.pop("FUSED", False)  # As transformers 5 holds experts in memory.
    config = getattr(transformers, config_class)(**options)
    if config_class == "DbrxConfig":  # transformers 5.23 asks for it and does not set it.
        config.attn_config.rope_theta = 10000.0
    torch.manual_seed(0)
    auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    if type(config) not in auto._model_mapping.keys():
        auto = transformers.AutoModelForMaskedLM
    model = auto.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, save_original_format=not fused)
    entries = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():
                piece = tensors.get_slice(name)
                dtype = piece.get_dtype()
                entries.append((name, piece.get_shape() if dtype == "BF16" else [*piece.get_shape(), dtype]))
    config = json.loads((Path(folder) / "config.json").read_text())
    return {"config": config, "tensors": tree(entries)}


models = {}
for family, config_class, options in MODELS:
    if len(sys.argv) > 1 and family not in sys.argv[1:]:
        continue
    with tempfile.TemporaryDirectory() as folder:
        try:
            models[family] = saved(config_class, options, folder)
            print(family, "ok", file=sys.stderr)
        except Exception as error:  # A family whose configuration this version spells otherwise: said, and left out.
            print(family, "FAILED", type(error).__name__, str(error)[:200], file=sys.stderr)
out = Path(__file__).parent.parent / "tiny-models.json"
out.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in models.items()) + "\n}\n")
