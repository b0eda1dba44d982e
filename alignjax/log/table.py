"""A rollout as it is shown: a line of means, and some of its completions.

A row has "prompt", "completion", "score", "kl" (nats a completion), "tokens"
and "stopped".
"""

import io
import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

NAME = "rollouts"  # of their rows in samples.jsonl
WIDTH = 80  # columns of a table; fewer on a narrower terminal
KEPT = 8  # rows of a rollout that go into samples.jsonl
SHOWN = 100  # characters of a text that are looked at: more than a line has


def line(metrics: Mapping) -> str:
  """`score 0.412, KL 0.83 nats, 14.2 tokens, 3 % cut`: means over completions.

  What is not there, or None, is left out.
  """
  parts = {
    "objective/scores": "score {:z.3f}",
    "objective/kl": "KL {:z.2f} nats",
    "completions/mean_length": "{:.1f} tokens",
    "completions/clipped_ratio": "{:.0%} cut",
  }
  said = [
    text.format(metrics[name]).replace("%", " %")
    for name, text in parts.items()
    if metrics.get(name) is not None
  ]
  return ", ".join(said)


def ranked(rows: Sequence[Mapping]) -> list[Mapping]:
  """Rows from the best score to the worst; as they stand where it is equal."""

  def score(row):
    return -math.inf if row.get("score") is None else row["score"]

  return sorted(rows, key=score, reverse=True)


def spread(rows: Sequence[Mapping], n: int) -> list[Mapping]:
  """At most n rows, evenly over the ranks, the best and the worst among them.

  Not the first n: samples of a prompt stand together, so that these would be
  of one prompt or two, and say nothing of what is rare.
  """
  found = ranked(rows)
  n = min(n, len(found))
  return [found[i * (len(found) - 1) // max(n - 1, 1)] for i in range(n)]


def three(rows: Sequence[Mapping]) -> Table:
  """The best, the median and the worst by score, each in a line."""
  found, table = ranked(rows), Table(box=None, pad_edge=False, expand=True)
  table.add_column("")
  for name in ("score", "KL", "tokens"):
    table.add_column(name, justify="right", no_wrap=True)
  for name, share in (("prompt", 2), ("completion", 3)):
    table.add_column(name, ratio=share, no_wrap=True, overflow="ellipsis")
  places = {"best": 0, "median": (len(found) - 1) // 2, "worst": -1}
  for name, i in places.items():
    row = found[i]
    numbers = f"{row['score']:.3g}", f"{row['kl']:z.2f}", f"{row['tokens']}"
    texts = [Text(_one_line(row[key])) for key in ("prompt", "completion")]
    table.add_row(name, *numbers, *texts)
  return table


def plain(table: Table) -> str:
  """A table as lines of text without colours."""
  stream = io.StringIO()
  Console(file=stream, width=WIDTH, color_system=None).print(table)
  return "\n".join(x.rstrip() for x in stream.getvalue().splitlines())


def _one_line(text: str) -> str:
  """The beginning of a text; what would move a terminal's cursor is escaped."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode()
    for c in text[:SHOWN]
  )
