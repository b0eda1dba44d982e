"""Rows that cannot be used: what is wrong with each, and what becomes of it.

Kinds found while reading (`lines`, `tables`, `records`): broken JSON, broken
CSV, wrong columns, truncated last line, BOM, invalid UTF-8, NUL, NaN, deep
nesting, non-object, line too long. In the row (`formats`): missing field, wrong
type, lone surrogate, NUL, unknown role, tools, broken alternation, judged
answer, empty completion, empty text, duplicate id. In a row of preferences
(`preferences`, `compared`) these too: identical sides, no common prompt, no
preference, label outside [0, 1], duplicate, pair. As tokens (`chat`,
`tokenise`, `pairs`): template refuses, control token, lost turn, span not
found, empty completion, nothing trained, nothing left, prompt not kept,
identical sides. An empty line is no row at all.
"""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

RULES = ("error", "skip", "quarantine")
_SHOWN = 2000  # characters of a bad row that are kept


class BadRow(ValueError):
  """What is wrong with one row; its message is `origin: reason`."""

  def __init__(self, origin: str, kind: str, reason: str, raw: str = ""):
    super().__init__(f"{origin}: {reason}")
    self.origin, self.kind, self.reason = origin, kind, reason
    self.raw = raw[:_SHOWN]


class Record(NamedTuple):
  """A line of `bad_rows.jsonl`; `raw` is the start of the row's text."""

  origin: str
  kind: str
  reason: str
  raw: str


def stop(bad: BadRow) -> None:
  """The strict rule: the first bad row is an error."""
  raise bad


class BadRows:
  """Called with each bad row of a source: raises, counts or keeps it.

  rule: "error" raises the first one; "skip" counts them by kind; "quarantine"
    counts them and keeps a record of each in `kept`.
  limit: the part of the rows, 0 to 1, above which `check` raises.
  """

  def __init__(self, rule: str, limit: float):
    if rule not in RULES:
      raise ValueError(f"data.on_bad_row = {rule!r}; legal: {', '.join(RULES)}")
    if not 0 <= limit <= 1:
      raise ValueError(
        f"data.bad_rows_limit = {limit}; it is a part of the rows, from 0 to 1"
      )
    self.rule, self.limit = rule, limit
    self.counts: Counter[str] = Counter()
    self.kept: list[Record] = []
    self.first = ""

  def __call__(self, bad: BadRow) -> None:
    if self.rule == "error":
      raise bad
    self.first = self.first or str(bad).split("\n")[0]
    self.counts[bad.kind] += 1
    if self.rule == "quarantine":
      record = Record(bad.origin, bad.kind, bad.reason, bad.raw)
      self.kept.append(record)

  def check(self, good: int) -> None:
    """Raises ValueError where the bad ones are too many beside `good` rows."""
    bad = self.counts.total()
    if bad > self.limit * (good + bad):
      raise ValueError(
        f"{bad} of {good + bad} rows are bad, the limit is {self.limit:.2%}: "
        f"{self.kinds()}\nthe first: {self.first}\n"
        "repair the rows, or raise data.bad_rows_limit"
      )

  def kinds(self) -> str:
    """`3 NUL, 1 broken JSON`: the counts by kind, the largest first."""
    return ", ".join(f"{n} {kind}" for kind, n in self.counts.most_common())


def write(records: list[Record], file: Path) -> None:
  """Writes records as JSON Lines, ASCII: half a surrogate pair is no UTF-8."""
  lines = [json.dumps(record._asdict()) + "\n" for record in records]
  file.write_text("".join(lines), "ascii")
