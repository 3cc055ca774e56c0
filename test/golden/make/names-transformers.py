"""Models of transformers in the form that trainers save, there and back.

    names-transformers.py make DIR     Random models of transformers; of each DIR/MODEL/hf (save_pretrained), and DIR/MODEL/LAYOUT for each
                                       layout that a trainer has of it, saved by torch.distributed.checkpoint. Prints a line of JSON for each:
                                       model, layout, config (whether `merge convert` needs --config DIR/MODEL/hf/config.json), by.
    names-transformers.py check DIR    DIR/MODEL/LAYOUT-out is what `merge convert DIR/MODEL/LAYOUT --names hf -o` made. Loads it in transformers
                                       and prints a line of JSON for each: what loading complained of, and whether state and logits are, bit for
                                       bit, those of DIR/MODEL/hf.

Needs torch and transformers (2.15.0 and 5.24.0 tried). torchtitan's layout comes from its own adapters' from_hf where torchtitan is installed (0.3.0
tried). Megatron's is written here row by row, as `merge_qkv_weights` and `merge_qkv_biases` of Megatron-Bridge have it; where MEGATRON_BRIDGE is the
path of its param_mapping.py (0.3.1 tried), those are asked as well and must agree.
"""
import argparse, ast, importlib.metadata, json, os, sys, warnings
from types import SimpleNamespace

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY, PADDED, EXPERTS = 40, 48, 4
BASE = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            rms_norm_eps=1e-5, initializer_range=0.5, bos_token_id=None, eos_token_id=None, pad_token_id=None)
MOE = dict(num_experts_per_tok=2)
MODELS = {
    "llama": dict(),
    "llama-tied": dict(tie_word_embeddings=True),
    "mistral": dict(head_dim=16, sliding_window=5),
    "mistral-tied": dict(sliding_window=None, tie_word_embeddings=True),
    "qwen2": dict(),
    "qwen2-tied": dict(tie_word_embeddings=True),
    "qwen3": dict(head_dim=16),
    "qwen3-tied": dict(head_dim=16, tie_word_embeddings=True),
    "qwen3_moe": dict(head_dim=16, num_experts=EXPERTS, moe_intermediate_size=24, norm_topk_prob=True, **MOE),
    "mixtral": dict(num_local_experts=EXPERTS, **MOE),
    "olmo2": dict(),
    "olmo2-tied": dict(tie_word_embeddings=True),
    "olmo3": dict(sliding_window=4, layer_types=["sliding_attention", "full_attention"]),
}
TOKENS = torch.arange(24).reshape(2, 12) * 7 % VOCABULARY


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def save(where, tensors):
    dcp.save({k: v.contiguous() for k, v in tensors.items()}, checkpoint_id=where, no_dist=True)


def head_dim(c):
    return getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads


def queries_keys_values(q, k, v, c):
    """Group by group: its queries, its key, its value."""
    dim, groups = head_dim(c), c.num_key_value_heads
    each = c.num_attention_heads // groups * dim
    rows = [part for g in range(groups) for part in (q[g * each : (g + 1) * each], k[g * dim : (g + 1) * dim], v[g * dim : (g + 1) * dim])]
    out = torch.cat(rows)
    if "MEGATRON_BRIDGE" in os.environ:
        text = open(os.environ["MEGATRON_BRIDGE"]).read()
        own = [node for node in ast.parse(text).body if getattr(node, "name", "") in ("merge_qkv_weights", "merge_qkv_biases")]
        names = {"torch": torch, "TransformerConfig": object}
        exec(compile(ast.Module(own, []), "param_mapping.py", "exec"), names)
        said = SimpleNamespace(num_attention_heads=c.num_attention_heads, num_query_groups=groups, kv_channels=dim, hidden_size=c.hidden_size)
        assert torch.equal(names["merge_qkv_weights" if q.dim() == 2 else "merge_qkv_biases"](said, q, k, v), out)
    return out


def megatron(where, hf, c, stacked=False):
    """Layers in names or, stacked, on an axis; the vocabulary padded with rows that belong to no token."""
    if c.model_type in ("olmo2", "olmo3"):
        return None
    pad = lambda t: torch.cat([t, torch.randn(PADDED - len(t), t.shape[1])])
    out = {"embedding.word_embeddings.weight": pad(hf["model.embed_tokens.weight"]), "decoder.final_layernorm.weight": hf["model.norm.weight"]}
    if not c.tie_word_embeddings:
        out["output_layer.weight"] = pad(hf["lm_head.weight"])
    moe = {"qwen3_moe": ("mlp", "gate_proj", "up_proj", "down_proj"), "mixtral": ("block_sparse_moe", "w1", "w3", "w2")}.get(c.model_type)
    layers = []
    for i in range(c.num_hidden_layers):
        get = lambda name: hf[f"model.layers.{i}.{name}"]
        qkv = lambda what: queries_keys_values(*(get(f"self_attn.{x}_proj.{what}") for x in "qkv"), c)
        one = {"self_attention.linear_qkv.layer_norm_weight": get("input_layernorm.weight"), "self_attention.linear_qkv.weight": qkv("weight"),
               "self_attention.linear_proj.weight": get("self_attn.o_proj.weight")}
        if c.model_type == "qwen2":
            one["self_attention.linear_qkv.bias"] = qkv("bias")
        if c.model_type.startswith("qwen3"):
            one |= {f"self_attention.{x}_layernorm.weight": get(f"self_attn.{x}_norm.weight") for x in "qk"}
        if moe is None:
            one |= {"mlp.linear_fc1.layer_norm_weight": get("post_attention_layernorm.weight"), "mlp.linear_fc2.weight": get("mlp.down_proj.weight"),
                    "mlp.linear_fc1.weight": torch.cat([get("mlp.gate_proj.weight"), get("mlp.up_proj.weight")])}
        else:
            block, gate, up, down = moe
            expert = lambda e, name: get(f"{block}.experts.{e}.{name}.weight")
            one |= {"pre_mlp_layernorm.weight": get("post_attention_layernorm.weight"), "mlp.router.weight": get(f"{block}.gate.weight"),
                    "mlp.experts.experts.linear_fc1.weight": torch.stack([torch.cat([expert(e, gate), expert(e, up)]) for e in range(EXPERTS)]),
                    "mlp.experts.experts.linear_fc2.weight": torch.stack([expert(e, down) for e in range(EXPERTS)])}
        layers.append(one)
    for name in layers[0]:
        if stacked:
            out[f"decoder.layers.{name}"] = torch.stack([one[name] for one in layers])
        else:
            out |= {f"decoder.layers.{i}.{name}": one[name] for i, one in enumerate(layers)}
    save(where, out)
    window = getattr(c, "sliding_window", None) if c.model_type == "mistral" else None
    # What Megatron-LM's arguments.py names them.
    args = dict(num_layers=c.num_hidden_layers, hidden_size=c.hidden_size, ffn_hidden_size=c.intermediate_size, num_attention_heads=c.num_attention_heads, group_query_attention=True,
                num_query_groups=c.num_key_value_heads, kv_channels=head_dim(c), max_position_embeddings=64, seq_length=64, normalization="RMSNorm", norm_epsilon=c.rms_norm_eps, swiglu=True,
                position_embedding_type="rope", rotary_percent=1.0, rotary_base=int(c.rope_parameters["rope_theta"]), rotary_interleaved=False, add_bias_linear=False,
                add_qkv_bias=c.model_type == "qwen2", qk_layernorm=c.model_type.startswith("qwen3"), apply_layernorm_1p=False, window_size=None if window is None else (window - 1, 0),
                untie_embeddings_and_output_weights=not c.tie_word_embeddings, vocab_size=VOCABULARY, padded_vocab_size=PADDED, params_dtype=torch.float32, num_experts=None)
    if moe is not None:
        args |= dict(num_experts=EXPERTS, moe_router_topk=2, moe_ffn_hidden_size=getattr(c, "moe_intermediate_size", c.intermediate_size), moe_router_pre_softmax=False,
                     moe_router_score_function="softmax", moe_layer_freq=1)
    torch.save({"args": argparse.Namespace(**args), "checkpoint_version": 3.0, "iteration": 100}, f"{where}/common.pt")
    with open(f"{where}/metadata.json", "w") as f:
        json.dump({"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch", "common_backend_version": 1}, f)
    # Its arguments know no Mistral: without a configuration it is a Llama, and no window is taken over.
    return {"by": "rows", "config": window is not None}


def megatron_stacked(where, hf, c):
    return megatron(where, hf, c, stacked=True)


def torchtitan(where, hf, c):
    if c.model_type not in ("llama", "qwen3", "qwen3_moe"):
        return None
    try:
        if c.model_type == "llama":
            from torchtitan.models.llama3 import Llama3StateDictAdapter as Adapter
        else:
            from torchtitan.models.qwen3.state_dict_adapter import Qwen3StateDictAdapter as Adapter
    except ImportError:
        return None
    attention = SimpleNamespace(n_heads=c.num_attention_heads, n_kv_heads=c.num_key_value_heads, head_dim=head_dim(c))
    layer = SimpleNamespace(attention=attention, moe=SimpleNamespace(num_experts=EXPERTS) if c.model_type == "qwen3_moe" else None)
    adapter = Adapter(SimpleNamespace(dim=c.hidden_size, enable_weight_tying=c.tie_word_embeddings, layers=[layer] * c.num_hidden_layers), None)
    adapter._validate_hf_rope_config = lambda *x: None  # Reads a config.json for its scaling, of which there is none.
    state = adapter.from_hf(dict(hf))
    # Its Llama knows no tying, and who ties it there saves one tensor twice, as its Qwen 3 does.
    if c.tie_word_embeddings:
        state["lm_head.weight"] = state["tok_embeddings.weight"]
    save(where, state)
    return {"by": f"torchtitan {importlib.metadata.version('torchtitan')}", "config": True}


def olmo_core(where, hf, c):
    if c.model_type not in ("olmo2", "olmo3", "llama", "qwen3"):
        return None
    after = c.model_type.startswith("olmo")
    # As `OLMO_CORE_TO_HF_TEMPLATE_MAPPING` of its nn/hf/convert.py has it.
    names = {"attention.w_q": "self_attn.q_proj", "attention.w_k": "self_attn.k_proj", "attention.w_v": "self_attn.v_proj", "attention.w_out": "self_attn.o_proj",
             "attention.q_norm": "self_attn.q_norm", "attention.k_norm": "self_attn.k_norm", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
             "feed_forward.w3": "mlp.up_proj", "attention_norm": "post_attention_layernorm" if after else "input_layernorm",
             "feed_forward_norm": "post_feedforward_layernorm" if after else "post_attention_layernorm"}
    out = {"model.embeddings.weight": hf["model.embed_tokens.weight"], "model.lm_head.norm.weight": hf["model.norm.weight"]}
    if not c.tie_word_embeddings:
        out["model.lm_head.w_out.weight"] = hf["lm_head.weight"]
    for i in range(c.num_hidden_layers):
        for own, theirs in names.items():
            if f"model.layers.{i}.{theirs}.weight" in hf:
                out[f"model.blocks.{i}.{own}.weight"] = hf[f"model.layers.{i}.{theirs}.weight"]
    save(where, out)
    return {"by": "names", "config": True}


LAYOUTS = {f.__name__.replace("_", "-"): f for f in (megatron, megatron_stacked, torchtitan, olmo_core)}


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)


def make(home):
    for name, given in MODELS.items():
        config = AutoConfig.for_model(name.split("-")[0], **(BASE | dict(tie_word_embeddings=False) | given))
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config).float()
        with torch.no_grad():
            for p in model.parameters():
                if p.dim() == 1:  # Norms are 1 and biases 0 until they are trained.
                    p.add_(torch.randn_like(p) * 0.3)
        model.save_pretrained(f"{home}/{name}/hf")
        hf = load_file(f"{home}/{name}/hf/model.safetensors")
        for layout, write in LAYOUTS.items():
            found = write(f"{home}/{name}/{layout}", hf, config)
            if found is not None:
                print(json.dumps({"model": name, "layout": layout, **found}), flush=True)


def check(home):
    for name in MODELS:
        for layout in LAYOUTS:
            out = f"{home}/{name}/{layout}-out"
            if not os.path.isdir(out):
                continue
            (own, _), (made, told) = load(f"{home}/{name}/hf"), load(out)
            a, b = own.state_dict(), made.state_dict()
            tied = made.get_input_embeddings().weight is made.get_output_embeddings().weight
            print(json.dumps({
                "model": name, "layout": layout, "complaints": sorted(str(x) for value in told.values() for x in value), "tied": tied,
                "state": list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a), "logits": torch.equal(logits(own), logits(made)),
            }), flush=True)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
