"""What is counted of a file while its rows go by: the numbers of its card."""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from alignjax.data.said import Said, joined

QUANTILES = {"min": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "95%": 0.95}
QUANTILES |= {"max": 1.0}
UNTOLD = "not said"


class Counts:
  """Counts rows; `numbers` is a plain mapping of them.

  source, licence: of rows that do not say their own.
  """

  def __init__(self, source: str = "", licence: str = ""):
    self.bad: Counter[str] = Counter()
    self._default = {"sources": source, "licences": licence}
    self._tables = {
      name: Counter()
      for name in (
        "kinds formats roles languages clusters sources licences made".split()
      )
    }
    self._lengths = {
      name: array("q")
      for name in (
        "words of prompts,words of answers,characters of prompts,"
        "characters of answers,turns of rows,tokens of rows"
      ).split(",")
    }

  def __getitem__(self, table: str) -> Counter:
    return self._tables[table]

  def add(self, said: Said, row: dict, language: str, tokens: int) -> None:
    """Counts a row. language: its code or "undecided"; tokens: 0 for unknown.

    A row's answers count one by one, its turns up to the first answer's end.
    """
    tables, lengths = self._tables, self._lengths
    tables["kinds"][said.kind] += 1
    tables["formats"][said.format] += 1
    tables["languages"][language] += 1
    first = said.answers[0] if said.answers else ()
    for message in (*said.prompt, *(m for a in said.answers for m in a)):
      tables["roles"][message["role"] or "text"] += 1
    lengths["turns of rows"].append(len(said.prompt) + len(first))
    if said.prompt:
      self._measure("prompts", joined(said.prompt))
    for answer in said.answers:
      self._measure("answers", joined(answer))
    if tokens:
      lengths["tokens of rows"].append(tokens)
    if cluster := cluster_of(row):
      tables["clusters"][cluster] += 1
    made = row.get("made")
    how = made.get("how") if isinstance(made, dict) else None
    tables["made"][how if isinstance(how, str) and how else UNTOLD] += 1
    for table, keys in (
      ("sources", ("source",)),
      ("licences", ("licence", "license")),
    ):
      told = [row[k] for k in keys if isinstance(row.get(k), str) and row[k]]
      tables[table][(*told, self._default[table])[0] or UNTOLD] += 1

  def _measure(self, what: str, text: str) -> None:
    self._lengths[f"words of {what}"].append(len(text.split()))
    self._lengths[f"characters of {what}"].append(len(text))

  def numbers(self) -> dict:
    """Rows, tables (the largest first) and quantiles of lengths."""
    good = self._tables["kinds"].total()
    tables = {
      name: dict(sorted(table.items(), key=lambda entry: (-entry[1], entry[0])))
      for name, table in self._tables.items()
    }
    return {
      "rows": good + self.bad.total(),
      "bad": dict(sorted(self.bad.items())),
      **tables,
      "lengths": {k: quantiles(v) for k, v in self._lengths.items() if v},
    }


def cluster_of(row: dict) -> str:
  """A row's `cluster`, or its `task`; "" where it has neither as a text."""
  for key in ("cluster", "task"):
    if isinstance(row.get(key), str) and row[key]:
      return row[key]
  return ""


def quantiles(values: Sequence[int]) -> dict[str, int]:
  """`QUANTILES` of some whole numbers, each of them one of these.

  The smallest value that has a share q of them at or below it.
  """
  ordered = sorted(values)
  places = (math.ceil(q * len(ordered)) - 1 for q in QUANTILES.values())
  return {k: ordered[max(0, p)] for k, p in zip(QUANTILES, places)}


def file_hashes(files: Sequence[Path], root: Path) -> list[dict]:
  """Name below root, bytes and sha256 of files, by name."""
  found = []
  for file in sorted(files):
    inside = file != root and file.is_relative_to(root)
    name = file.relative_to(root).as_posix() if inside else file.name
    with file.open("rb") as f:
      digest = hashlib.file_digest(f, "sha256").hexdigest()
    found.append({"name": name, "bytes": file.stat().st_size, "sha256": digest})
  return found
