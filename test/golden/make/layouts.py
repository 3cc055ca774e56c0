"""Tiny random models as transformers 5.23 saves them in its own layout and in the one of the Hub; run in test/golden."""
import torch
from transformers import *  # noqa: F403
torch.manual_seed(1)
base=dict(vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=4, max_position_embeddings=16)
models={
 'mixtral': MixtralConfig(**base, num_local_experts=4, num_experts_per_tok=2),
 'qwen3_moe': Qwen3MoeConfig(**base, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=6),
 'olmoe': OlmoeConfig(**{k:v for k,v in base.items()}, num_experts=4, num_experts_per_tok=2),
 'deepseek_v3': DeepseekV3Config(**{**base,'head_dim':4,'num_key_value_heads':2}, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=6, n_group=1, topk_group=1, q_lora_rank=4, kv_lora_rank=4, qk_nope_head_dim=4, qk_rope_head_dim=4, v_head_dim=4, first_k_dense_replace=1),
 'glm4_moe': Glm4MoeConfig(**base, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=6, first_k_dense_replace=1),
 'gpt_oss': GptOssConfig(**base, num_local_experts=4, num_experts_per_tok=2),
}
for n,c in models.items():
    try:
        m=AutoModelForCausalLM.from_config(c).to(torch.bfloat16)
        for fmt in (True, False):
            m.save_pretrained(f'layouts/{n}-{"original" if fmt else "fused"}', save_original_format=fmt)
    except Exception as e: print(n, repr(e)[:300])
