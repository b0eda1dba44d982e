"""Masked sums."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from alignjax.ops.attention import at_least_float32
from alignjax.types import Term


def term(x: Float[Array, "*b"], mask: Bool[Array, "*b"]) -> Term:
  """(Σ x where mask, number of places), at least float32.

  What stands where the mask is False, NaN included, changes neither the value
  nor the gradient.
  """
  x = at_least_float32(x)
  return Term(
    sum=jnp.where(mask, x, 0.0).sum(), weight=mask.sum().astype(x.dtype)
  )
