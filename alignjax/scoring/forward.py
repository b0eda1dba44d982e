"""Scores of sequences: forward passes of fixed shapes, rows over all devices.

Sequences are sorted into lengths of powers of two, so that few programs are
compiled and little is padded; equal ones are scored once.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np
from jaxtyping import Float

from alignjax import sharding
from alignjax.data.loader import InOrder, Shape
from alignjax.data.rows import Rows
from alignjax.models.lm import LM
from alignjax.types import Row

SHORTEST = 64  # tokens
Progress = Callable[[int, int], None]


def placement() -> sharding.Placement:
  """Rows over all devices, and the whole model on each."""
  return sharding.Placement(sharding.make_mesh((-1, 1, 1)), [(".*", ())], {})


def batch_size(batch: int, place: sharding.Placement) -> int:
  """Completions a batch; 0: eight a device.

  Raises ValueError where they do not divide over the devices.
  """
  size = batch or 8 * place.row_multiple
  if size < 1 or size % place.row_multiple:
    raise ValueError(
      f"--batch = {batch} completions do not divide over "
      f"{place.row_multiple} devices.\n"
      f"Give a multiple of {place.row_multiple}, or 0 for eight a device."
    )
  return size


def score(
  lm: LM,
  params: dict,
  sequences: Sequence[np.ndarray],
  *,
  batch: int,
  place: sharding.Placement,
  progress: Progress,
) -> Float[np.ndarray, "n k"]:
  """What each of k heads says at the end of each sequence, float32.

  params: replicated on `place`. batch: sequences at a time. progress: called
    with the batches done and all there are.
  """
  keys = [x.tobytes() for x in sequences]
  distinct = dict(zip(keys, sequences))
  heads = lm.config.scores
  run = jax.jit(
    lambda params, batch: lm.stats(params, batch, ("score",))["score"],
    out_shardings=place.replicated,
  )
  # Longest first: what does not fit into memory is known at once.
  order = sorted(distinct, key=lambda key: -len(distinct[key]))
  buckets: dict[int, list[bytes]] = {}
  for key in order:
    buckets.setdefault(_padded(len(distinct[key])), []).append(key)
  batches = {}
  for length, held in buckets.items():
    rows = Rows.of(_row(distinct[key]) for key in held)
    batches[length] = InOrder(
      {"": rows}, batch=batch, shape=Shape(length, 1, 1)
    )
  total, done = sum(map(len, batches.values())), 0
  found: dict[bytes, np.ndarray] = {}
  for length, held in buckets.items():
    parts = []
    for step in range(len(batches[length])):
      make = partial(batches[length].batch, step)
      rows = sharding.put_rows(make, batch, place.rows)
      parts.append(run(params, rows))
      if step:  # the devices work on while the host takes the one before
        parts[-2] = np.asarray(parts[-2])
      done += 1
      progress(done, total)
    found |= zip(held, np.concatenate(parts).reshape(-1, heads))
  return np.array([found[key] for key in keys], np.float32)


def _padded(length: int) -> int:
  return max(SHORTEST, 1 << (length - 1).bit_length())


def _row(tokens: np.ndarray) -> Row:
  """A completion of one token, the last: where its score is read."""
  completions = np.zeros(len(tokens), np.int32)
  completions[-1] = 1
  return Row(tokens, completions, "")
