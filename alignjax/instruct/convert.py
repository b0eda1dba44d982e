"""Rows of data sets as instructions: a template worded over what is read.

A made row is what training and evaluation read (`alignjax.data.formats`):
prompt, completion, id, task, cluster, answers, metric, choices where the answer
is one of them, source, licence, and `made`, which says by what it was made and
of which row.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from alignjax.data import formats, sources
from alignjax.data.bad import BadRow
from alignjax.data.suite.draw import shuffle
from alignjax.evals.files import sha256
from alignjax.instruct.mixing import Part, place
from alignjax.instruct.sandbox import LeftOut
from alignjax.instruct.template import Template, values, word


class Source(NamedTuple):
  """A template and the rows it is for; path, split, reader as `sources.read`.

  A slice of a split is a split of its own in the ids.
  """

  template: Template
  path: str
  split: str
  reader: str | None = None


class Converted(NamedTuple):
  """What became of a source.

  rows: those that are kept. read: rows of the source. made: rows that were
  made. phrasings: made rows by the index of the phrasing. left_out: rows that
  were not made, by reason; made and left out are all that was asked for.
  """

  rows: list[dict]
  read: int
  made: int
  phrasings: Counter[int]
  left_out: Counter[str]


def drawn(template: Template, id: str, count: int, seed: int) -> list[int]:
  """Which phrasings a row gets, by seed and the row's id; 0 is all of them."""
  n = len(template.phrasings)
  if not 0 <= count <= n:
    raise ValueError(
      f"{count} phrasings a row are asked for, the template {template.name} "
      f"has {n}\nwrite one, all, or a number from 1 to {n}"
    )
  return sorted(shuffle(range(n), "phrasing", seed, id)[: count or n])


def convert(
  source: Source, *, phrasings: int, seed: int, cap: int
) -> Converted:
  """Makes the rows of a source, and keeps `cap` of them; 0 keeps all.

  phrasings: of each row, 0 for all. All are of one row and so of one split.
  Which are kept is drawn by the seed, and as all are made first, memory holds
  no more than that. A row that cannot be read, or lacks a field of the
  template, is a BadRow; what has no answer is counted in `left_out`.

  Raises ValueError where no row is made.
  """
  template = source.template
  drawn(template, "", phrasings, seed)  # says what is legal before any reading
  tally = _Tally()
  made = _rows(source, phrasings, seed, tally)
  if cap:
    rows = heapq.nsmallest(cap, made, key=lambda row: place(seed, row))
  else:
    rows = list(made)
  if not rows:
    reasons = ", ".join(f"{n:,} {k}" for k, n in tally.left_out.most_common())
    raise ValueError(
      f"{source.path}, split {source.split!r}: the template {template.name} "
      f"makes no row of {tally.read:,}\n"
      f"left out: {reasons or 'none'}\n"
      f"it fits rows of: {template.rows}"
    )
  kinds = tally.phrasings
  return Converted(rows, tally.read, kinds.total(), kinds, tally.left_out)


class _Tally:
  """Counts that grow while rows go by, as `Converted` has them."""

  def __init__(self):
    self.read = 0
    self.phrasings: Counter[int] = Counter()
    self.left_out: Counter[str] = Counter()


def _rows(
  source: Source, phrasings: int, seed: int, tally: _Tally
) -> Iterator[dict]:
  """Every row that is made, counted while it goes by."""
  template, split = source.template, source.split
  found = sources.read(source.path, split=split, reader=source.reader)
  for row, origin in found:
    id = f"{template.name}/{split}/{tally.read}"
    tally.read += 1
    asked = drawn(template, id, phrasings, seed)
    try:
      known = values(template, row, origin)
    except LeftOut as e:
      tally.left_out[str(e)] += len(asked)
      continue
    for index in asked:
      try:
        made = _made(template, f"{id}/{index}", index, known, origin)
      except LeftOut as e:
        tally.left_out[str(e)] += 1
        continue
      tally.phrasings[index] += 1
      yield made


def _made(template: Template, id: str, index: int, known, origin: str) -> dict:
  worded = word(template, index, known, origin)
  row = {
    "id": id,
    "task": template.name,
    "cluster": template.cluster,
    **worded,
    "source": template.source,
    "licence": template.licence,
    "made": {
      "how": "template",
      "template": template.name,
      "phrasing": index,
      "sha256": template.sha256,
      "origin": origin,
    },
  }
  try:
    formats.example(row, origin)
  except BadRow as e:  # a text that training would refuse
    raise LeftOut(e.kind) from e
  return row


def record(
  found: Mapping[str, tuple[Source, Converted]],
  parts: Mapping[str, Part],
  mixed: Sequence[Mapping],
) -> dict:
  """What a card says of a mixture: where it is from, and all counts.

  Counts by phrasing and cluster are of the rows that were taken.
  """
  kinds = Counter((row["task"], row["made"]["phrasing"]) for row in mixed)
  told = {}
  for name, (source, made) in found.items():
    template, part = source.template, parts[name]
    told[name] = {
      "path": source.path,
      "split": source.split,
      "reader": source.reader or "",
      "sha256": sha256(files(source)),
      "template": {"file": template.file.name, "sha256": template.sha256},
      "cluster": template.cluster,
      "source": template.source,
      "licence": template.licence,
      "read": made.read,
      "made": made.made,
      "kept": part.rows,
      "rate": part.rate,
      "taken": part.taken,
      "by_phrasing": {
        str(k): kinds[name, k] for k in range(len(template.phrasings))
      },
      "left_out": dict(made.left_out.most_common()),
    }
  clusters = Counter(row["cluster"] for row in mixed)
  return {"rows": len(mixed), "clusters": dict(clusters), "datasets": told}


def files(source: Source) -> list[Path]:
  """What its rows come from, for a hash."""
  return sources.files(source.path, split=source.split, reader=source.reader)
