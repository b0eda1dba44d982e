"""Noise on embeddings."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def neftune(
  keys: Key[Array, "B"],
  documents: Int[Array, "B L"],
  *,
  width: int,
  alpha: float,
) -> Float[Array, "B L width"]:
  """Uniform in ±α/√(n·D) for each token of a document of n tokens (Jain 2024).

  Section 2.2. keys: one a row, so that neither mesh nor microbatches change
  what a row is given. Padding gets none.
  """
  length = documents.shape[1]

  def one(key, ids):
    n = jnp.bincount(ids, length=length + 1)[ids]
    size = jnp.where(ids > 0, alpha / jnp.sqrt(n * width), 0.0)
    draw = jax.random.uniform(key, (length, width), minval=-1, maxval=1)
    return draw * size[:, None]

  return jax.vmap(one)(keys, documents)
