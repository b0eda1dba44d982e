"""Low-rank adapters: W + α/r·A·B with W frozen (LoRA, Hu et al. 2022).

The adapter of a kernel [*in, *out] at `m/kernel` is `m/a` [*in, r] and `m/b`
[r, *out], with the kernel's stack of layers in front, in a tree of its own that
stands in the parameters under "lora". All other parameters are the base; a
model without adapters is the reference for free.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from alignjax.ops.attention import at_least_float32


@dataclass(frozen=True)
class Lora:
  """Which kernels have adapters, and what these count.

  rank: r. alpha: α, of the scale α/r.
  targets: regexes on whole paths of kernels.
  root: the scale is α/√r (rsLoRA, Kalajdzievski 2023).
  """

  rank: int
  alpha: float
  targets: Sequence[str]
  root: bool = False

  def __post_init__(self):
    # A list in the config.json of a run; to be hashed.
    object.__setattr__(self, "targets", tuple(self.targets))
    if self.rank < 1:
      raise ValueError(f"lora.rank = {self.rank}; it must be at least 1.")
    if not 0 < self.alpha < math.inf:
      raise ValueError(f"lora.alpha = {self.alpha}; it must be above 0.")
    if not self.targets:
      raise ValueError(
        "lora.targets is empty; give regexes on paths of kernels, such as "
        "'.*/kernel'."
      )

  @property
  def scale(self) -> float:
    """What A·B is multiplied by."""
    return self.alpha / (math.sqrt(self.rank) if self.root else self.rank)


def kernels(params: Mapping, targets: Sequence[str]) -> dict:
  """Path → kernel (array or shape) of those that the regexes name.

  ValueError where one matches nothing, or what is no kernel of a layer: tied
  tables are two functions, and norms and biases no matrices.
  """
  flat = flatten_dict(without(params), sep="/")
  legal = [path for path in flat if path.endswith("/kernel")]
  found = {}
  for target in targets:
    hits = {p: x for p, x in flat.items() if re.fullmatch(target, p)}
    wrong = sorted(set(hits) - set(legal))
    if wrong or not hits:
      fault = f"matches {wrong[0]}, no kernel" if wrong else "matches nothing"
      raise ValueError(
        f"lora.targets: {target!r} {fault}.\n"
        f"Kernels are {', '.join(sorted(legal))}; '.*/kernel' means all."
      )
    found |= hits
  return {path: found[path] for path in sorted(found)}


def axes(path: str, shape: Sequence[int]) -> tuple[tuple[int, ...], ...]:
  """(stack, inputs, outputs) of a kernel's shape, by its path."""
  shape = tuple(shape)
  first = 1 if path.startswith("layers/") else 0
  after = first + (2 if path.split("/")[-2] == "out" else 1)
  return shape[:first], shape[first:after], shape[after:]


def shapes(params: Mapping, lora: Lora) -> dict:
  """The tree of adapters as `jax.ShapeDtypeStruct`s."""
  found = {}
  for path, kernel in kernels(params, lora.targets).items():
    stack, inputs, outputs = axes(path, kernel.shape)
    module = path.removesuffix("/kernel")
    for name, shape in (
      ("a", (*stack, *inputs, lora.rank)),
      ("b", (*stack, lora.rank, *outputs)),
    ):
      found[f"{module}/{name}"] = jax.ShapeDtypeStruct(shape, jnp.float32)
  return unflatten_dict(found, sep="/")


def init(key: jax.Array, params: Mapping, lora: Lora) -> dict:
  """New adapters, float32: A uniform within ±1/√in, B = 0, as PEFT's.

  So they change nothing at first.
  params: arrays or shapes of the base.
  """
  found = flatten_dict(shapes(params, lora), sep="/")
  keys = jax.random.split(key, len(found))
  out = {}
  for one, (path, x) in zip(keys, found.items()):
    out[path] = jnp.zeros(x.shape, x.dtype)
    if path.endswith("/a"):
      _, inputs, _ = axes(path, x.shape[:-1] + (1,))
      bound = math.prod(inputs) ** -0.5
      out[path] = jax.random.uniform(
        one, x.shape, x.dtype, minval=-bound, maxval=bound
      )
  return unflatten_dict(out, sep="/")


def without(params: Mapping) -> dict:
  """The base alone: the reference of a run that trains adapters."""
  return {name: x for name, x in params.items() if name != "lora"}


def scaled(adapters: Mapping, lora: Lora) -> dict:
  """Adapters whose product A·B is what is added to a kernel."""
  flat = flatten_dict(adapters)
  return unflatten_dict(
    {p: x * lora.scale if p[-1] == "b" else x for p, x in flat.items()}
  )


def merge(params: Mapping, lora: Lora) -> dict:
  """The base with its adapters in the kernels: W + α/r·A·B, to export.

  In float32 at least, then in the kernel's type. Not for training: there the
  product would cost a gradient of the size of every kernel.
  """
  base = flatten_dict(without(params), sep="/")
  adapters = flatten_dict(scaled(params["lora"], lora), sep="/")
  for path in base:
    module = path.removesuffix("/kernel")
    if f"{module}/a" in adapters:
      kernel, *pair = (
        at_least_float32(jnp.asarray(x))
        for x in (base[path], adapters[f"{module}/a"], adapters[f"{module}/b"])
      )
      product = jax.vmap(_product) if path.startswith("layers/") else _product
      base[path] = (kernel + product(*pair)).astype(base[path].dtype)
  return unflatten_dict(base, sep="/")


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
  """[*in, r], [r, *out] → [*in, *out]."""
  return jnp.tensordot(a, b, 1, precision="highest")
