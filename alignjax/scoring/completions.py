"""Completions to score: rows of a file, and their tokens.

A row has the completions of one prompt: two of a pair, one of a judged answer
or of a conversation, whose last turn it is. What cannot be scored stays in its
place, with the reason.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from alignjax.data import compared, formats, pairs, preferences, sources, turns
from alignjax.data.bad import BadRow
from alignjax.data.preferences import Judged, Preference
from alignjax.data.templates import Template

FORMATS = preferences.FORMATS | {
  name: keys for name, keys in formats.FORMATS.items() if name != "text"
}
RULES = ("error", "skip")  # for bad rows


class Source(NamedTuple):
  """Where rows are: arguments of `sources.read` and `preferences.preferences`.

  limit: rows, 0 for all.
  """

  path: str
  split: str
  limit: int
  format: str | None
  pairs: str
  reader: str | None


class Asked(NamedTuple):
  """A row whose completions are to be scored.

  kind: "pair" (the first completion is called chosen), "judged" or
    "completion"; "" where the row is bad.
  label: that of a pair or a judged answer, None of others.
  sequences: int32, prompt and completion up to where scores are read; none
    where the row is not scored.
  lengths: tokens of each completion, its end token included.
  reason: why it is not scored, "" where it is.
  """

  origin: str
  kind: str
  label: float | None
  id: str | int | None
  sequences: tuple[np.ndarray, ...]
  lengths: tuple[int, ...]
  reason: str


class Item(NamedTuple):
  """A row before tokenisation; said: a bad row is its own reason."""

  kind: str
  said: Preference | Judged | BadRow


def read(source: Source, *, on_bad_row: str) -> list[Item]:
  """The rows of a source, in its order; a ranked list gives its pairs.

  on_bad_row: of `RULES`: the first bad row stops, or all stay in the list.

  Raises BadRow or ValueError for what cannot be read, for options there are
  not, and where no row is left.
  """
  legal = {
    "--on-bad-row": (on_bad_row, RULES),
    "--pairs": (source.pairs, compared.PAIRS),
    "--format": (source.format or "pair", FORMATS),
  }
  for option, (value, known) in legal.items():
    if value not in known:
      raise ValueError(
        f"{option} = {value!r} is unknown; one of {', '.join(known)}."
      )
  if source.limit < 0:
    raise ValueError(f"--limit = {source.limit}; it must be 0 (all) or more.")
  found: list[Item] = []

  def on_bad(bad: BadRow) -> None:
    if on_bad_row == "error":
      raise bad
    found.append(Item("", bad))

  rows = sources.read(
    source.path,
    split=source.split,
    limit=source.limit or None,
    on_bad=on_bad,
    reader=source.reader,
  )
  for row, origin in rows:
    try:
      found += _items(row, origin, source)
    except BadRow as bad:
      on_bad(bad)
  if all(item.kind == "" for item in found):
    first = f"; the first: {found[0].said}" if found else ""
    raise ValueError(
      f"{source.path} ({source.split}) has no row to score: "
      f"{len(found)} bad rows{first}\n"
      "Give rows with prompt and completion, or of another format."
    )
  return found


def _items(row: dict, origin: str, source: Source) -> list[Item]:
  name = source.format or turns.recognise(row, origin, FORMATS)
  if name in preferences.FORMATS:
    made = preferences.read_row(row, origin, name, source.pairs)
    kind = "judged" if name.startswith("judged") else "pair"
    return [Item(kind, item) for item in made]
  *prompt, last = formats.example(row, origin, name).messages
  fields = {"id": row["id"]} if "id" in row else {}
  item = Judged(tuple(prompt), (last,), True, 1.0, origin, fields)
  return [Item("completion", item)]


def encode(
  items: Sequence[Item],
  tokenizer: Any,
  template: Template,
  *,
  max_length: int,
  on_bad_row: str,
) -> list[Asked]:
  """Items as tokens, as reward models are trained on them.

  max_length: of a prompt and a completion together, in tokens. A row with a
    longer one is not scored, and says so; nothing is cut.
  on_bad_row: as of `read`, for what cannot be written as tokens.
  """
  found = []
  for item in items:
    try:
      found.append(_encode(item, tokenizer, template, max_length))
    except BadRow as bad:
      if on_bad_row == "error":
        raise
      found.append(_unscored(bad))
  return found


def _encode(item: Item, tokenizer, template, max_length: int) -> Asked:
  kind, said = item
  if isinstance(said, BadRow):
    raise said
  label = None if kind == "completion" else float(said.label)
  found = Asked(said.origin, kind, label, said.fields.get("id"), (), (), "")
  ((row,), _) = pairs.encode(said, tokenizer, template, sys.maxsize, "drop")
  prompt = row.tokens[row.documents == 1]
  sequences, lengths = [], []
  for document in range(2, int(row.documents.max()) + 1):
    own = row.documents == document
    # What the template writes after the end token comes too late to count.
    n = int(np.flatnonzero(row.completions[own])[-1]) + 1
    sequences.append(np.concatenate([prompt, row.tokens[own][:n]]))
    lengths.append(n)
  found = found._replace(lengths=tuple(lengths))
  if max(map(len, sequences)) > max_length:
    sizes = " and ".join(str(len(x)) for x in sequences)
    return found._replace(
      reason=f"too long: {sizes} tokens, the limit is {max_length}"
    )
  return found._replace(sequences=tuple(sequences))


def _unscored(bad: BadRow) -> Asked:
  reason = f"{bad.kind}: {bad.reason.splitlines()[0]}"
  return Asked(bad.origin, "", None, None, (), (), reason)


def line(asked: Asked, scores: np.ndarray | None, members: np.ndarray) -> str:
  """A row as one line of JSON.

  scores: [completions], None where it is not scored. members: [completions, k]
    of an ensemble's k members, told where there are several.
  """
  row: dict = {"origin": asked.origin, "kind": asked.kind or None}
  if asked.id is not None:
    row["id"] = asked.id
  if asked.label is not None:
    row["label"] = asked.label
  if asked.lengths:
    row["tokens"] = list(asked.lengths)
  row["scores"] = None if scores is None else _shortest(scores)
  if scores is None:
    row["reason"] = asked.reason
  elif members.shape[1] > 1:
    row["members"] = [_shortest(x) for x in members]
  return json.dumps(row, ensure_ascii=False, default=str)


def _shortest(x: np.ndarray) -> list[float]:
  """float32 in as few digits as tell it from any other."""
  return [float(str(value)) for value in x]
