"""Attention over documents, windows and caches; rotary embedding."""

import math
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
  """Casts up to float32; float64 stays, so that parity runs in float64."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class Past(NamedTuple):
  """Keys and values of earlier tokens, where each stands, which document.

  A slot not yet written has document -1, which no token has.
  """

  keys: Float[Array, "B K C N"]
  values: Float[Array, "B K C N"]
  positions: Int[Array, "B C"]
  documents: Int[Array, "B C"]


def visible(
  query_positions: Int[Array, "B Q"],
  key_positions: Int[Array, "B S"],
  query_documents: Int[Array, "B Q"],
  key_documents: Int[Array, "B S"],
  window: int,
  query_parents: Int[Array, "B Q"] | None = None,
) -> Bool[Array, "B Q S"]:
  """Who sees whom: same document, not later, within `window` tokens (0 = all).

  query_parents: the document that each query's own one continues, 0 for none;
    it is seen as well. Padding (document 0) sees padding only, so no softmax is
    over nothing.
  """
  distance = query_positions[:, :, None] - key_positions[:, None, :]
  same = query_documents[:, :, None] == key_documents[:, None, :]
  if query_parents is not None:
    parents = jnp.where(query_parents > 0, query_parents, query_documents)
    same |= parents[:, :, None] == key_documents[:, None, :]
  see = same & (distance >= 0)
  return see & (distance < window) if window else see


BLOCKS = 8  # of queries at most: each is compiled apart
BLOCK = 64  # queries at least
KEPT = "attended"  # what comes out, to a policy that may keep it


def attend(
  queries: Float[Array, "B L H N"],
  keys: Float[Array, "B K L N"],
  values: Float[Array, "B K L N"],
  positions: Int[Array, "B L"],
  documents: Int[Array, "B L"],
  past: Past | None,
  parents: Int[Array, "B L"] | None = None,
  *,
  window: int,
  scale: float,
  softcap: float,
) -> Float[Array, "B L H N"]:
  """Grouped-query attention (Vaswani et al. 2017; Ainslie et al. 2023).

  softmax(softcap·tanh(q·k·scale/softcap)) v over the keys that `visible`
  allows, without the cap where softcap is 0 (Gemma 2); keys are those of the
  L tokens themselves and of `past`. Query head h reads key/value head
  h // (H / K). The softmax is float32 whatever the inputs are.

  No token sees a later place of its row, so a block of queries is scored
  against the keys up to its end only: nearly half of the square is never
  computed.
  """
  L = queries.shape[1]
  size = max(BLOCK, -(-L // BLOCKS))
  out = []
  for start in range(0, L, size):
    at, seen = slice(start, start + size), slice(0, start + size)
    place = (positions[:, at], documents[:, at])
    own = None if parents is None else parents[:, at]
    see = visible(
      place[0], positions[:, seen], place[1], documents[:, seen], window, own
    )
    parts = [(keys[:, :, seen], values[:, :, seen], see)]
    if past is not None:
      see = visible(place[0], past.positions, place[1], past.documents, window)
      parts.append((past.keys, past.values, see))
    # Scores are made again in the backward pass rather than kept.
    block = jax.checkpoint(partial(_attend, scale=scale, softcap=softcap))
    out.append(block(queries[:, at], parts))
  found = jnp.concatenate(out, axis=1) if len(out) > 1 else out[0]
  return checkpoint_name(found, KEPT)


def _attend(queries, parts, *, scale: float, softcap: float):
  """One block of queries over parts of (keys, values, see [B, Q, S])."""
  B, Q, H, N = queries.shape
  K = parts[0][0].shape[1]
  wide = jnp.promote_types(queries.dtype, jnp.float32)
  # Heads before tokens, and the group of a key head beside the queries: plain
  # batched matrix products, which every backend has a fast kernel for.
  grouped = queries.reshape(B, Q, K, H // K, N).transpose(0, 2, 3, 1, 4)
  grouped = grouped.reshape(B, K, H // K * Q, N)

  def scored(keys, see):
    scores = jnp.einsum(
      "bkqn,bksn->bkqs", grouped, keys, preferred_element_type=wide
    ).reshape(B, K, H // K, Q, -1)
    scores = scores * scale
    if softcap:
      scores = softcap * jnp.tanh(scores / softcap)
    return jnp.where(see[:, None, None], scores, -1e30)

  def weighed(weights, values):
    weights = weights.astype(values.dtype).reshape(B, K, H // K * Q, -1)
    return jnp.einsum(
      "bkqs,bksn->bkqn", weights, values, preferred_element_type=wide
    ).reshape(B, K, H // K, Q, N)

  scores = [scored(keys, see) for keys, _, see in parts]
  tops = [s.max(-1, keepdims=True) for s in scores]
  top = jax.lax.stop_gradient(reduce(jnp.maximum, tops))
  weights = [jnp.exp(s - top) for s in scores]
  # Divided after the product: [Q, N] entries, not [Q, S].
  total = sum(w.sum(-1)[..., None] for w in weights)
  out = sum(weighed(w, part[1]) for w, part in zip(weights, parts)) / total
  out = out.astype(queries.dtype)
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
  length: Int[Array, "*b"],
) -> Float[Array, "*b R"]:
  """Rotary frequencies, radians per token; R = size / 2.

  `length` (tokens) is that of the document a token stands in: "dynamic" NTK
  scaling depends on it, so that no document changes another.
  """
  ramp = jnp.arange(0, size, 2, dtype=jnp.float32) / size
  base = jnp.full(length.shape, theta, jnp.float32)
  if kind == "dynamic":
    longest = jnp.maximum(length, original_length) / original_length
    stretch = factor * longest - (factor - 1)
    base = base * stretch ** (size / (size - 2))
  freq = 1.0 / base[..., None] ** ramp
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
