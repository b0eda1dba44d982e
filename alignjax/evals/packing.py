"""Continuations as rows of a batch, in which what begins alike is fed once.

Questions of one subject begin with the same examples, answers of one question
with the same question. Sequences are sorted, so that neighbours begin alike;
a row holds what its sequences share as document 1, and the rest of each as a
document that continues it. Continuations of one token are read from the same
place, and cost nothing more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from alignjax.types import Batch

SHORTEST = 64  # tokens of a row

Tokens = Int[np.ndarray, "n"]


class Asked(NamedTuple):
  """A continuation, of one token or more, of a context of one or more."""

  context: np.ndarray
  continuation: np.ndarray


class Packed(NamedTuple):
  """Sequences in one row.

  shared: tokens that all begin with. fed: whole sequences, the last token of a
    continuation left off. asked: of each sequence, which continuations are read
    from it: (number of the continuation, tokens of its context, its tokens).
  """

  shared: int
  fed: list[np.ndarray]
  asked: list[list[tuple[int, int, np.ndarray]]]

  @property
  def length(self) -> int:
    return _length(self.shared, self.fed)

  @property
  def predicted(self) -> int:
    return sum(len(tokens) for own in self.asked for _, _, tokens in own)


def pack(asked: Sequence[Asked], *, room: int) -> list[Packed]:
  """Rows that hold every continuation once; equal ones are in one place.

  room: tokens of a row, where no single sequence is longer.
  """
  where: dict[bytes, list[tuple[int, int, np.ndarray]]] = {}
  for i, (context, continuation) in enumerate(asked):
    fed = np.concatenate([context, continuation[:-1]])
    # Big-endian bytes are in the order of the tokens.
    key = fed.astype(">u4").tobytes()
    where.setdefault(key, []).append((i, len(context), continuation))
  rows: list[Packed] = []
  for key in sorted(where):
    fed, own = np.frombuffer(key, ">u4").astype(np.int32), where[key]
    if rows:
      last = rows[-1]
      shared = min(last.shared, _alike(last.fed[-1], fed))
      length = _length(shared, [*last.fed, fed])
      # Not where the others would have to be fed more than is saved.
      if length <= room and length - last.length <= len(fed):
        rows[-1] = Packed(shared, [*last.fed, fed], [*last.asked, own])
        continue
    rows.append(Packed(len(fed), [fed], [own]))
  return rows


def padded(length: int, shortest: int = SHORTEST) -> int:
  """A length of few: powers of two, and half of the way between.

  shortest: a power of two.
  """
  size = shortest
  while size < length:
    size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
  return size


def collate(
  rows: Sequence[Packed], size: int, length: int, predicted: int
) -> tuple[Batch, Int[np.ndarray, "B T"]]:
  """Rows as a batch of `size`, and which continuation each target is of.

  length, predicted: L and T. The number of a continuation is -1 on the tail.
  """
  tokens, positions, documents, parents = np.zeros((4, size, length), np.int32)
  where, targets, trained = np.zeros((3, size, predicted), np.int32)
  number = np.full((size, predicted), -1)
  for b, row in enumerate(rows):
    tokens[b, : row.shared] = row.fed[0][: row.shared]
    positions[b, : row.shared] = np.arange(row.shared)
    documents[b, : row.shared] = 1
    at, t = row.shared, 0
    for document, (fed, asked) in enumerate(zip(row.fed, row.asked), 2):
      end = at + len(fed) - row.shared
      tokens[b, at:end] = fed[row.shared :]
      positions[b, at:end] = np.arange(row.shared, len(fed))
      documents[b, at:end] = document
      parents[b, at:end] = 1 if row.shared else 0
      for i, context, continuation in asked:
        own = np.arange(context - 1, context - 1 + len(continuation))
        own += np.where(own < row.shared, 0, at - row.shared)
        there = slice(t, t + len(own))
        where[b, there], targets[b, there] = own, continuation
        trained[b, there], number[b, there] = 1, i
        t += len(own)
      at = end
  weights = trained.astype(np.float32)
  batch = Batch(
    *(tokens, positions, documents, where, targets, trained, weights),
    parents=parents,
  )
  return batch, number


def _alike(a: np.ndarray, b: np.ndarray) -> int:
  n = min(len(a), len(b))
  other = np.flatnonzero(a[:n] != b[:n])
  return int(other[0]) if len(other) else n


def _length(shared: int, fed: Sequence[np.ndarray]) -> int:
  return shared + sum(len(x) - shared for x in fed)
