"""Batches as a function of (seed, step): tokenised rows, shuffled, padded."""

from collections.abc import Sequence

import grain
import numpy as np

from alignjax.types import Batch, Row


def collate(rows: Sequence[Row], length: int, predicted: int) -> Batch:
  """Pads rows to [B, length] and lists their trained positions [B, predicted].

  An empty row (no tokens) is all padding. Numpy int32, weights float32.
  """
  B = len(rows)
  tokens, positions, documents = np.zeros((3, B, length), np.int32)
  where, targets, completions = np.zeros((3, B, predicted), np.int32)
  weights = np.zeros((B, predicted), np.float32)
  for b, row in enumerate(rows):
    n = len(row.tokens)
    at = trained(row)
    tokens[b, :n] = row.tokens
    documents[b, :n] = 1 if row.documents is None else row.documents
    # Positions start anew with each document.
    _, first, inverse = np.unique(
      documents[b, :n], return_index=True, return_inverse=True
    )
    positions[b, :n] = np.arange(n) - first[inverse]
    where[b, : len(at)] = at - 1
    targets[b, : len(at)] = row.tokens[at]
    completions[b, : len(at)] = row.completions[at]
    weights[b, : len(at)] = 1 if row.weights is None else row.weights[at]
  return Batch(
    tokens, positions, documents, where, targets, completions, weights
  )


def trained(row: Row) -> np.ndarray:
  """Indices of the trained tokens; the first token is never predicted."""
  return np.flatnonzero(row.completions[1:]) + 1


def shape_of(rows: Sequence[Row], multiple: int = 8) -> tuple[int, int]:
  """(length, predicted) that hold every row, rounded up to `multiple`."""
  longest = max(len(row.tokens) for row in rows)
  most = max(len(trained(row)) for row in rows)
  up = lambda n: -(-n // multiple) * multiple  # noqa: E731
  return up(longest), up(most)


class Loader:
  """An endless sequence of batches: `loader[step]` depends on nothing else.

  Every epoch is a new permutation by (seed, epoch); batches cross epoch
  borders, so each row is seen once an epoch whatever the batch size.
  """

  def __init__(
    self,
    rows: Sequence[Row],
    *,
    batch: int,
    seed: int,
    shape: tuple[int, int],
  ):
    for row in rows:
      if not len(trained(row)):
        raise ValueError(
          f"{row.origin}: no trained token.\nEvery row needs at least one "
          "token of loss; check data.train_on and the row's completion."
        )
    self.rows, self.batch, self.shape = rows, batch, shape
    self._order = (
      grain.MapDataset.source(range(len(rows)))
      .seed(seed)
      .shuffle()
      .repeat(None)
    )

  def indices(self, step: int) -> list[int]:
    """Which rows make the batch of a step."""
    start = step * self.batch
    return [int(self._order[i]) for i in range(start, start + self.batch)]

  def origins(self, step: int) -> list[str]:
    """Where the rows of a step came from."""
    return [self.rows[i].origin for i in self.indices(step)]

  def epoch(self, step: int) -> float:
    """Passes over the data finished before a step."""
    return step * self.batch / len(self.rows)

  def __getitem__(self, step: int) -> Batch:
    return collate([self.rows[i] for i in self.indices(step)], *self.shape)


def in_order(
  rows: Sequence[Row], *, batch: int, shape: tuple[int, int]
) -> list[Batch]:
  """All rows once, in order; the last batch is filled up with empty rows."""
  none = np.zeros(0, np.int32)
  rows = list(rows) + [Row(none, none, "padding")] * (-len(rows) % batch)
  return [
    collate(rows[i : i + batch], *shape) for i in range(0, len(rows), batch)
  ]
