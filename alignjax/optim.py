"""Optimizers as one chain of gradient transformations (optax)."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from optax import contrib

Schedule = Callable[[jax.Array], jax.Array]
Patterns = Sequence[str]


VALUES = ("critic", "value_head")  # parameters that say values, and no tokens


def cosine(lr: float, steps: int, end: float) -> Schedule:
  """Half a cosine from lr to end·lr (Loshchilov & Hutter 2017)."""
  return optax.cosine_decay_schedule(lr, max(steps, 1), end)


def linear(lr: float, steps: int, end: float) -> Schedule:
  """A line from lr to end·lr."""
  return optax.linear_schedule(lr, lr * end, max(steps, 1))


def constant(lr: float, steps: int, end: float) -> Schedule:
  """lr throughout; `end` must be 1, as it would have no effect."""
  if end != 1.0:
    raise ValueError(
      f"optim.end = {end} has no effect on a constant schedule; set it to 1."
    )
  return optax.constant_schedule(lr)


SCHEDULES = {"cosine": cosine, "linear": linear, "constant": constant}


def schedule(
  name: str, *, lr: float, warmup: int, steps: int, end: float
) -> Schedule:
  """Learning rate by step: a linear warm-up over `warmup` steps, then `name`.

  The first step already has a rate above 0: lr / warmup.
  """
  if name not in SCHEDULES:
    raise ValueError(
      f"optim.schedule = {name!r} is unknown; one of {', '.join(SCHEDULES)}."
    )
  if warmup >= steps and warmup:
    raise ValueError(
      f"optim.warmup = {warmup} is not below train.steps = {steps}."
    )
  after = SCHEDULES[name](lr, steps - warmup, end)
  if not warmup:
    return after
  rise = optax.linear_schedule(lr / warmup, lr, max(warmup - 1, 1))
  return optax.join_schedules([rise, after], [warmup])


def adamw(params, *, b1: float, b2: float, eps: float):
  """Adam's direction (Kingma & Ba 2015); decay is added by `make`."""
  return optax.scale_by_adam(b1, b2, eps)


def lion(params, *, b1: float, b2: float):
  """The sign of an interpolated momentum (Chen et al. 2023)."""
  return optax.scale_by_lion(b1, b2)


def adafactor(params, *, decay: float, min_size: int):
  """Factored second moments, updates clipped to RMS 1 (Shazeer & Stern 2018).

  Steps are absolute, not relative to the parameter's scale.
  """
  return optax.chain(
    optax.scale_by_factored_rms(
      decay_rate=decay, min_dim_size_to_factor=min_size
    ),
    optax.clip_by_block_rms(1.0),
  )


def sgd(params, *, momentum: float):
  """Gradient descent with momentum."""
  return optax.trace(momentum)


def muon(params, *, b1: float, b2: float, eps: float, beta: float):
  """Orthogonalised momentum for kernels, Adam for the rest (Jordan 2024).

  Updates of a kernel are scaled by 0.2·√max(in, out), so that learning rate
  and decay mean what they mean for Adam (Liu et al. 2025, equation 4).
  """
  labels = _by_path(
    params, lambda path, x: "muon" if path.endswith("/kernel") else "adam"
  )
  matrices = optax.chain(
    contrib.scale_by_muon(
      beta=beta,
      weight_dimension_numbers=lambda tree: _by_path(tree, _matrix_axes),
    ),
    optax.stateless(
      lambda updates, _: _by_path(
        updates, lambda path, x: x * 0.2 * max(_matrix_shape(path, x)) ** 0.5
      )
    ),
  )
  return optax.partition(
    {"muon": matrices, "adam": optax.scale_by_adam(b1, b2, eps)}, labels
  )


OPTIMIZERS = {
  "adamw": adamw,
  "adafactor": adafactor,
  "lion": lion,
  "muon": muon,
  "sgd": sgd,
}


def make(
  params,
  *,
  name: str,
  clip: float,
  weight_decay: float,
  no_decay: Patterns,
  lr_factors: Sequence[tuple[str, float]],
  options: Mapping[str, float | int],
  moment_dtype: str = "float32",
) -> optax.GradientTransformation:
  """The optimizer of a parameter tree (arrays or ShapeDtypeStructs).

  Clip the global norm to `clip` (0: never), take the direction of `name`, add
  decoupled decay (Loshchilov & Hutter 2019), turn downhill, scale by the first
  matching factor of `lr_factors`. The learning rate is the step's to multiply
  by. All arithmetic is float32, whatever parameters are.

  moment_dtype: what moments are kept in between steps. In bfloat16 they take
    half the memory; a second moment then stands still where it should move by
    less than 1/256 of itself, so b2 must be 0.99 or less to follow at all.

  Raises ValueError for an unknown name or option, or a pattern that matches
  no parameter.
  """
  if name not in OPTIMIZERS:
    raise ValueError(
      f"optim.name = {name!r} is unknown; one of {', '.join(OPTIMIZERS)}."
    )
  signature = inspect.signature(OPTIMIZERS[name]).parameters
  wanted = [p for p in signature if p != "params"]
  if sorted(options) != sorted(wanted):
    raise ValueError(
      f"Options of optim.{name} are {', '.join(wanted)}; "
      f"the config gives {', '.join(options) or 'none'}."
    )
  matched(params, no_decay, "optim.no_decay")
  matched(params, [p for p, _ in lr_factors], "optim.lr_factors")
  decayed = _by_path(params, lambda path, _: not _any(no_decay, path))
  chain = [clipped(clip)] if clip else []
  chain.append(OPTIMIZERS[name](params, **options))
  if weight_decay:
    chain.append(optax.add_decayed_weights(weight_decay, decayed))
  chain.append(optax.scale(-1.0))
  if lr_factors:

    def factor(path, x):
      hits = [f for p, f in lr_factors if re.fullmatch(p, path)]
      return x * hits[0] if hits else x

    chain.append(optax.stateless(lambda updates, _: _by_path(updates, factor)))
  return _kept(optax.chain(*chain), moment_dtype)


def clipped(norm: float) -> optax.GradientTransformation:
  """Gradients times min(1, norm / their global norm) (Pascanu et al. 2013).

  A factor, not optax's quotient of each entry: that would be an array of its
  own beside the gradients.
  """

  def scaled(updates, _):
    factor = norm / jnp.maximum(optax.global_norm(updates), norm)
    return jax.tree.map(lambda x: x * factor.astype(x.dtype), updates)

  return optax.stateless(scaled)


def _kept(
  inner: optax.GradientTransformation, dtype: str
) -> optax.GradientTransformation:
  """The same in float32, with moments in `dtype` between updates."""

  def init(params):
    return cast(inner.init(cast(params, "float32")), dtype)

  def update(updates, state, params=None):
    wide = [cast(tree, "float32") for tree in (updates, state, params)]
    updates, state = inner.update(*wide)
    return updates, cast(state, dtype)

  return optax.GradientTransformation(init, update)


def cast(tree, dtype: str, but: Patterns = ()):
  """Arrays of real numbers in another dtype, but for some parameter paths."""

  def one(path, x):
    real = jnp.issubdtype(x.dtype, jnp.floating) and x.ndim
    kept = but and _any(but, _name(path))
    return x.astype(dtype) if real and not kept else x

  return jax.tree_util.tree_map_with_path(one, tree)


def matched(params, patterns: Patterns, key: str) -> None:
  """Raises where a pattern matches no parameter path."""
  paths = list(_paths(params))
  for pattern in patterns:
    if not any(re.fullmatch(pattern, path) for path in paths):
      raise ValueError(
        f"{key}: {pattern!r} matches no parameter.\n"
        f"Paths look like {paths[0]}, {paths[-1]}."
      )


def split(params, frozen: Patterns):
  """(trained, frozen) trees of a parameter tree, each without the other's.

  Only the trained tree is differentiated, has moments, and is updated.
  """
  matched(params, frozen, "optim.frozen")

  flat = flatten_dict(params, sep="/")
  trained = {k: v for k, v in flat.items() if not _any(frozen, k)}
  held = {k: v for k, v in flat.items() if k not in trained}
  if not trained:
    raise ValueError("optim.frozen matches every parameter; nothing is left.")
  return unflatten_dict(trained, sep="/"), unflatten_dict(held, sep="/")


def values_alone(tree: dict, when: jax.Array) -> dict:
  """A tree like the parameters; where `when`, 0 but for what says values."""

  def bare(x):
    return jnp.where(when, jnp.zeros_like(x), x)

  return {
    k: x if k in VALUES else jax.tree.map(bare, x) for k, x in tree.items()
  }


def merge(trained: dict, frozen: dict) -> dict:
  """The inverse of `split`."""
  return unflatten_dict(flatten_dict(trained) | flatten_dict(frozen))


def _any(patterns: Patterns, path: str) -> bool:
  return any(re.fullmatch(p, path) for p in patterns)


def _name(path) -> str:
  return "/".join(str(k.key) for k in path)


def _paths(tree):
  return (_name(p) for p, _ in jax.tree_util.tree_flatten_with_path(tree)[0])


def _by_path(tree, f):
  return jax.tree_util.tree_map_with_path(lambda p, x: f(_name(p), x), tree)


def _matrix_axes(path: str, x):
  """A kernel's input and output axes; a leading stack of layers is a batch."""
  n = x.ndim
  if "/mlp/" in path:
    inner, outer = (n - 2,), (n - 1,)
  elif "/out/" in path:
    inner, outer = (n - 3, n - 2), (n - 1,)
  else:
    inner, outer = (n - 3,), (n - 2, n - 1)
  return contrib.MuonDimensionNumbers(inner, outer)


def _matrix_shape(path: str, x) -> tuple[int, int]:
  axes = _matrix_axes(path, x)
  return tuple(
    math.prod(x.shape[a] for a in over)
    for over in (axes.reduction_axis, axes.output_axis)
  )
