"""Rotary settings of a config.json, in transformers 4 and 5 spellings."""

from collections.abc import Mapping

from alignjax.models.config import ROPE_KINDS, ModelConfig, Rope

# What a kind's dict may hold beside its name and base: key → our field.
FIELDS = {
  "default": {},
  "linear": {"factor": "factor"},
  "dynamic": {"factor": "factor"},
  "llama3": {
    "factor": "factor",
    "low_freq_factor": "low_freq",
    "high_freq_factor": "high_freq",
    "original_max_position_embeddings": "original_length",
  },
}
KNOWN = (
  "type",
  "rope_type",
  "rope_theta",
  "partial_rotary_factor",
  "original_max_position_embeddings",
)


def parse(
  settings: Mapping, theta: float, fraction: float, max_length: int
) -> Rope:
  """One dict of rotary settings; `theta` and `fraction` where it has none."""
  kind = settings.get("rope_type") or settings.get("type") or "default"
  if kind not in ROPE_KINDS:
    raise ValueError(
      f"rope scaling {kind!r} is not supported; one of {', '.join(ROPE_KINDS)}."
    )
  fields = FIELDS[kind]
  for key, value in settings.items():
    if key not in KNOWN and key not in fields and value is not None:
      raise ValueError(
        f"rope setting {key} = {value!r} is not supported for {kind!r} "
        f"scaling; it has {', '.join(fields) or 'no settings'}."
      )
  rope = {}
  for key, ours in fields.items():
    value = settings.get(key)
    if value is None and ours == "original_length":
      value = max_length
    if value is None:
      raise ValueError(f"{kind!r} rope scaling lacks {key!r} in config.json.")
    rope[ours] = int(value) if ours == "original_length" else float(value)
  if kind == "dynamic":
    # transformers stretches from max_position_embeddings whatever else stands.
    rope["original_length"] = max_length
  return Rope(
    theta=float(settings.get("rope_theta") or theta),
    fraction=float(settings.get("partial_rotary_factor") or fraction),
    kind=kind,
    **rope,
  )


def rope_from_hf(
  hf: Mapping, family: str, max_length: int, theta: float | int | None
) -> dict[str, Rope | None]:
  """`rope` (and `local_rope`) of a `ModelConfig`.

  theta: the base where nothing names one; 10000 where that is None.
  """
  fraction = 1.0
  if family == "gpt_neox":
    theta = hf.get("rotary_emb_base") or theta
    fraction = hf.get("rotary_pct") or hf.get("partial_rotary_factor")
    fraction = float(fraction or 0.25)
  theta = float(theta or 10000.0)
  settings = hf.get("rope_scaling") or hf.get("rope_parameters") or {}
  by_layer = hf.get("rope_parameters") or {}
  if "full_attention" in by_layer or "sliding_attention" in by_layer:
    if family != "gemma3_text":
      raise ValueError(
        f"rope_parameters by layer type are not supported for {family}."
      )
    settings = by_layer.get("full_attention") or {}
  else:
    by_layer = {}
  rope = parse(settings, theta, fraction, max_length)
  if family != "gpt_neox" and rope.fraction != 1.0:
    raise ValueError(
      f"partial_rotary_factor = {rope.fraction} of family {family} is not "
      "supported; legal: 1.0."
    )
  if family != "gemma3_text":
    return {"rope": rope}
  local = by_layer.get("sliding_attention") or {}
  local_theta = float(hf.get("rope_local_base_freq") or 10000.0)
  return {
    "rope": rope,
    "local_rope": parse(local, local_theta, 1.0, max_length),
  }


def settings_of(rope: Rope) -> dict:
  """One dict of rotary settings, in the spelling of transformers 5."""
  out = {"rope_type": rope.kind, "rope_theta": rope.theta}
  if rope.fraction != 1.0:
    out["partial_rotary_factor"] = rope.fraction
  return out | {k: getattr(rope, f) for k, f in FIELDS[rope.kind].items()}


def rope_to_hf(config: ModelConfig) -> dict:
  """Both spellings, for readers of either age."""
  rope, local = config.rope, config.local_rope
  new = settings_of(rope)
  old = {k: v for k, v in new.items() if k not in KNOWN[2:4]}
  hf = {"rope_theta": rope.theta}
  if rope.kind != "default":
    hf["rope_scaling"] = old
  if config.family == "gpt_neox":
    hf |= {"rotary_emb_base": rope.theta, "rotary_pct": rope.fraction}
  if local is None:
    return hf | {"rope_parameters": new}
  hf["rope_local_base_freq"] = local.theta
  return hf | {
    "rope_parameters": {
      "full_attention": new,
      "sliding_attention": settings_of(local),
    }
  }
