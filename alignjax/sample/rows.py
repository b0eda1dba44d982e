"""What is asked and what is answered: prompts and samples, padded."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float, Int


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


def blank(rows: int, room: int, dtype: DTypeLike) -> Samples:
  """Samples without a token, with room for some; dtype: of logps."""
  return Samples(
    jnp.zeros((rows, room), jnp.int32),
    jnp.zeros((rows, room), dtype),
    jnp.zeros(rows, jnp.int32),
    jnp.zeros(rows, jnp.int32),
  )


def unfinished(samples: Samples) -> Bool[Array, "B"]:
  """Which rows have neither stopped nor filled their room."""
  room = samples.tokens.shape[1]
  return (samples.stopped == 0) & (samples.lengths < room)


def extended(
  samples: Samples,
  token: Int[Array, "B"],
  logp: Float[Array, "B"],
  stop: Sequence[int],
) -> Samples:
  """Samples with one token more in every row that is unfinished."""
  tokens, logps, lengths, stopped = samples
  live = unfinished(samples)
  here = live[:, None] & (jnp.arange(tokens.shape[1]) == lengths[:, None])
  ended = live & jnp.isin(token, jnp.asarray(stop, jnp.int32))
  return Samples(
    jnp.where(here, token[:, None], tokens),
    jnp.where(here, logp[:, None], logps),
    lengths + live,
    stopped | ended.astype(jnp.int32),
  )
