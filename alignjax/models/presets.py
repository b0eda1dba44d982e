"""Published shapes by name, for runs from random weights and for plans."""

import math

from alignjax.models.config import ModelConfig, Rope


def _llama(width, depth, heads, kv_heads, hidden, *, head_size, **more) -> dict:
  return dict(
    family="llama",
    width=width,
    depth=depth,
    heads=heads,
    kv_heads=kv_heads,
    head_size=head_size,
    hidden=hidden,
    **more,
  )


def _smollm2(*sizes, **more) -> dict:
  shared = dict(vocab=49152, head_size=64, max_length=8192, tied=True)
  return _llama(*sizes, **shared, **more)


def _llama3(*sizes, factor=8.0, head_size=128, **more) -> dict:
  rope = Rope(theta=500000.0, kind="llama3", factor=factor)
  shared = dict(vocab=128256, max_length=131072, rope=rope)
  return _llama(*sizes, head_size=head_size, **shared, **more)


def _qwen3(*sizes, **more) -> dict:
  shared = dict(
    vocab=151936,
    head_size=128,
    max_length=40960,
    norm_eps=1e-6,
    qk_norm="head",
    rope=Rope(theta=1e6),
  )
  return _llama(*sizes, **shared, **more) | {"family": "qwen3"}


def _gemma3(
  width, depth, *sizes, window=1024, vocab=262208, scaled=256, **more
) -> dict:
  """Five layers of a window and one without; its text model alone."""
  shared = dict(
    vocab=vocab,
    norm="rms_plus_one",
    norm_eps=1e-6,
    norm_place="both",
    activation="gelu_tanh",
    qk_norm="head",
    windows=tuple(window * (i % 6 < 5) for i in range(depth)),
    local_rope=Rope(theta=10000.0),
    query_scale=scaled**-0.5,
    embed_scale=math.sqrt(width),
    tied=True,
  )
  given = dict(head_size=256, max_length=131072) | more
  rope = Rope(theta=1e6, kind="linear", factor=8.0)
  given = {"rope": rope} | given
  return _llama(width, depth, *sizes, **shared, **given) | {
    "family": "gemma3_text"
  }


# Shapes are those of the published config.json of each model: width, depth,
# heads, key/value heads, hidden units.
PRESETS = {
  # For tests and `:tiny` configs; trains in seconds on a CPU.
  "tiny": _llama(
    *(128, 4, 8, 4, 344), head_size=16, vocab=264, max_length=512, tied=True
  ),
  "smollm2_135m": _smollm2(576, 30, 9, 3, 1536, rope=Rope(theta=100000.0)),
  "smollm2_360m": _smollm2(960, 32, 15, 5, 2560, rope=Rope(theta=100000.0)),
  "smollm2_1_7b": _smollm2(2048, 24, 32, 32, 8192, rope=Rope(theta=130000.0)),
  "llama3_1b": _llama3(
    *(2048, 16, 32, 8, 8192), head_size=64, factor=32.0, tied=True
  ),
  "llama3_3b": _llama3(3072, 28, 24, 8, 8192, factor=32.0, tied=True),
  "llama3_8b": _llama3(4096, 32, 32, 8, 14336),
  "llama3_70b": _llama3(8192, 80, 64, 8, 28672),
  "qwen3_0_6b": _qwen3(1024, 28, 16, 8, 3072, tied=True),
  "qwen3_1_7b": _qwen3(2048, 28, 16, 8, 6144, tied=True),
  "qwen3_4b": _qwen3(2560, 36, 32, 8, 9728, tied=True),
  "qwen3_8b": _qwen3(4096, 36, 32, 8, 12288),
  "qwen3_14b": _qwen3(5120, 40, 40, 8, 17408),
  "qwen3_32b": _qwen3(5120, 64, 64, 8, 25600),
  "gemma3_1b": _gemma3(
    *(1152, 26, 4, 1, 6912),
    window=512,
    vocab=262144,
    max_length=32768,
    rope=Rope(theta=1e6),
  ),
  "gemma3_4b": _gemma3(2560, 34, 8, 4, 10240),
  "gemma3_12b": _gemma3(3840, 48, 16, 8, 15360),
  "gemma3_27b": _gemma3(5376, 62, 32, 16, 21504, head_size=128, scaled=168),
}


def preset(name: str) -> ModelConfig:
  """The model of a name; ValueError with the legal ones otherwise."""
  if name not in PRESETS:
    raise ValueError(
      f"model.preset = {name!r} is unknown; one of {', '.join(PRESETS)}."
    )
  return ModelConfig(**PRESETS[name])
