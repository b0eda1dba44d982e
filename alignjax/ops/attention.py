"""Attention over documents, windows and caches; rotary embedding."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
  """Casts up to float32; float64 stays, so that parity runs in float64."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def visible(
  query_positions: Int[Array, "B Q"],
  key_positions: Int[Array, "B S"],
  query_documents: Int[Array, "B Q"],
  key_documents: Int[Array, "B S"],
  window: int,
) -> Bool[Array, "B Q S"]:
  """Who sees whom: same document, not later, within `window` tokens (0 = all).

  Padding (document 0) sees padding only, so no softmax is over nothing.
  """
  distance = query_positions[:, :, None] - key_positions[:, None, :]
  see = (query_documents[:, :, None] == key_documents[:, None, :]) & (
    distance >= 0
  )
  return see & (distance < window) if window else see


BLOCKS = 8  # of queries at most: each is compiled apart
BLOCK = 64  # queries at least


def attend(
  queries: Float[Array, "B Q H N"],
  keys: Float[Array, "B S K N"],
  values: Float[Array, "B S K N"],
  query_positions: Int[Array, "B Q"],
  key_positions: Int[Array, "B S"],
  query_documents: Int[Array, "B Q"],
  key_documents: Int[Array, "B S"],
  *,
  window: int,
  scale: float,
  softcap: float,
) -> Float[Array, "B Q H N"]:
  """Grouped-query attention (Vaswani et al. 2017; Ainslie et al. 2023).

  softmax(softcap·tanh(q·k·scale/softcap)) v over the keys that `visible`
  allows, without the cap where softcap is 0 (Gemma 2). Query head h reads
  key/value head h // (H / K). The softmax is float32 whatever the inputs are.

  Where queries and keys are the same L tokens, no token sees a later place of
  its row, so a block of queries is scored against the keys up to its end only:
  nearly half of the square is never computed.
  """
  Q, S = queries.shape[1], keys.shape[1]
  size = max(BLOCK, -(-Q // BLOCKS)) if Q == S else Q
  out = []
  for start in range(0, Q, size):
    at = slice(start, min(start + size, Q))
    seen = slice(0, at.stop if Q == S else S)
    see = visible(
      query_positions[:, at],
      key_positions[:, seen],
      query_documents[:, at],
      key_documents[:, seen],
      window,
    )
    block = (queries[:, at], keys[:, seen], values[:, seen])
    # Scores are made again in the backward pass rather than kept.
    one = jax.checkpoint(partial(_attend, scale=scale, softcap=softcap))
    out.append(one(*block, see))
  return jnp.concatenate(out, axis=1) if len(out) > 1 else out[0]


def _attend(queries, keys, values, see, *, scale: float, softcap: float):
  """One block: queries [B, Q, H, N], see [B, Q, S]."""
  B, Q, H, N = queries.shape
  K = keys.shape[2]
  wide = jnp.promote_types(queries.dtype, jnp.float32)
  # Heads before tokens, and the group of a key head beside the queries: plain
  # batched matrix products, which every backend has a fast kernel for.
  grouped = queries.reshape(B, Q, K, H // K, N).transpose(0, 2, 3, 1, 4)
  grouped = grouped.reshape(B, K, H // K * Q, N)
  scores = jnp.einsum(
    "bkqn,bskn->bkqs", grouped, keys, preferred_element_type=wide
  ).reshape(B, K, H // K, Q, -1)
  scores = scores * scale
  if softcap:
    scores = softcap * jnp.tanh(scores / softcap)
  scores = jnp.where(see[:, None, None], scores, -1e30)
  top = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
  weights = jnp.exp(scores - top)
  # Divided after the product: [Q, N] entries, not [Q, S].
  total = weights.sum(-1)[..., None]
  weights = weights.astype(values.dtype).reshape(B, K, H // K * Q, -1)
  out = jnp.einsum(
    "bkqs,bskn->bkqn", weights, values, preferred_element_type=wide
  ).reshape(B, K, H // K, Q, N)
  out = (out / total).astype(queries.dtype)
  return out.transpose(0, 3, 1, 2, 4).reshape(B, Q, H, N)


def frequencies(
  size: int,
  *,
  theta: float,
  kind: str,
  factor: float,
  low_freq: float,
  high_freq: float,
  original_length: int,
  length: Int[Array, "B"],
) -> Float[Array, "B R"]:
  """Rotary frequencies of each row, radians per token; R = size / 2.

  `length` (tokens) is the row's longest document: "dynamic" NTK scaling
  depends on it, row by row, so that no row changes another.
  """
  ramp = jnp.arange(0, size, 2, dtype=jnp.float32) / size
  base = jnp.full(length.shape, theta, jnp.float32)
  if kind == "dynamic":
    longest = jnp.maximum(length, original_length) / original_length
    stretch = factor * longest - (factor - 1)
    base = base * stretch ** (size / (size - 2))
  freq = 1.0 / base[:, None] ** ramp
  if kind == "linear":
    freq = freq / factor
  if kind == "llama3":
    wavelength = 2 * math.pi / freq
    smooth = (original_length / wavelength - low_freq) / (high_freq - low_freq)
    smooth = jnp.clip(smooth, 0.0, 1.0)
    freq = (1 - smooth) * freq / factor + smooth * freq
  return freq


def rotate(
  x: Float[Array, "B L H N"],
  cos: Float[Array, "B L R"],
  sin: Float[Array, "B L R"],
) -> Float[Array, "B L H N"]:
  """Rotates the first 2R of N entries, halves paired (Su et al. 2021)."""
  R = cos.shape[-1]
  wide = at_least_float32(x)
  first, second, rest = (
    wide[..., :R],
    wide[..., R : 2 * R],
    x[..., 2 * R :],
  )
  cos, sin = cos[:, :, None], sin[:, :, None]
  turned = jnp.concatenate(
    [first * cos - second * sin, second * cos + first * sin], axis=-1
  )
  return jnp.concatenate([turned.astype(x.dtype), rest], axis=-1)
