"""The model of the evidence runs: a Llama of 61,680 parameters in plain torch, several seeds side by side.

Every parameter has a leading axis of seeds, so that one process trains all of them at once; nothing is shared between seeds. Names and
arithmetic are those of transformers' LlamaForCausalLM (RMSNorm, rotary positions, SwiGLU, tied embeddings), so a saved seed is such a checkpoint.
"""

import torch
import torch.nn.functional as F

VOCABULARY, WIDTH, HEADS, INNER, LAYERS, CONTEXT = 128, 48, 3, 128, 2, 64
EPSILON = 1e-6
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "head_dim": WIDTH // HEADS,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": EPSILON,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "dtype": "float32",
}
State = dict[str, torch.Tensor]


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of one seed."""
    found = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        found |= {f"{layer}self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        found |= {f"{layer}mlp.{name}_proj.weight": (INNER, WIDTH) for name in ("gate", "up")}
        found |= {f"{layer}mlp.down_proj.weight": (WIDTH, INNER)}
        found |= {f"{layer}{name}.weight": (WIDTH,) for name in ("input_layernorm", "post_attention_layernorm")}
    return found


def initial(seeds: list[int]) -> State:
    """Stacked parameters, each seed from its own generator: normal with deviation 0.02, norms 1."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return {
        name: torch.stack([torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=g) * 0.02 for g in generators])
        for name, shape in shapes().items()
    }


def rotary(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    half = WIDTH // HEADS // 2
    angles = torch.outer(torch.arange(length).float(), 10000.0 ** -(torch.arange(half).float() / half))
    return torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def logits_of(state: State, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens [seeds, batch, length] to logits of the byte after each [seeds, batch, length, VOCABULARY]."""
    seeds, batch, length = tokens.shape
    cosine, sine = rotary(length)
    linear = lambda x, weight: torch.bmm(x, weight.transpose(1, 2))
    norm = lambda x, name: F.rms_norm(x, (WIDTH,), eps=EPSILON) * state[name][:, None, :]
    embedding = state["model.embed_tokens.weight"]
    offsets = torch.arange(seeds)[:, None] * VOCABULARY
    x = F.embedding(tokens.reshape(seeds, -1) + offsets, embedding.reshape(-1, WIDTH))  # [seeds, batch * length, WIDTH]
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        weights = torch.cat([state[f"{layer}self_attn.{name}_proj.weight"] for name in "qkv"], 1)
        joint = linear(norm(x, f"{layer}input_layernorm.weight"), weights).view(seeds * batch, length, 3, HEADS, WIDTH // HEADS)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(rotate(q, cosine, sine), rotate(k, cosine, sine), v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(seeds, -1, WIDTH)
        x = x + linear(mixed, state[f"{layer}self_attn.o_proj.weight"])
        weights = torch.cat([state[f"{layer}mlp.{name}_proj.weight"] for name in ("gate", "up")], 1)
        gate, up = linear(norm(x, f"{layer}post_attention_layernorm.weight"), weights).chunk(2, -1)
        x = x + linear(F.silu(gate) * up, state[f"{layer}mlp.down_proj.weight"])
    return linear(norm(x, "model.norm.weight"), embedding).view(seeds, batch, length, VOCABULARY)


def next_losses(state: State, tokens: torch.Tensor) -> torch.Tensor:
    """Nats of every byte but the first: [seeds, batch, length] to [seeds, batch, length - 1]."""
    logits = logits_of(state, tokens[:, :, :-1])
    return F.cross_entropy(logits.flatten(0, 2), tokens[:, :, 1:].flatten(), reduction="none").view(logits.shape[:3])
