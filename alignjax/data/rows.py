"""Tokenised rows as an Arrow table, in memory or memory-mapped."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from alignjax.types import Row

FIELDS = ("label", "margin")  # of completions
SCHEMA = pa.schema(
  [
    ("tokens", pa.list_(pa.int32())),
    ("completions", pa.list_(pa.uint8())),
    # Tokens of a prompt and of each completion of it; null: one document.
    ("sizes", pa.list_(pa.int32())),
    *((name, pa.list_(pa.float32())) for name in FIELDS),
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
  prompts, completions: int64 [rows], tokens of the prompt that completions
    share, and their number; 0 and 0 for a row of one document.
  reach: int64 [rows], tokens of the longest sequence a row holds: its own, or
    the prompt's and the longest completion's.
  """

  def __init__(self, table: pa.Table):
    self._parts = [_Part(batch) for batch in table.to_batches()]
    sizes = [len(part.origins) for part in self._parts]
    self._first = np.cumsum([0, *sizes])
    self.lengths = _joined([np.diff(part.offsets) for part in self._parts])
    self.counts = _joined([part.trained for part in self._parts])
    self.largest = _joined([part.largest for part in self._parts])
    self.prompts = _joined([part.prompts for part in self._parts])
    self.completions = _joined([part.siblings for part in self._parts])
    self.reach = _joined([part.reach for part in self._parts])

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
    row = Row(part.tokens[own], completions, origin, None, weights)
    return part.laid(row, i) if part.siblings[i] else row

  def origin(self, index: int) -> str:
    """Where a row came from."""
    part, i = self._at(index)
    return part.origins[i].as_py()

  def digest(self) -> str:
    """The sha256 of all tokens, and of which are trained where."""
    hashes = [hashlib.sha256() for _ in range(4)]
    for part in self._parts:
      arrays = part.sizes[1], np.diff(part.offsets), part.tokens
      for one, x in zip(hashes, (*arrays, part.completions)):
        one.update(np.ascontiguousarray(x))
    whole = hashlib.sha256(b"".join(one.digest() for one in hashes))
    return whole.hexdigest()

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
    sizes = column("sizes")
    self.sizes = sizes.offsets.to_numpy(), sizes.values.to_numpy()
    self.fields = {
      name: (column(name).offsets.to_numpy(), column(name).values.to_numpy())
      for name in FIELDS
    }
    lengths = np.diff(self.offsets)
    self.prompts, self.siblings = np.zeros((2, len(lengths)), np.int64)
    self.reach = lengths.astype(np.int64)
    several = np.diff(self.sizes[0]) > 0
    if several.any():
      first, values = self.sizes[0][:-1][several], self.sizes[1]
      self.prompts[several] = values[first]
      self.siblings[several] = np.diff(self.sizes[0])[several] - 1
      alone = values.copy()
      alone[first] = 0
      longest = np.maximum.reduceat(alone, first)
      self.reach[several] = values[first] + longest

  def laid(self, row: Row, i: int) -> Row:
    """Row i with its documents and what is known of its completions."""

    def own(pair):
      return pair[1][pair[0][i] : pair[0][i + 1]]

    sizes = own(self.sizes)
    documents = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes)
    fields = {name: own(pair) for name, pair in self.fields.items()}
    return row._replace(
      documents=documents,
      parents=(documents > 1).astype(np.int32),
      fields={name: x for name, x in fields.items() if len(x)},
    )


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
  return np.concatenate([np.zeros(0, np.int64), *arrays])


def record_batch(rows: Sequence[Row]) -> pa.RecordBatch:
  """Rows of one document, or of a prompt and completions, as a batch.

  Raises ValueError for weights that differ within a row, and for rows that are
  laid otherwise.
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
      pa.array([_sizes(row) for row in rows], pa.list_(pa.int32())),
      *(
        pa.array([row.fields.get(name) for row in rows], pa.list_(pa.float32()))
        for name in FIELDS
      ),
      pa.array([row.origin for row in rows], pa.string()),
      pa.array(weights, pa.float32()),
      # The first token is never predicted.
      pa.array([np.count_nonzero(r.completions[1:]) for r in rows], pa.int32()),
      pa.array([int(r.tokens.max(initial=-1)) for r in rows], pa.int32()),
    ],
    schema=SCHEMA,
  )


def _sizes(row: Row) -> np.ndarray | None:
  """Tokens of a prompt and of each completion; None for one document."""
  if row.documents is None:
    return None
  sizes = np.bincount(row.documents)[1:]
  star = row.parents is not None and np.array_equal(
    row.parents, row.documents > 1
  )
  if not star or np.any(np.diff(row.documents) < 0) or not sizes.all():
    raise ValueError(
      f"{row.origin}: documents must be a prompt (1) and completions that "
      "continue it (parents 1), one after another."
    )
  return sizes


def _weight(row: Row) -> float | None:
  if row.weights is None:
    return None
  if np.ptp(row.weights) > 0:
    raise ValueError(f"{row.origin}: the weights of a row must be equal.")
  return float(row.weights[0])
