"""Several documents in one row: planned globally from lengths alone."""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from alignjax.data import mixture
from alignjax.data.loader import Shape, Table, shape_of
from alignjax.types import Row


def plan(
  lengths: Sequence[int] | np.ndarray,
  counts: Sequence[int] | np.ndarray,
  *,
  length: int,
  predicted: int,
) -> list[list[int]]:
  """Which rows share a packed row: best fit, longest first.

  lengths, counts: tokens, and trained tokens, of each row. A packed row has at
    most `length` tokens, `predicted` of them trained. Deterministic: of equal
    rows the earlier is placed first. Every row is placed once. Of the packed
    rows that have room, the one with the least room for tokens is taken; of
    those the one with the most for trained tokens, then the oldest.

  Time: rows · log(length).

  Raises ValueError for a row that fits nowhere.
  """
  lengths, counts = np.asarray(lengths), np.asarray(counts)
  wide = np.flatnonzero((lengths > length) | (counts > predicted))
  if len(wide):
    n, t = lengths[wide[0]], counts[wide[0]]
    raise ValueError(
      f"A row of {n} tokens, {t} of them trained, does not fit into a packed "
      f"row of {length} and {predicted}.\nRaise data.packing, or lower "
      "data.max_length."
    )
  bins: list[list[int]] = []
  left: list[int] = []  # trained tokens that a packed row still takes
  room = _Room(length)
  order = np.argsort(-lengths, kind="stable")
  for i, n, t in zip(
    order.tolist(), lengths[order].tolist(), counts[order].tolist()
  ):
    at = room.first(n, t)
    if at < 0:
      at, b = length, len(bins)
      bins.append([])
      left.append(predicted)
    else:
      b = room.pop(at)
    bins[b].append(i)
    left[b] -= t
    if at > n:  # a row that is full is never looked at again
      room.push(at - n, left[b], b)
  return bins


class _Room:
  """Packed rows by the tokens they still take.

  A heap of (-trained tokens left, packed row) for each number of tokens, and a
  binary tree over them of the most trained tokens left, in which the first
  number of at least n with enough is found without going through all.
  """

  def __init__(self, length: int):
    self.size = 1 << length.bit_length()
    self.heaps: list[list] = [[] for _ in range(length + 1)]
    self.most = [-1] * (2 * self.size)

  def first(self, n: int, t: int) -> int:
    """The least number of tokens ≥ n where t trained ones fit; -1: none."""
    most, node = self.most, self.size + n
    while most[node] < t:
      while node & 1:  # a right child: what follows it hangs higher up
        node >>= 1
      if node == 0:
        return -1
      node += 1
    while node < self.size:
      node *= 2
      node += most[node] < t
    return node - self.size

  def pop(self, tokens: int) -> int:
    _, b = heapq.heappop(self.heaps[tokens])
    self._update(tokens)
    return b

  def push(self, tokens: int, trained: int, b: int) -> None:
    heapq.heappush(self.heaps[tokens], (-trained, b))
    self._update(tokens)

  def _update(self, tokens: int) -> None:
    most, heap = self.most, self.heaps[tokens]
    node, value = self.size + tokens, -heap[0][0] if heap else -1
    while node and most[node] != value:
      most[node] = value
      value = max(value, most[node ^ 1])
      node >>= 1


def join(rows: Sequence[Row]) -> Row:
  """Rows laid one after another, their documents and completions apart.

  Ids are made distinct and keep their order, so the sides of a pair stay an odd
  one and the even one after it; the first token of a row is never trained, as
  what stands before it is another one's. Fields of completions, and of tokens,
  follow each other.
  """
  documents, parents, completions, after, last = [], [], [], 0, 0
  shared = any(row.parents is not None for row in rows)
  for row in rows:
    n = len(row.tokens)
    own = np.ones(n, np.int32) if row.documents is None else row.documents
    documents.append(own + after)
    if shared:
      above = np.zeros(n, np.int32) if row.parents is None else row.parents
      parents.append(np.where(above > 0, above + after, 0))
    after += int(own.max(initial=0))
    own = np.where(row.completions > 0, row.completions + last, 0)
    own[:1] = 0
    completions.append(own)
    judged = len(row.fields.get("label", ()))  # one may have no trained token
    last = max(last + judged, int(own.max(initial=0)))
  weights = None
  if any(row.weights is not None for row in rows):
    ones = [np.ones(len(row.tokens), np.float32) for row in rows]
    weights = np.concatenate(
      [w if r.weights is None else r.weights for r, w in zip(rows, ones)]
    )
  return Row(
    np.concatenate([row.tokens for row in rows]),
    np.concatenate(completions).astype(np.int32),
    " + ".join(row.origin for row in rows),
    np.concatenate(documents).astype(np.int32),
    weights,
    np.concatenate(parents).astype(np.int32) if shared else None,
    {
      name: np.concatenate([row.fields[name] for row in rows])
      for name in rows[0].fields
    },
  )


class Packed(Sequence[Row]):
  """Rows packed as `plan` says; each is joined when it is asked for.

  lengths, counts, completions, reach: int64 [packed rows], as of `Table`.
  """

  def __init__(self, rows: Table, length: int, predicted: int):
    self._rows = rows
    self.bins = plan(
      rows.lengths, rows.counts, length=length, predicted=predicted
    )
    self.lengths = self._sums(rows.lengths)
    self.counts = self._sums(rows.counts)
    self.completions = self._sums(rows.completions)
    self.reach = np.array([rows.reach[b].max() for b in self.bins], np.int64)

  def _sums(self, values: np.ndarray) -> np.ndarray:
    return np.array([values[b].sum() for b in self.bins], np.int64)

  def __len__(self) -> int:
    return len(self.bins)

  def __getitem__(self, index: int) -> Row:
    return join([self._rows[i] for i in self.bins[index]])

  def origin(self, index: int) -> str:
    """Where the rows in a packed row came from."""
    return " + ".join(self._rows.origin(i) for i in self.bins[index])


class Layout(NamedTuple):
  """How rows lie in batches.

  train, held: name → rows, packed or not.
  shares: name → its part of the rows of `train` drawn.
  shape: of every batch.
  """

  train: dict[str, Table]
  held: dict[str, Table]
  shares: dict[str, float]
  shape: Shape


def layout(
  train: Mapping[str, Table],
  held: Mapping[str, Table],
  shares: Mapping[str, float],
  packing: int,
  parts: int = 1,
) -> Layout:
  """Rows one by one, or packed where `packing` tokens are given.

  Every part is packed on its own, and shares of rows become shares of packs.

  Raises ValueError where a row is longer than a packed one.
  """
  shape = shape_of([*train.values(), *held.values()], parts=parts)
  if not packing:
    return Layout(dict(train), dict(held), dict(shares), shape)
  size = packed_shape(list(train.values()), shape[:2], packing)
  packs = {name: Packed(rows, *size) for name, rows in train.items()}
  shares = mixture.of_packs(
    shares,
    {name: len(rows) for name, rows in train.items()},
    {name: len(rows) for name, rows in packs.items()},
  )
  held = {name: Packed(rows, *size) for name, rows in held.items()}
  most = shape_of([*packs.values(), *held.values()]).completions
  shape = shape._replace(length=size[0], predicted=size[1], completions=most)
  return Layout(packs, held, shares, shape)


def packed_shape(
  tables: Sequence[Table], least: tuple[int, int], length: int
) -> tuple[int, int]:
  """(length, predicted) of packed rows of about `length` tokens.

  `predicted` is what a row of average rows has trained, and a tenth, of the
  table with the largest share of trained tokens: where each row could be all
  trained, the readout would be over padding. `least` is the shape that holds
  every row alone.
  """
  share = max(t.counts.sum() / t.lengths.sum() for t in tables)
  predicted = max(least[1], math.ceil(1.1 * share * length))
  if length < least[0]:
    raise ValueError(
      f"data.packing = {length} is less than the longest row, {least[0]} "
      "tokens.\nRaise it, or lower data.max_length."
    )
  return length, -(-predicted // 8) * 8


def fill(rows: Table, length: int) -> float:
  """The part of the places of rows of `length` tokens that hold one."""
  return float(rows.lengths.sum()) / max(len(rows) * length, 1)
