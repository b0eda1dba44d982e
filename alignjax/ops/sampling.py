"""Filters on logits, and draws from them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 128  # tokens of the vocabulary that are looked at together


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


def greedy(logits: Float[Array, "B V"]) -> Int[Array, "B"]:
  """The likeliest token, the first of equals.

  A maximum and a search: on a CPU a third of the time of an argmax.
  """
  places = jnp.arange(logits.shape[-1], dtype=jnp.int32)
  top = logits.max(-1, keepdims=True)
  return jnp.where(logits >= top, places, places[-1]).min(-1)


def draw(
  logits: Float[Array, "B V"],
  key: jax.Array,
  rows: Int[Array, "B"],
  positions: Int[Array, "B"],
) -> Int[Array, "B"]:
  """One token a row from softmax(logits).

  The key of a draw is folded from (row id, position): neither the batch a row
  is in nor the mesh changes its sample. Two numbers a draw, for a block of the
  vocabulary by its mass and a token in it by its probability (inverse
  transform sampling), where Gumbel's way takes one for each token.
  """
  B, V = logits.shape

  def numbers(row, position):
    k = jax.random.fold_in(jax.random.fold_in(key, row), position)
    return jax.random.uniform(k, (2,), jnp.float32)

  u = jax.vmap(numbers)(rows, positions)
  p = jnp.exp(logits - logits.max(-1, keepdims=True))
  p = jnp.pad(p, ((0, 0), (0, -V % BLOCK))).reshape(B, -1, BLOCK)
  block = _first(p.sum(-1), u[:, 0])
  inside = jnp.take_along_axis(p, block[:, None, None], axis=1)[:, 0]
  return block * BLOCK + _first(inside, u[:, 1])


def _first(mass: Float[Array, "B n"], u: Float[Array, "B"]) -> Int[Array, "B"]:
  """Where the sums of masses pass u times the whole; never where mass is 0."""
  sums = jnp.where(mass > 0, jnp.cumsum(mass, -1), 0.0)
  # Of an argmax over truth values the first: u < 1, so there is one.
  past = sums > u[:, None] * sums.max(-1, keepdims=True)
  return jnp.argmax(past, axis=-1).astype(jnp.int32)
