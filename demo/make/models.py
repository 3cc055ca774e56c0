"""The two models of the demo: a dense Llama of 155,072 parameters and an OLMoE of 189,952."""

from transformers import LlamaConfig, LlamaForCausalLM, OlmoeConfig, OlmoeForCausalLM, PreTrainedModel

CONTEXT = 128
SHARED = dict(
    vocab_size=256,
    hidden_size=64,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=CONTEXT,
    tie_word_embeddings=True,
    use_cache=False,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)


def dense() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SHARED, num_hidden_layers=3, intermediate_size=176))


def moe() -> PreTrainedModel:
    return OlmoeForCausalLM(
        OlmoeConfig(
            **SHARED,
            num_hidden_layers=2,
            intermediate_size=48,
            num_experts=8,
            num_experts_per_tok=2,
            norm_topk_prob=True,
            router_aux_loss_coef=0.01,
            output_router_logits=True,
        )
    )


MODELS = {"dense": dense, "moe": moe}
