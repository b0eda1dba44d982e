"""Prompts of a source: turns that end with the user's, as rows have them."""

from collections.abc import Iterable
from typing import NamedTuple

from alignjax.data import formats, preferences, sources, suite, turns
from alignjax.data.bad import BadRow


class Prompt(NamedTuple):
  """id: the row's own, or its origin. row: all that it has."""

  id: str
  turns: tuple[dict, ...]
  row: dict


def read(path: str, split: str, limit: int) -> list[Prompt]:
  """The prompts of a source, each once.

  path: as of `sources.read`, or `suite`. Rows of any format: of a pair or a
    judged answer what comes before it, of a conversation what comes before its
    last answer. limit: rows, 0 for all.

  Raises BadRow for a row without a prompt, ValueError where none is left.
  """
  found: dict[str, Prompt] = {}
  for row, origin in _rows(path, split, limit):
    asked = _turns(row, origin)
    one = Prompt(str(row.get("id", origin)), asked, row)
    found.setdefault(repr(asked), one)
  if not found:
    raise ValueError(f"{path} ({split}) has no row.\nGive another split.")
  return [*found.values()]


def _rows(path: str, split: str, limit: int) -> Iterable[tuple[dict, str]]:
  if path == "suite":
    rows = suite.rows(split)[: limit or None]
    return [(row, f"suite[{row['id']}]") for row in rows]
  return sources.read(path, split=split, limit=limit or None)


def _turns(row: dict, origin: str) -> tuple[dict, ...]:
  if turns.is_one(row, preferences.FORMATS):
    return preferences.read_row(row, origin)[0].prompt
  if turns.is_one(row, formats.FORMATS):
    made = formats.example(row, origin).messages[:-1]
  else:
    made = "prompt" in row and formats.question(row, origin).messages
  if not made:
    raise BadRow(
      origin,
      "missing field",
      f"no prompt in this row; its keys: {', '.join(row)}\n"
      "give rows with a prompt, or conversations",
    )
  return tuple(made)
