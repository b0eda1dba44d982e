"""Several documents in one row: planned globally from lengths alone."""

import bisect
import math
from collections.abc import Sequence

import numpy as np

from alignjax.data.loader import trained
from alignjax.types import Row


def plan(
  lengths: Sequence[int],
  counts: Sequence[int],
  *,
  length: int,
  predicted: int,
) -> list[list[int]]:
  """Which rows share a packed row: best fit, longest first.

  lengths, counts: tokens, and trained tokens, of each row. A packed row has at
    most `length` tokens, `predicted` of them trained. Deterministic: of equal
    rows the earlier is placed first. Every row is placed once.

  Raises ValueError for a row that fits nowhere.
  """
  bins: list[list[int]] = []
  room: list[tuple[int, int, int]] = []  # (tokens, -trained left, bin), sorted
  for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
    n, t = lengths[i], counts[i]
    if n > length or t > predicted:
      raise ValueError(
        f"A row of {n} tokens, {t} of them trained, does not fit into a packed "
        f"row of {length} and {predicted}.\nRaise data.packing, or lower "
        "data.max_length."
      )
    at = bisect.bisect_left(room, (n,))
    while at < len(room) and -room[at][1] < t:
      at += 1
    if at == len(room):
      bins.append([i])
      left = (length - n, t - predicted, len(bins) - 1)
    else:
      tokens, used, b = room.pop(at)
      bins[b].append(i)
      left = (tokens - n, used + t, b)
    bisect.insort(room, left)
  return bins


def join(rows: Sequence[Row]) -> Row:
  """Rows laid one after another, each a document of its own.

  Completion ids are made distinct; the first token of a document is never
  trained, as what stands before it is another document's.
  """
  documents, completions, last = [], [], 0
  for k, row in enumerate(rows):
    documents.append(np.full(len(row.tokens), k + 1, np.int32))
    own = np.where(row.completions > 0, row.completions + last, 0)
    own[:1] = 0
    completions.append(own.astype(np.int32))
    last = max(last, int(own.max(initial=0)))
  weights = None
  if any(row.weights is not None for row in rows):
    ones = [np.ones(len(row.tokens), np.float32) for row in rows]
    weights = np.concatenate(
      [w if r.weights is None else r.weights for r, w in zip(rows, ones)]
    )
  return Row(
    np.concatenate([row.tokens for row in rows]),
    np.concatenate(completions),
    " + ".join(row.origin for row in rows),
    np.concatenate(documents),
    weights,
  )


def packed(rows: Sequence[Row], length: int, predicted: int) -> list[Row]:
  """Rows packed as `plan` says."""
  lengths = [len(row.tokens) for row in rows]
  counts = [len(trained(row)) for row in rows]
  bins = plan(lengths, counts, length=length, predicted=predicted)
  return [join([rows[i] for i in b]) for b in bins]


def packed_shape(
  rows: Sequence[Row], least: tuple[int, int], length: int
) -> tuple[int, int]:
  """(length, predicted) of packed rows of about `length` tokens.

  `predicted` is what a row of average rows has trained, and a tenth: where
  each row could be all trained, the readout would be over padding. `least` is
  the shape that holds every row alone.
  """
  tokens = sum(len(row.tokens) for row in rows)
  share = sum(len(trained(row)) for row in rows) / tokens
  predicted = max(least[1], math.ceil(1.1 * share * length))
  if length < least[0]:
    raise ValueError(
      f"data.packing = {length} is less than the longest row, {least[0]} "
      "tokens.\nRaise it, or lower data.max_length."
    )
  return length, -(-predicted // 8) * 8
