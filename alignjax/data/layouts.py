"""How completions of one prompt lie in a row: views of tokenised rows.

`Rows` has the prompt once and each completion as a document that continues it.
A view makes each row when it is asked for, and knows its size before.
"""

from collections.abc import Sequence

import numpy as np

from alignjax.data.loader import Table, trained
from alignjax.types import Row

LAYOUTS = ("apart", "shared")


class Apart(Sequence[Row]):
  """Each completion as a document of its own, the prompt written out in it."""

  def __init__(self, rows: Table):
    self._rows = rows
    self.completions, self.reach = rows.completions, rows.reach
    more = np.maximum(rows.completions - 1, 0)
    self.lengths = rows.lengths + more * rows.prompts
    self.counts = rows.counts

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Row:
    return unfolded(self._rows[index])

  def origin(self, index: int) -> str:
    """Where a row came from."""
    return self._rows.origin(index)


class Prompted(Sequence[Row]):
  """Rows whose prompt is trained too, once, but for its first token.

  Its tokens belong to no completion: field "prompt" [tokens] is 1 for them, and
  they are in `counts`.

  prompts: int [rows], tokens of the prompt that each row begins with.
  """

  def __init__(self, rows: Table, prompts: np.ndarray):
    self._rows, self._prompts = rows, prompts
    self.lengths, self.reach = rows.lengths, rows.reach
    self.completions = rows.completions
    self.counts = rows.counts + np.maximum(prompts - 1, 0)

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Row:
    row = self._rows[index]
    prompt = np.zeros(len(row.tokens), np.float32)
    prompt[1 : self._prompts[index]] = 1
    return row._replace(fields={**row.fields, "prompt": prompt})

  def origin(self, index: int) -> str:
    """Where a row came from."""
    return self._rows.origin(index)


def unfolded(row: Row) -> Row:
  """A prompt and its completions as documents without parents."""
  if row.parents is None:
    return row
  prompt = np.flatnonzero(row.documents == 1)
  last = int(row.documents.max())
  pieces = [
    np.concatenate([prompt, np.flatnonzero(row.documents == d)])
    for d in range(2, last + 1)
  ]
  taken = np.concatenate(pieces)
  documents = np.repeat(np.arange(1, last), [len(piece) for piece in pieces])
  return row._replace(
    tokens=row.tokens[taken],
    completions=row.completions[taken],
    documents=documents.astype(np.int32),
    weights=None if row.weights is None else row.weights[taken],
    parents=None,
  )


class Mismatched(Sequence[Row]):
  """Judged answers, each with another row's completion as a second one.

  Their log-ratios estimate KL(π ‖ ref) (Ethayarajh et al. 2024, section 4.1).
  Which row's it is, is a function of (seed, number of rows) and never its own;
  so no loss needs another row of the batch. Field "kl" is 1 for the second
  completion, "label" is 0, and so are its weights: nothing is to imitate it.

  max_length: of the prompt and the second completion together, in tokens; the
    completion is cut on the right to fit.

  Raises ValueError for a single row.
  """

  def __init__(self, rows: Table, seed: int, max_length: int):
    if len(rows) == 1:
      raise ValueError(
        f"{rows.origin(0)}: the only row, so no other row's completion can be "
        "set under its prompt.\nGive more rows, or data.rows='judged'."
      )
    self._rows, self._limit = rows, max_length
    self.other = derangement(seed, len(rows))
    self.prompts, own = rows.prompts, rows.lengths - rows.prompts
    self.completions = np.full(len(rows), 2, np.int64)
    second = np.minimum(own[self.other], max_length - self.prompts)
    self.lengths = rows.lengths + second
    self.reach = self.prompts + np.maximum(own, second)
    self.counts = rows.counts + rows.counts[self.other]
    for i in np.flatnonzero(second < own[self.other]).tolist():
      self.counts[i] = len(trained(self[i]))

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Row:
    row, other = self._rows[index], self._rows[int(self.other[index])]
    start = int(np.count_nonzero(other.documents == 1))
    room = self._limit - int(np.count_nonzero(row.documents == 1))
    taken = slice(start, start + room)
    ids = np.where(other.completions[taken] > 0, 2, 0)
    documents = np.full(len(ids), 3)
    weights = row.weights
    if weights is None:
      weights = np.ones(len(row.tokens), np.float32)
    weights = np.concatenate([weights, np.zeros(len(ids), np.float32)])
    label = row.fields["label"][:1]
    return Row(
      np.concatenate([row.tokens, other.tokens[taken]]),
      np.concatenate([row.completions, ids]).astype(np.int32),
      row.origin,
      np.concatenate([row.documents, documents]).astype(np.int32),
      weights,
      np.concatenate([row.parents, np.ones_like(documents)]).astype(np.int32),
      {"label": np.append(label, 0), "kl": np.float32([0, 1])},
    )

  def origin(self, index: int) -> str:
    """Where a row came from."""
    return self._rows.origin(index)


def derangement(seed: int, n: int) -> np.ndarray:
  """int64 [n]: a permutation of n ≥ 2 rows, one cycle: none stays in place."""
  # Raw bits are the same in every version of numpy.
  cycle = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
  other = np.empty(n, np.int64)
  other[cycle] = np.roll(cycle, -1)
  return other


class Annotated(Sequence[Row]):
  """Rows with numbers of their trained tokens, each named, as fields.

  columns: name → for each row float32 [trained tokens], in their order.
  """

  def __init__(self, rows: Table, columns: dict[str, Sequence[np.ndarray]]):
    self._rows, self._columns = rows, columns
    self.lengths, self.counts = rows.lengths, rows.counts
    self.completions, self.reach = rows.completions, rows.reach

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Row:
    row = self._rows[index]
    fields, at = dict(row.fields), trained(row)
    for name, values in self._columns.items():
      fields[name] = np.zeros(len(row.tokens), np.float32)
      fields[name][at] = values[index]
    return row._replace(fields=fields)

  def origin(self, index: int) -> str:
    """Where a row came from."""
    return self._rows.origin(index)
