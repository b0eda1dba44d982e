"""Batches in parts, so that one part at a time is in memory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def microbatches(batch, k: int):
  """A tree of [B, …] → [k, B/k, …]; part i takes rows i, i + k, i + 2k, …

  So every device keeps its own rows.
  """

  def one(x):
    return x.reshape(x.shape[0] // k, k, *x.shape[1:]).swapaxes(0, 1)

  return jax.tree.map(one, batch)


def summed(one: Callable, parts):
  """The sum of one(*part) over the parts, one at a time, at least float32."""
  first = jax.tree.map(lambda x: x[0], parts)
  shapes = jax.eval_shape(one, *first)

  def zero(x):
    real = jnp.issubdtype(x.dtype, jnp.floating)
    wide = jnp.promote_types(x.dtype, jnp.float32) if real else x.dtype
    return jnp.zeros(x.shape, wide)

  zeros = jax.tree.map(zero, shapes)

  def body(carry, part):
    return jax.tree.map(jnp.add, carry, one(*part)), None

  return jax.lax.scan(body, zeros, parts)[0]
