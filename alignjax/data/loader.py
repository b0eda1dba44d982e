"""Batches as a function of (seed, step): tokenised rows, shuffled, padded."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from alignjax.data.mixture import Order
from alignjax.types import Batch, Row


@runtime_checkable
class Table(Protocol):
  """Rows that know their sizes before they are made.

  lengths, counts: int [rows], tokens and `trained` tokens of each.
  completions: int [rows], those that are compared or judged; 0 for other rows.
  reach: int [rows], tokens of the longest sequence a row holds.
  """

  lengths: np.ndarray
  counts: np.ndarray
  completions: np.ndarray
  reach: np.ndarray

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Row: ...

  def origin(self, index: int) -> str:
    """Where a row came from."""
    ...


class Shape(NamedTuple):
  """What all batches of a run have in common.

  length, predicted: L and T. completions: S; 0 where rows have no completions
    to be told apart, and so no `ends`.
  parents: whether documents may continue others.
  fields: names of fields, and whether each is "tokens" or "completions".
  parts: of a row, one for each of its documents, all of the same length; 1
    where they stand one after another.
  """

  length: int
  predicted: int
  completions: int = 0
  parents: bool = False
  fields: tuple[tuple[str, str], ...] = ()
  parts: int = 1


def collate(
  rows: Sequence[Row],
  length: int,
  predicted: int,
  completions: int = 0,
  parents: bool = False,
  fields: Sequence[tuple[str, str]] = (),
  parts: int = 1,
) -> Batch:
  """Pads rows to [B, length] and lists their trained positions [B, predicted].

  An empty row (no tokens) is all padding. Numpy int32, weights and fields
  float32. The other arguments are those of `Shape`.
  """
  B, S = len(rows), completions
  sizes = {"tokens": predicted, "completions": S}
  tokens, positions, documents = np.zeros((3, B, length), np.int32)
  where, targets, ids = np.zeros((3, B, predicted), np.int32)
  weights = np.zeros((B, predicted), np.float32)
  parent = np.zeros((B, length), np.int32) if parents else None
  ends = np.zeros((B, S), np.int32) if S else None
  found = {k: np.zeros((B, sizes[of]), np.float32) for k, of in fields}
  for b, row in enumerate(rows):
    n = len(row.tokens)
    at = trained(row)
    t = len(at)
    own = np.ones(n, np.int32) if row.documents is None else row.documents
    # Positions start anew with each document.
    _, first, inverse = np.unique(own, return_index=True, return_inverse=True)
    within = np.arange(n) - first[inverse]
    there = np.arange(n) if parts == 1 else inverse * (length // parts) + within
    tokens[b, there] = row.tokens
    documents[b, there] = own
    positions[b, there] = within
    where[b, :t] = there[at] - 1
    targets[b, :t] = row.tokens[at]
    ids[b, :t] = row.completions[at]
    weights[b, :t] = 1 if row.weights is None else row.weights[at]
    if row.parents is not None:
      parent[b, there] = row.parents
      _continue(row, first, at, positions[b], where[b])
    if S:
      of = ids[b, :t] > 0
      ends[b, ids[b, :t][of] - 1] = there[at[of]]  # the last of each stays
    for name, of in fields if n else ():
      values = row.fields[name]
      values = values[at] if of == "tokens" else values
      found[name][b, : len(values)] = values
  return Batch(
    *(tokens, positions, documents, where, targets, ids, weights),
    parents=parent,
    ends=ends,
    fields=found,
  )


def _continue(
  row: Row,
  first: np.ndarray,
  at: np.ndarray,
  positions: np.ndarray,
  where: np.ndarray,
) -> None:
  """Documents with a parent go on from its end, in position and prediction.

  first: where each document begins; a parent stands before what continues it.
  """
  ends = np.append(first[1:], len(row.tokens))
  for d in np.flatnonzero(row.parents[first]):
    last = ends[row.parents[first[d]] - 1] - 1
    positions[first[d] : ends[d]] += positions[last] + 1
    where[: len(at)][at == first[d]] = last


def trained(row: Row) -> np.ndarray:
  """Indices of the trained tokens; the first token is never predicted.

  Those of completions, and of a prompt where a field "prompt" is 1.
  """
  listed = row.completions > 0
  if "prompt" in row.fields:
    listed = listed | (row.fields["prompt"] > 0)
  return np.flatnonzero(listed[1:]) + 1


def shape_of(
  tables: Sequence[Table], multiple: int = 8, parts: int = 1
) -> Shape:
  """What holds every row; T, L or its parts are rounded up to `multiple`."""

  def most(name):
    return max(int(getattr(t, name).max(initial=0)) for t in tables)

  first = next((t[0] for t in tables if len(t)), None)
  fields, parents = (), False
  if first is not None:
    parents = first.parents is not None
    # There are always more tokens than completions.
    n = len(first.tokens)
    fields = tuple(
      (name, "tokens" if len(x) == n else "completions")
      for name, x in sorted(first.fields.items())
    )
  longest = most("lengths" if parts == 1 else "reach")
  return Shape(
    -(-longest // multiple) * multiple * parts,
    -(-most("counts") // multiple) * multiple,
    most("completions"),
    parents,
    fields,
    parts,
  )


class Loader:
  """An endless sequence of batches: `loader[step]` depends on nothing else.

  parts: name → rows. A single one may be called "".
  shares: name → its part of the rows drawn; they sum to 1.

  Every epoch of a part is a new permutation by (seed, name, epoch); batches
  cross epoch borders, so each row is seen once an epoch whatever the batch
  size.
  """

  def __init__(
    self,
    parts: Mapping[str, Table],
    *,
    shares: Mapping[str, float],
    batch: int,
    seed: int,
    shape: Shape | tuple[int, int],
  ):
    for table in parts.values():
      if not table.counts.all():
        origin = table.origin(int(np.argmin(table.counts)))
        raise ValueError(
          f"{origin}: no trained token.\nEvery row needs at least one "
          "token of loss; check data.train_on and the row's completion."
        )
    self.parts, self.size, self.shape = parts, batch, shape
    self._order = Order({k: len(t) for k, t in parts.items()}, shares, seed)

  def indices(self, step: int) -> list[tuple[str, int]]:
    """(part, row) of each row of a step's batch."""
    start = step * self.size
    return [self._order[i] for i in range(start, start + self.size)]

  def origins(self, step: int) -> list[str]:
    """Where the rows of a step came from."""
    return [self.parts[part].origin(i) for part, i in self.indices(step)]

  def epochs(self, step: int) -> dict[str, float]:
    """Passes over the rows before a step: `epoch`, or `epoch/PART` of each."""
    found = self._order.epochs(step * self.size)
    if len(found) == 1:
      return {"epoch": found.popitem()[1]}
    return {f"epoch/{name}": found[name] for name in self.parts}

  def batch(self, step: int, rows: Sequence[int]) -> Batch:
    """Some rows of a step's batch: those a host has devices for."""
    indices = self.indices(step)
    chosen = [indices[b] for b in rows]
    return collate([self.parts[p][i] for p, i in chosen], *self.shape)

  def __getitem__(self, step: int) -> Batch:
    return self.batch(step, range(self.size))


class InOrder(Sequence[Batch]):
  """All rows once, in order; the last batch is filled up with empty rows."""

  def __init__(
    self,
    parts: Mapping[str, Table],
    *,
    batch: int,
    shape: Shape | tuple[int, int],
  ):
    self.parts, self.size, self.shape = parts, batch, shape
    self._rows = [(name, i) for name, t in parts.items() for i in range(len(t))]

  def __len__(self) -> int:
    return -(-len(self._rows) // self.size)

  def batch(self, step: int, rows: Sequence[int]) -> Batch:
    """Some rows of a batch."""
    none = np.zeros(0, np.int32)
    found = []
    for n in (step * self.size + b for b in rows):
      if n < len(self._rows):
        part, i = self._rows[n]
        found.append(self.parts[part][i])
      else:
        found.append(Row(none, none, "padding"))
    return collate(found, *self.shape)

  def __getitem__(self, step: int) -> Batch:
    if not 0 <= step < len(self):
      raise IndexError(f"batch {step} of {len(self)}")
    return self.batch(step, range(self.size))
