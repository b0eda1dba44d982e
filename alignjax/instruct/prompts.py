"""Prompts of a source: turns that end with the user's, as rows have them."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from alignjax.data import sources, suite, turns
from alignjax.data.bad import BadRow
from alignjax.data.said import said
from alignjax.remote import kept

CARRIED = ("task", "cluster", "source", "licence", "license")


class Prompt(NamedTuple):
  """id: the row's own, or a hash of its turns. row: all that it has."""

  id: str
  turns: tuple[dict, ...]
  row: dict

  def carried(self) -> dict:
    """What a row that is made of this one has of it."""
    return {key: self.row[key] for key in CARRIED if key in self.row}


def read(path: str, split: str, limit: int) -> list[Prompt]:
  """The prompts of a source, each once.

  path: as of `sources.read`, or `suite`. Rows of any format: of a pair or a
    judged answer what comes before it, of a conversation what comes before its
    last answer. limit: rows, 0 for all.

  Raises BadRow for a row without a prompt, or with an id that another has, for
  answers are told apart by it; ValueError for no path, a limit below 0, and
  where none is left.
  """
  if not path or limit < 0:
    raise ValueError(
      f"prompts = {path!r}, limit = {limit}.\n"
      "Legal: a file or a folder of rows with prompts, and 0 (all) or more."
    )
  found: dict[str, Prompt] = {}
  ids: dict[str, str] = {}
  for row, origin in _rows(path, split, limit):
    asked = said(row, origin).prompt
    if not asked:
      keys = ", ".join(row)
      reason = f"no prompt in this row; its keys: {keys}\ngive prompts or turns"
      raise BadRow(origin, "missing field", reason)
    id = row.get("id")
    id = str(id) if isinstance(id, str | int) else ""
    turns.once(id, origin, ids)
    text = json.dumps(asked)
    one = Prompt(id or kept.digest(text)[:16], asked, row)
    found.setdefault(text, one)
  if not found:
    raise ValueError(f"{path} ({split}) has no row.\nGive another split.")
  return [*found.values()]


def _rows(path: str, split: str, limit: int) -> Iterable[tuple[dict, str]]:
  if path == "suite":
    rows = suite.rows(split)[: limit or None]
    return [(row, f"suite[{row['id']}]") for row in rows]
  return sources.read(path, split=split, limit=limit or None)
