"""What a checkpoint must agree with before a run goes on from it."""

import dataclasses
import hashlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax.models.config import ModelConfig

# Keys that change no number of the training, or whose content is compared in
# another way (`model`, `data.…`). A name that ends in a dot is a block.
FREE = (
  "mesh",
  "sharding.",
  "log.",
  "sample.",
  "checkpoint.",
  "train.eval_every",
  "train.accumulate",
  "train.nonfinite",
  "model.path",
  "model.preset",
  "model.revision",
  "model.adapter",
  "model.remat",
  "model.chunk",
  "model.attention",
  "model.scores",
  "reference.path",
  "reference.revision",
  "teacher.path",
  "teacher.preset",
  "teacher.revision",
  "data.train.",
  "data.eval.",
  "data.template",
  "data.cache",
  "data.workers",
  "data.on_bad_row",
  "data.bad_rows_limit",
)


def record(
  config: ConfigDict,
  model: ModelConfig,
  frozen: dict,
  data: Mapping[str, str],
) -> dict[str, object]:
  """Name → plain value: model, config values, frozen weights, data.

  frozen: the weights that are not trained, compared by their bits; the model's
    own, and apart from them a teacher's.
  data: name → digest, of `build.data`.
  """
  shape = hashlib.sha256(repr(dataclasses.asdict(model)).encode()).hexdigest()
  found = {
    "model": f"{model.family} of {model.depth} layers, {shape[:12]}",
  }
  optimizer = config.optim.name
  for key, value in flat(config).items():
    block, _, rest = key.partition(".")
    if any(key.startswith(f) if f[-1] == "." else key == f for f in FREE):
      continue
    if block == "optim" and "." in rest and rest.split(".")[0] != optimizer:
      continue  # options of another optimizer
    if block == "reward" and rest.endswith((".path", ".revision")):
      continue  # their weights are compared
    if key == "train.steps" and config.optim.schedule == "constant":
      continue  # may be prolonged
    if key == "train.spike":  # whether it stops or skips changes no number
      value = "off" if value == "off" else "skip or stop"
    found[key] = value
  own = {k: x for k, x in frozen.items() if k != "teacher"}
  if "teacher" in frozen:
    found["teacher"] = checksum(frozen["teacher"])
  # Last: where a value differs, it is the cause, and the data follow.
  return found | {"frozen": checksum(own), **data}


def flat(config: ConfigDict, prefix: str = "") -> dict:
  """`optim.adamw.b1` → value; tuples as lists, as a config.json has them."""
  found = {}
  for key in sorted(config):
    value = config[key]
    if isinstance(value, ConfigDict):
      found |= flat(value, f"{prefix}{key}.")
    else:
      found[prefix + key] = _listed(value)
  return found


def _listed(value):
  if isinstance(value, list | tuple):
    return [_listed(v) for v in value]
  return value


def checksum(tree: dict) -> str:
  """Eight hex digits of the bits of all arrays, the same on every mesh."""
  if not jax.tree.leaves(tree):
    return ""

  @jax.jit
  def total(tree):
    parts = []
    for i, x in enumerate(jax.tree.leaves(tree)):
      kind = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
      bits = jax.lax.bitcast_convert_type(x, kind).astype(jnp.uint32)
      parts.append(_mixed(bits ^ _place(bits.shape, i)).sum(dtype=jnp.uint32))
    return sum(parts)

  return f"{int(total(tree)):08x}"


def _place(shape: tuple[int, ...], leaf: int) -> jax.Array:
  """A number of each element's place, by its axes: nothing is gathered."""
  found = jnp.zeros(shape, jnp.uint32)
  for axis, n in enumerate(shape):
    found = found * n + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
  return _mixed(found + jnp.uint32(leaf * 0x9E3779B9 % 2**32))


def _mixed(x: jax.Array) -> jax.Array:
  """One to one, and every bit depends on all (MurmurHash3's last steps)."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
  return x ^ (x >> 16)
