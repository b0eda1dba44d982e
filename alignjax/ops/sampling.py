"""Filters on logits, and draws from them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def top_k(logits: Float[Array, "*b V"], k: int) -> Float[Array, "*b V"]:
  """Keeps the k largest logits; ties with the k-th stay. k = 0 keeps all."""
  if not k:
    return logits
  floor = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
  return jnp.where(logits >= floor, logits, -jnp.inf)


def top_p(logits: Float[Array, "*b V"], p: float) -> Float[Array, "*b V"]:
  """Keeps the smallest set of tokens with mass ≥ p (Holtzman et al. 2020).

  The most likely token always stays; p = 1 keeps all.
  """
  if p >= 1.0:
    return logits
  ordered = jnp.sort(logits, axis=-1, descending=True)
  mass = jax.nn.softmax(ordered, axis=-1)
  before = jnp.cumsum(mass, axis=-1) - mass
  kept = jnp.where(before < p, ordered, jnp.inf)
  floor = jnp.minimum(kept.min(-1, keepdims=True), ordered[..., :1])
  return jnp.where(logits >= floor, logits, -jnp.inf)


def min_p(logits: Float[Array, "*b V"], p: float) -> Float[Array, "*b V"]:
  """Keeps tokens at least p times as likely as the likeliest (Nguyen 2024)."""
  if not p:
    return logits
  floor = logits.max(-1, keepdims=True) + jnp.log(p)
  return jnp.where(logits >= floor, logits, -jnp.inf)


def draw(
  logits: Float[Array, "B V"],
  key: jax.Array,
  rows: Int[Array, "B"],
  positions: Int[Array, "B"],
) -> Int[Array, "B"]:
  """One token a row from softmax(logits).

  The key of a draw is folded from (row id, position): neither the batch a row
  is in nor the mesh changes its sample.
  """

  def one(logits, row, position):
    k = jax.random.fold_in(jax.random.fold_in(key, row), position)
    return jax.random.categorical(k, logits)

  return jax.vmap(one)(logits, rows, positions)
