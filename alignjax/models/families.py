"""Model families: a Hugging Face config.json and our `ModelConfig`, both ways.

Both spellings are read, that of transformers 4 (`rope_theta`, `rope_scaling`)
and that of 5 (`rope_parameters`), and both are written. A setting that would
change the arithmetic and is not supported is refused, never ignored.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from alignjax.models.config import ModelConfig
from alignjax.models.family_table import FAMILIES, Family
from alignjax.models.rope_settings import rope_from_hf, rope_to_hf

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
# Null means: as many as query heads, width / heads, 4 · width.
MAY_BE_NULL = ("num_key_value_heads", "head_dim", "n_inner")
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
# What the classes are called that have scalar heads: reward models.
SCORED = "ForSequenceClassification"
# Of scores on reference completions; transformers keeps and ignores them.
CALIBRATION = ("score_mean", "score_std")
SOFTCAPS = {
  "attention_softcap": "attn_logit_softcapping",
  "final_softcap": "final_logit_softcapping",
}


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
    if hf.get(key) is not None:
      return hf[key]
    if key in family.defaults:
      return family.defaults[key]
    if key in hf and key in MAY_BE_NULL:
      return None
    raise ValueError(f"config.json of family {name} lacks {key!r}.")

  fields = dict(family.fixed)
  fields |= {ours: get(key) for ours, key in family.keys.items()}
  heads, width = fields["heads"], fields["width"]
  fields["kv_heads"] = fields.get("kv_heads") or heads
  fields["head_size"] = fields.get("head_size") or width // heads
  fields["hidden"] = fields["hidden"] or 4 * width
  fields["activation"] = _activation(fields["activation"])
  fields["tied"] = bool(get("tie_word_embeddings"))
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
    fields["query_scale"] = float(get("query_pre_attn_scalar")) ** -0.5
    # Null means no cap; only an absent key means the default.
    for ours, key in SOFTCAPS.items():
      fields[ours] = float(hf.get(key, family.defaults.get(key)) or 0.0)
  if name != "gpt2":
    theta = hf.get("rope_theta") or family.defaults.get("rope_theta")
    fields |= rope_from_hf(hf, name, fields["max_length"], theta)
  fields["windows"] = _windows(hf, family, fields["depth"], get)
  if (hf.get("architectures") or [""])[0].endswith(SCORED):
    # A file need not say how many: transformers then takes two.
    fields["scores"] = hf.get("num_labels") or len(hf.get("id2label") or "01")
    fields |= {key: _numbers(hf, key) for key in CALIBRATION}
  return ModelConfig(family=name, **fields, **_ids(hf))


def _numbers(hf: Mapping, key: str) -> tuple[float, ...]:
  value = hf.get(key) or []
  if not isinstance(value, list) or not all(
    isinstance(x, int | float) and not isinstance(x, bool) for x in value
  ):
    raise ValueError(
      f"{key} = {repr(value)[:80]} of config.json must be a list of numbers, "
      "one a scalar head."
    )
  return tuple(map(float, value))


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
  # Null means no window; only an absent key means the default.
  window = hf.get("sliding_window", family.defaults.get("sliding_window")) or 0
  kind = family.windows
  if kind == "none" or (kind == "last" and not hf.get("use_sliding_window")):
    return (0,) * depth
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
  if c.scores:
    stem = re.sub("(ForCausalLM|LMHeadModel)$", "", family.architecture)
    stem = {"Gemma3": "Gemma3Text"}.get(stem, stem)
    hf["architectures"] = [stem + SCORED]
    labels = {str(i): f"LABEL_{i}" for i in range(c.scores)}
    hf["id2label"] = labels
    hf["label2id"] = {label: int(i) for i, label in labels.items()}
    hf |= {k: list(getattr(c, k)) for k in CALIBRATION if getattr(c, k)}
  back = config_from_hf(hf)
  same = back
  if math.isclose(back.scale, c.scale, rel_tol=1e-6):
    same = back.replace(query_scale=c.query_scale)  # 0 and its value are one
  if same != c:
    lost = [
      f.name
      for f in dataclasses.fields(c)
      if getattr(c, f.name) != getattr(same, f.name)
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
