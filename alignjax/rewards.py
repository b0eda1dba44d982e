"""Rewards by rule: how good completions are, as plain functions of text.

A function takes conversations, completions and the rows the prompts came from
(what else the source knew, with the gold answer under "completion"), and gives
a float each. Its keyword-only arguments are options of its entry in
`config.reward`. A function of your own is named by its import path.
"""

import json
import re
from collections.abc import Mapping, Sequence

from alignjax import metrics

Prompts = Sequence[Sequence[Mapping]]
Texts = Sequence[str]
Rows = Sequence[Mapping]


def suite(prompts: Prompts, completions: Texts, rows: Rows) -> list[float]:
  """`metrics.reward` by the row's own `metric` and `answers`."""
  return [
    metrics.reward(_of(row, "metric"), text, _of(row, "answers"))
    for text, row in zip(completions, rows)
  ]


def answer(
  prompts: Prompts, completions: Texts, rows: Rows, *, metric: str
) -> list[float]:
  """`metrics.score` by one metric, against `answers` or the gold completion."""
  return [
    metrics.score(metric, text, row.get("answers") or [_of(row, "completion")])
    for text, row in zip(completions, rows)
  ]


def gsm8k(prompts: Prompts, completions: Texts, rows: Rows) -> list[float]:
  """1 where the number after the last `####` is the gold's (Cobbe et al. 2021).

  The gold answer ends with `#### NUMBER`; so must the completion.
  """
  return [
    float(marked(text) is not None and marked(text) == _gold(row))
    for text, row in zip(completions, rows)
  ]


def length(
  prompts: Prompts, completions: Texts, rows: Rows, *, low: int, high: int
) -> list[float]:
  """1 for low to high words, and n/low or high/n outside."""
  if not 1 <= low <= high:
    raise ValueError(
      f"length: low = {low}, high = {high}; 1 ≤ low ≤ high, in words."
    )

  def one(n):
    return n / low if n < low else min(1.0, high / n)

  return [one(len(text.split())) for text in completions]


def matches(
  prompts: Prompts, completions: Texts, rows: Rows, *, pattern: str
) -> list[float]:
  """1 where a regular expression is found in the text."""
  try:
    regex = re.compile(pattern)
  except re.error as error:
    raise ValueError(f"matches: pattern = {pattern!r}: {error}.") from None
  return [float(regex.search(text) is not None) for text in completions]


def valid_json(prompts: Prompts, completions: Texts, rows: Rows) -> list[float]:
  """1 where the whole text is one JSON value."""
  return [float(parses(text)) for text in completions]


def _of(row: Mapping, key: str):
  if key not in row:
    raise ValueError(
      f"A prompt's row has no {key!r}, which the reward reads; it has "
      f"{', '.join(sorted(row)) or 'nothing'}."
    )
  return row[key]


def parses(text: str) -> bool:
  """Whether the whole text is one JSON value."""
  try:
    json.loads(text)
  except (ValueError, RecursionError):
    return False
  return True


def marked(text: str) -> float | None:
  """The number behind the last `####`, None where there is none."""
  found = re.findall(r"####\s*(-?[\d,]*\.?\d+)", text)
  return float(found[-1].replace(",", "")) if found else None


def _gold(row: Mapping) -> float:
  number = marked(_of(row, "completion"))
  if number is None:
    raise ValueError(
      f"gsm8k: the gold answer {row['completion'][-40:]!r} does not end with "
      "`#### NUMBER`."
    )
  return number
