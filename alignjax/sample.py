"""Sampling inside jit: prefill, then one token a step with a KV cache."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from alignjax.models.lm import LM, Params
from alignjax.ops import sampling
from alignjax.ops.readout import logits_of


class Samples(NamedTuple):
  """Sampled completions, padded with 0 after `lengths` tokens.

  logps: log softmax(logits / temperature) of each token before any filter, in
    nats (temperature 1 where decoding is greedy).
  lengths: tokens of each completion, its stop token included.
  stopped: whether it ended with a stop token.
  """

  tokens: Int[Array, "B T"]
  logps: Float[Array, "B T"]
  lengths: Int[Array, "B"]
  stopped: Int[Array, "B"]


class Prompts(NamedTuple):
  """Right-padded prompts; `rows` are ids that choose the sampling keys."""

  tokens: Int[Array, "B L"]
  lengths: Int[Array, "B"]
  rows: Int[Array, "B"]


def prompts_of(
  ids: Sequence[Sequence[int]], *, samples: int, multiple: int, rows: int
) -> Prompts:
  """Pads token lists to a common length, each repeated `samples` times.

  The length is rounded up to `multiple`, so that few shapes are compiled; the
  number of rows to one of `rows`, so that they divide over a mesh (what is
  added repeats the first prompt, under row ids of its own).
  """
  if any(not len(x) for x in ids):
    raise ValueError("A prompt is empty; sampling needs at least one token.")
  ids = [x for x in ids for _ in range(samples)]
  ids += [ids[0]] * (-len(ids) % rows)
  lengths = np.array([len(x) for x in ids], np.int32)
  longest = -(-max(len(x) for x in ids) // multiple) * multiple
  tokens = np.zeros((len(ids), longest), np.int32)
  for row, x in zip(tokens, ids):
    row[: len(x)] = x
  return Prompts(tokens, lengths, np.arange(len(lengths), dtype=np.int32))


def make_sampler(
  lm: LM,
  *,
  max_tokens: int,
  temperature: float,
  top_k: int,
  top_p: float,
  min_p: float,
  stop: Sequence[int],
) -> Callable[[Params, Prompts, jax.Array], Samples]:
  """(params, prompts, key) → Samples; pure, to be jitted by the caller.

  temperature 0 is greedy. Filters act in the order temperature, top_k, top_p,
  min_p. Decoding ends when every row has stopped or has `max_tokens`.
  """
  for name, value, legal, rule in (
    ("temperature", temperature, temperature >= 0, ">= 0"),
    ("max_tokens", max_tokens, max_tokens >= 1, ">= 1"),
    ("top_k", top_k, top_k >= 0, ">= 0 (0 = all)"),
    ("top_p", top_p, 0 < top_p <= 1, "in (0, 1]"),
    ("min_p", min_p, 0 <= min_p <= 1, "in [0, 1]"),
  ):
    if not legal:
      raise ValueError(f"{name} = {value}; it must be {rule}.")
  rope = lm.config.rope
  T = max_tokens

  def choose(logits, key, rows, positions):
    """Next tokens and their log-probabilities."""
    warm = logits / (temperature or 1.0)
    if temperature:
      kept = sampling.min_p(
        sampling.top_p(sampling.top_k(warm, top_k), top_p), min_p
      )
      token = sampling.draw(kept, key, rows, positions)
    else:
      token = jnp.argmax(logits, axis=-1)
    logp = jax.nn.log_softmax(warm, axis=-1)
    logp = jnp.take_along_axis(logp, token[:, None], axis=1)[:, 0]
    return token.astype(jnp.int32), logp

  def sample(params, prompts, key):
    B, L = prompts.tokens.shape
    if rope is not None and rope.kind == "dynamic":
      if L + T > rope.original_length:
        raise ValueError(
          f"{L} prompt and {T} new tokens pass the {rope.original_length} "
          "after which dynamic rope scaling changes earlier keys.\n"
          "Sample fewer tokens, or use another rope scaling."
        )
    if L + T > lm.config.max_length:
      raise ValueError(
        f"{L} prompt and {T} new tokens pass the model's "
        f"{lm.config.max_length}; shorten the prompt or max_tokens."
      )
    weights, head = lm.cast(params), lm.head(params)
    slots = jnp.arange(L + T)[None]
    lengths = prompts.lengths[:, None]
    # Slot L + t holds the t-th sampled token, at position length + t.
    positions = jnp.where(slots < L, slots, lengths + slots - L)
    prompt = (slots < lengths) | (slots >= L)
    documents = prompt.astype(jnp.int32)

    x, own = lm.extend(
      weights, prompts.tokens, positions[:, :L], documents[:, :L], None
    )
    # Room for T more tokens: keys and values are [..., L, N].
    cache = jax.tree.map(
      lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, T), (0, 0)]), own
    )
    last = jnp.take_along_axis(x, lengths[:, :, None] - 1, axis=1)[:, 0]

    def read(x, t):
      logits = logits_of(x, head, lm.config.final_softcap)
      return choose(logits, key, prompts.rows, prompts.lengths + t)

    def keep(state, token, logp, t):
      """Records the t-th tokens of rows that have not stopped."""
      tokens, logps, length, stopped = state
      live = stopped == 0
      tokens = tokens.at[:, t].set(jnp.where(live, token, 0))
      logps = logps.at[:, t].set(jnp.where(live, logp, 0.0))
      ended = jnp.isin(token, jnp.asarray(stop, jnp.int32)) & live
      return Samples(
        tokens, logps, length + live, stopped | ended.astype(jnp.int32)
      )

    token, logp = read(last, 0)
    blank = Samples(
      jnp.zeros((B, T), jnp.int32),
      jnp.zeros((B, T), logp.dtype),
      jnp.zeros(B, jnp.int32),
      jnp.zeros(B, jnp.int32),
    )
    state = keep(blank, token, logp, 0)

    def unfinished(carry):
      t, _, _, state = carry
      return (t < T) & jnp.any(state.stopped == 0)

    def body(carry):
      t, token, cache, state = carry
      slot = L + t - 1
      written = jnp.where(slots < slot, documents, -1)
      x, own = lm.extend(
        weights,
        token[:, None],
        jax.lax.dynamic_slice_in_dim(positions, slot, 1, axis=1),
        jnp.ones((B, 1), jnp.int32),
        (cache, positions, written),
      )
      # Once a token, outside the layers, which only read: moves one token.
      cache = jax.tree.map(
        lambda c, x: jax.lax.dynamic_update_slice_in_dim(c, x, slot, -2),
        cache,
        own,
      )
      token, logp = read(x[:, 0], t)
      return t + 1, token, cache, keep(state, token, logp, t)

    carry = (jnp.int32(1), token, cache, state)
    return jax.lax.while_loop(unfinished, body, carry)[-1]

  return sample
