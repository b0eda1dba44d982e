"""Tokenised rows as an Arrow table, in memory or memory-mapped."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from alignjax.types import Row

SCHEMA = pa.schema(
  [
    ("tokens", pa.list_(pa.int32())),
    ("completions", pa.list_(pa.uint8())),
    ("origin", pa.string()),
    ("weight", pa.float32()),  # of every trained token; null = 1
    ("trained", pa.int32()),  # tokens that are predicted and count
    ("largest", pa.int32()),  # token id
  ]
)


class Rows(Sequence[Row]):
  """Rows of a table, made into arrays when they are asked for.

  lengths, counts: int64 [rows], tokens and trained tokens of each.
  largest: int64 [rows], the largest token id of each.
  """

  def __init__(self, table: pa.Table):
    self._parts = [_Part(batch) for batch in table.to_batches()]
    sizes = [len(part.origins) for part in self._parts]
    self._first = np.cumsum([0, *sizes])
    self.lengths = _joined([np.diff(part.offsets) for part in self._parts])
    self.counts = _joined([part.trained for part in self._parts])
    self.largest = _joined([part.largest for part in self._parts])

  @classmethod
  def of(cls, rows: Iterable[Row]) -> "Rows":
    """A table in memory."""
    return cls(pa.Table.from_batches([record_batch(list(rows))]))

  def __len__(self) -> int:
    return int(self._first[-1])

  def __getitem__(self, index: int) -> Row:
    part, i = self._at(index)
    own = slice(part.offsets[i], part.offsets[i + 1])
    completions = part.completions[own].astype(np.int32)
    weight, weights = part.weights[i], None
    if not np.isnan(weight):
      weights = np.full(len(completions), weight, np.float32)
    origin = part.origins[i].as_py()
    return Row(part.tokens[own], completions, origin, None, weights)

  def origin(self, index: int) -> str:
    """Where a row came from."""
    part, i = self._at(index)
    return part.origins[i].as_py()

  def _at(self, index: int) -> tuple["_Part", int]:
    if not 0 <= index < len(self):
      raise IndexError(f"row {index} of {len(self)}")
    k = int(np.searchsorted(self._first, index, "right")) - 1
    return self._parts[k], index - int(self._first[k])


class _Part:
  """Arrays of a record batch, without copies."""

  def __init__(self, batch: pa.RecordBatch):
    column = batch.column
    self.offsets = column("tokens").offsets.to_numpy()
    self.tokens = column("tokens").values.to_numpy()
    self.completions = column("completions").values.to_numpy()
    self.origins = column("origin")
    self.weights = column("weight").to_numpy(zero_copy_only=False)
    self.trained = column("trained").to_numpy()
    self.largest = column("largest").to_numpy()


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
  return np.concatenate([np.zeros(0, np.int64), *arrays])


def record_batch(rows: Sequence[Row]) -> pa.RecordBatch:
  """Rows of one document each as a batch of the table.

  Raises ValueError for weights that differ within a row.
  """
  offsets = np.cumsum([0, *(len(row.tokens) for row in rows)], dtype=np.int32)
  weights = [_weight(row) for row in rows]

  def lists(name: str, kind: type) -> pa.ListArray:
    values = [getattr(row, name) for row in rows]
    flat = np.concatenate([np.zeros(0, kind), *values]).astype(kind)
    return pa.ListArray.from_arrays(offsets, pa.array(flat))

  return pa.record_batch(
    [
      lists("tokens", np.int32),
      lists("completions", np.uint8),
      pa.array([row.origin for row in rows], pa.string()),
      pa.array(weights, pa.float32()),
      # The first token is never predicted.
      pa.array([np.count_nonzero(r.completions[1:]) for r in rows], pa.int32()),
      pa.array([int(r.tokens.max(initial=-1)) for r in rows], pa.int32()),
    ],
    schema=SCHEMA,
  )


def _weight(row: Row) -> float | None:
  if row.weights is None:
    return None
  if np.ptp(row.weights) > 0:
    raise ValueError(f"{row.origin}: the weights of a row must be equal.")
  return float(row.weights[0])
