"""Published shapes by name, for runs from random weights."""

from alignjax.models.config import ModelConfig, Rope

# Shapes are those of the published config.json of each model.
PRESETS = {
  # For tests and `:tiny` configs; trains in seconds on a CPU.
  "tiny": dict(
    family="llama",
    vocab=264,
    width=128,
    depth=4,
    heads=8,
    kv_heads=4,
    head_size=16,
    hidden=344,
    max_length=512,
    tied=True,
  ),
  "smollm2_135m": dict(
    family="llama",
    vocab=49152,
    width=576,
    depth=30,
    heads=9,
    kv_heads=3,
    head_size=64,
    hidden=1536,
    max_length=8192,
    rope=Rope(theta=100000.0),
    tied=True,
  ),
  "llama3_1b": dict(
    family="llama",
    vocab=128256,
    width=2048,
    depth=16,
    heads=32,
    kv_heads=8,
    head_size=64,
    hidden=8192,
    max_length=131072,
    rope=Rope(theta=500000.0, kind="llama3", factor=32.0),
    tied=True,
  ),
  "llama3_8b": dict(
    family="llama",
    vocab=128256,
    width=4096,
    depth=32,
    heads=32,
    kv_heads=8,
    head_size=128,
    hidden=14336,
    max_length=131072,
    rope=Rope(theta=500000.0, kind="llama3", factor=8.0),
  ),
  "qwen3_0_6b": dict(
    family="qwen3",
    vocab=151936,
    width=1024,
    depth=28,
    heads=16,
    kv_heads=8,
    head_size=128,
    hidden=3072,
    max_length=40960,
    norm_eps=1e-6,
    qk_norm="head",
    rope=Rope(theta=1e6),
    tied=True,
  ),
}


def preset(name: str) -> ModelConfig:
  """The model of a name; ValueError with the legal ones otherwise."""
  if name not in PRESETS:
    raise ValueError(
      f"model.preset = {name!r} is unknown; one of {', '.join(PRESETS)}."
    )
  return ModelConfig(**PRESETS[name])
