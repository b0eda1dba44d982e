"""The families: what their config.json calls things, and what it leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KEYS = {
  "vocab": "vocab_size",
  "width": "hidden_size",
  "depth": "num_hidden_layers",
  "heads": "num_attention_heads",
  "kv_heads": "num_key_value_heads",
  "head_size": "head_dim",
  "hidden": "intermediate_size",
  "max_length": "max_position_embeddings",
  "norm_eps": "rms_norm_eps",
  "activation": "hidden_act",
}
GPT2_KEYS = {
  "vocab": "vocab_size",
  "width": "n_embd",
  "depth": "n_layer",
  "heads": "n_head",
  "hidden": "n_inner",
  "max_length": "n_positions",
  "norm_eps": "layer_norm_epsilon",
  "activation": "activation_function",
}
NEOX_KEYS = {
  k: v for k, v in KEYS.items() if k not in ("kv_heads", "head_size")
} | {"norm_eps": "layer_norm_eps"}
GEMMA_KEYS = KEYS | {"activation": "hidden_activation"}


@dataclass(frozen=True)
class Family:
  """One model_type.

  architecture: the class that transformers loads it with.
  fixed: fields of ours that all its models share.
  defaults: what a config.json of it may leave out, as transformers fills it.
  keys: our field → key of config.json.
  windows: how layers get windows: "none", "all" (Mistral), "last" (Qwen: from
    max_window_layers on), or "period" (Gemma: all but every n-th).
  """

  architecture: str
  fixed: Mapping[str, object] = field(default_factory=dict)
  defaults: Mapping[str, object] = field(default_factory=dict)
  keys: Mapping[str, str] = field(default_factory=lambda: KEYS)
  windows: str = "none"


BASE = {
  "rms_norm_eps": 1e-6,
  "hidden_act": "silu",
  "tie_word_embeddings": False,
  "sliding_window": 4096,
  "head_dim": None,
}
GEMMA = BASE | {
  "hidden_activation": "gelu_pytorch_tanh",
  "tie_word_embeddings": True,
  "query_pre_attn_scalar": 256,
  "head_dim": 256,
}
GEMMA_FIXED = {"norm": "rms_plus_one", "norm_place": "both"}
LAYER_NORM = {"norm": "layer", "gated": False, "mlp_bias": True}

FAMILIES = {
  "llama": Family("LlamaForCausalLM", {}, BASE | {"num_key_value_heads": None}),
  "mistral": Family("MistralForCausalLM", {}, BASE, windows="all"),
  "qwen2": Family(
    "Qwen2ForCausalLM",
    {"qkv_bias": True},
    BASE | {"max_window_layers": 28},
    windows="last",
  ),
  "qwen3": Family(
    "Qwen3ForCausalLM",
    {"qk_norm": "head"},
    BASE | {"head_dim": 128, "max_window_layers": 28},
    windows="last",
  ),
  "gemma2": Family(
    "Gemma2ForCausalLM",
    GEMMA_FIXED,
    GEMMA
    | {
      "sliding_window_pattern": 2,
      "attn_logit_softcapping": 50.0,
      "final_logit_softcapping": 30.0,
    },
    GEMMA_KEYS,
    windows="period",
  ),
  "gemma3_text": Family(
    "Gemma3ForCausalLM",
    GEMMA_FIXED | {"qk_norm": "head"},
    GEMMA
    | {
      "sliding_window_pattern": 6,
      "vocab_size": 262208,
      "num_attention_heads": 8,
      "num_key_value_heads": 4,
      "max_position_embeddings": 131072,
      "rope_theta": 1e6,
    },
    GEMMA_KEYS,
    windows="period",
  ),
  "olmo2": Family(
    "Olmo2ForCausalLM",
    {"norm_place": "post", "qk_norm": "full"},
    BASE | {"num_key_value_heads": None, "rms_norm_eps": 1e-5},
  ),
  "gpt2": Family(
    "GPT2LMHeadModel",
    LAYER_NORM | {"qkv_bias": True, "out_bias": True, "rope": None},
    {
      "n_inner": None,
      "layer_norm_epsilon": 1e-5,
      "activation_function": "gelu_new",
      "tie_word_embeddings": True,
    },
    GPT2_KEYS,
  ),
  "gpt_neox": Family(
    "GPTNeoXForCausalLM",
    LAYER_NORM,
    {
      "layer_norm_eps": 1e-5,
      "hidden_act": "gelu",
      "tie_word_embeddings": False,
    },
    NEOX_KEYS,
  ),
}
