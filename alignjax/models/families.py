"""Model families: a Hugging Face config.json and our `ModelConfig`, both ways.

Both spellings are read, that of transformers 4 (`rope_theta`, `rope_scaling`)
and that of 5 (`rope_parameters`), and both are written. A setting that would
change the arithmetic and is not supported is refused, never ignored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignjax.models.config import ModelConfig
from alignjax.models.rope_settings import rope_from_hf, rope_to_hf

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

ACTIVATIONS = {
  "silu": "silu",
  "swish": "silu",
  "gelu": "gelu",
  "gelu_new": "gelu_tanh",
  "gelu_fast": "gelu_tanh",
  "gelu_pytorch_tanh": "gelu_tanh",
  "relu": "relu",
}
TO_HF = {
  "silu": "silu",
  "gelu": "gelu",
  "gelu_tanh": "gelu_pytorch_tanh",
  "relu": "relu",
}


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

# Settings that change the arithmetic in ways we do not have, and the values
# under which they do not.
ONLY = {
  "quantization_config": (None,),
  "num_experts": (None, 0),
  "num_local_experts": (None, 0),
  "use_bidirectional_attention": (None, False),
  "scale_attn_weights": (None, True),
  "scale_attn_by_inverse_layer_idx": (None, False),
  "add_cross_attention": (None, False),
  "is_encoder_decoder": (None, False),
  "clip_qkv": (None,),
}
# Families whose files switch biases of attention, and of the MLP.
ATTENTION_BIAS = (
  "llama",
  "qwen3",
  "gemma2",
  "gemma3_text",
  "olmo2",
  "gpt_neox",
)
MLP_BIAS = ("llama",)


def config_from_hf(hf: Mapping) -> ModelConfig:
  """A config.json, as a dict, as `ModelConfig`.

  ValueError where the family or a setting of it is not supported.
  """
  if hf.get("model_type") == "gemma3" and "text_config" in hf:
    outer = ("bos_token_id", "eos_token_id", "pad_token_id")
    hf = (
      {k: hf[k] for k in outer if k in hf}
      | {k: v for k, v in hf["text_config"].items() if v is not None}
      | {"model_type": "gemma3_text"}
    )
  name = hf.get("model_type")
  if name not in FAMILIES:
    raise ValueError(
      f"model_type {name!r} is not supported; one of {', '.join(FAMILIES)}."
    )
  family = FAMILIES[name]
  _refuse(hf, name)

  def get(key):
    value = hf.get(key)
    value = family.defaults.get(key) if value is None else value
    return value

  def need(key):
    if get(key) is None:
      raise ValueError(f"config.json of family {name} lacks {key!r}.")
    return get(key)

  fields = dict(family.fixed)
  optional = ("kv_heads", "head_size", "hidden")
  for ours, key in family.keys.items():
    fields[ours] = get(key) if ours in optional else need(key)
  heads, width = fields["heads"], fields["width"]
  if "num_key_value_heads" in family.keys.values():
    may_lack = "num_key_value_heads" in family.defaults or (
      "num_key_value_heads" in hf
    )
    if fields["kv_heads"] is None and not may_lack:
      need("num_key_value_heads")
  fields["kv_heads"] = fields.get("kv_heads") or heads
  fields["head_size"] = fields.get("head_size") or width // heads
  fields["hidden"] = fields["hidden"] or 4 * width
  fields["activation"] = _activation(fields["activation"])
  fields["tied"] = bool(need("tie_word_embeddings"))
  if name in ATTENTION_BIAS:
    bias = hf.get("attention_bias")
    bias = name == "gpt_neox" if bias is None else bool(bias)
    fields["qkv_bias"] = fields["out_bias"] = bias
  if name in MLP_BIAS:
    fields["mlp_bias"] = bool(hf.get("mlp_bias"))
  if name == "gpt_neox":
    parallel = hf.get("use_parallel_residual")
    fields["parallel"] = True if parallel is None else bool(parallel)
  if name in ("gemma2", "gemma3_text"):
    fields["embed_scale"] = math.sqrt(width)
    fields["query_scale"] = float(need("query_pre_attn_scalar")) ** -0.5
    # transformers fills in a default where the key is absent, not where null.
    for ours, key in SOFTCAPS.items():
      cap = hf[key] if key in hf else family.defaults.get(key)
      fields[ours] = float(cap or 0.0)
  if name != "gpt2":
    fields |= rope_from_hf(hf, name, fields["max_length"], get("rope_theta"))
  fields["windows"] = _windows(hf, family, fields["depth"], get)
  return ModelConfig(family=name, **fields, **_ids(hf))


SOFTCAPS = {
  "attention_softcap": "attn_logit_softcapping",
  "final_softcap": "final_logit_softcapping",
}


def _refuse(hf: Mapping, name: str) -> None:
  only = dict(ONLY)
  if name != "gemma2":
    only["attn_logit_softcapping"] = (None,)
  if name != "gpt_neox":
    only["partial_rotary_factor"] = (None, 1, 1.0)
  for key, legal in only.items():
    if hf.get(key) not in legal:
      raise ValueError(
        f"{key} = {repr(hf[key])[:80]} of family {name} is not supported; "
        f"legal: {', '.join(map(repr, legal))}."
      )


def _activation(name: str) -> str:
  if name not in ACTIVATIONS:
    raise ValueError(
      f"Activation {name!r} is not supported; one of {', '.join(ACTIVATIONS)}."
    )
  return ACTIVATIONS[name]


def _windows(hf: Mapping, family: Family, depth: int, get) -> tuple[int, ...]:
  """The window of each layer, 0 for none."""
  # null means "no window"; only an absent key means the default.
  window = hf["sliding_window"] if "sliding_window" in hf else None
  if "sliding_window" not in hf:
    window = family.defaults.get("sliding_window")
  kind = family.windows
  if kind == "none" or (kind == "last" and not hf.get("use_sliding_window")):
    return (0,) * depth
  window = window or 0
  if kind == "all":
    return (window,) * depth
  types = hf.get("layer_types")
  if types is None and kind == "last":
    first = get("max_window_layers")
    return tuple(window if i >= first else 0 for i in range(depth))
  if types is None:
    key = "sliding_window_pattern"
    period = hf.get(key) or hf.get(f"_{key}") or family.defaults[key]
    return tuple(window if (i + 1) % period else 0 for i in range(depth))
  legal = {"sliding_attention": window, "full_attention": 0}
  for kind in types:
    if kind not in legal:
      raise ValueError(
        f"layer_types has {kind!r}; supported: {', '.join(legal)}."
      )
  return tuple(legal[kind] for kind in types)


def _ids(hf: Mapping) -> dict:
  def one(key):
    return -1 if hf.get(key) is None else int(hf[key])

  eos = hf.get("eos_token_id")
  eos = () if eos is None else tuple(eos) if isinstance(eos, list) else (eos,)
  return {"bos": one("bos_token_id"), "eos": eos, "pad": one("pad_token_id")}


def config_to_hf(config: ModelConfig) -> dict:
  """The config.json of a model, as a plain dict.

  ValueError where the family's config.json cannot say what `config` says.
  """
  c = config
  if c.family not in FAMILIES:
    raise ValueError(
      f"model family {c.family!r} is unknown; one of {', '.join(FAMILIES)}."
    )
  family = FAMILIES[c.family]
  hf = {"model_type": c.family, "architectures": [family.architecture]}
  hf |= {key: getattr(c, ours) for ours, key in family.keys.items()}
  hf[family.keys["activation"]] = TO_HF[c.activation]
  hf["tie_word_embeddings"] = c.tied
  hf["bos_token_id"] = None if c.bos < 0 else c.bos
  hf["pad_token_id"] = None if c.pad < 0 else c.pad
  eos = list(c.eos) if len(c.eos) > 1 else c.eos[0] if c.eos else None
  hf["eos_token_id"] = eos
  if c.family in ATTENTION_BIAS:
    hf["attention_bias"] = c.out_bias
  if c.family in MLP_BIAS:
    hf["mlp_bias"] = c.mlp_bias
  if c.family == "gpt_neox":
    hf["use_parallel_residual"] = c.parallel
  if c.family in ("gemma2", "gemma3_text"):
    scalar = c.scale**-2
    whole = round(scalar)
    # transformers wants a whole number where it is one.
    close = abs(scalar - whole) < 1e-6 * scalar
    hf["query_pre_attn_scalar"] = whole if close else scalar
    for ours, key in SOFTCAPS.items():
      hf[key] = getattr(c, ours) or None
  if c.rope is not None:
    hf |= rope_to_hf(c)
  hf |= _windows_to_hf(c, family)
  if config_from_hf(hf) != c:
    back = config_from_hf(hf)
    lost = [
      k for k in c.__dataclass_fields__ if getattr(c, k) != getattr(back, k)
    ]
    raise ValueError(
      f"A config.json of family {c.family} cannot say "
      + ", ".join(f"{k} = {getattr(c, k)!r}" for k in lost[:3])
      + f".\nIt would be read back as {getattr(back, lost[0])!r}; "
      "choose the family that has it."
    )
  return hf


def _windows_to_hf(c: ModelConfig, family: Family) -> dict:
  if family.windows == "none":
    return {}
  window = max(c.windows)
  if family.windows == "all":
    return {"sliding_window": window or None}
  types = ["sliding_attention" if w else "full_attention" for w in c.windows]
  hf = {"sliding_window": window or None, "layer_types": types}
  if family.windows == "last":
    first = next((i for i, w in enumerate(c.windows) if w), c.depth)
    hf |= {"use_sliding_window": bool(window), "max_window_layers": first}
  elif window == 0:
    hf["sliding_window"] = c.max_length
  return hf
