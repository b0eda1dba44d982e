"""Masked sums."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from alignjax.ops.attention import at_least_float32
from alignjax.types import Term


def term(
  x: Float[Array, "*b"],
  mask: Bool[Array, "*b"],
  weights: Float[Array, "*b"] | None = None,
) -> Term:
  """(Σ w·x where mask, Σ w where mask), at least float32; w = 1 by default.

  What stands where the mask is False, NaN included, changes neither the value
  nor the gradient.
  """
  x = at_least_float32(x)
  w = mask.astype(x.dtype)
  if weights is not None:
    w = jnp.where(mask, weights.astype(x.dtype), 0.0)
  return Term(sum=(jnp.where(mask, x, 0.0) * w).sum(), weight=w.sum())
