"""Scores of a file in numbers: what was scored, and how well pairs are told."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from alignjax.data.audit_tables import share
from alignjax.scoring.measures import (
  EQUAL,
  Agreement,
  Rewards,
  agreement,
  rewards,
)
from alignjax.scoring.run import Scores


class Report(NamedTuple):
  """rows: all of them. unscored: why → rows, the first one in `first`.

  rewards: of all completions scored. agreement: of the pairs among them, None
  where there are none.
  """

  rows: int
  completions: int
  unscored: dict[str, int]
  first: str
  rewards: Rewards
  agreement: Agreement | None


def report(found: Scores) -> Report:
  """The report on rows of which at least one is scored."""
  rows = found.rows
  left = [row.asked for row in rows if row.scores is None]
  scores = [row.scores for row in rows if row.scores is not None]
  pairs = [
    row for row in rows if row.scores is not None and row.asked.kind == "pair"
  ]
  told = None
  if pairs:
    chosen, rejected = np.array([row.scores for row in pairs]).T
    lengths = np.array([row.asked.lengths for row in pairs]).T
    label = np.array([row.asked.label for row in pairs])
    told = agreement(chosen - rejected, label, *lengths, unit=found.unit)
  every = np.concatenate(scores)
  return Report(
    rows=len(rows),
    completions=len(every),
    unscored=dict(Counter(a.reason.split(":")[0] for a in left).most_common()),
    first=f"{left[0].origin}: {left[0].reason}" if left else "",
    rewards=rewards(every),
    agreement=told,
  )


def tables(found: Report) -> Iterator[Table | Text]:
  """The report as people read it."""
  r = found.rewards
  cells = {
    "rows": f"{found.rows:,}",
    **{f"  not scored, {k}": f"{n:,}" for k, n in found.unscored.items()},
    "completions": f"{found.completions:,}",
    "  reward, mean": f"{r.mean:.3f}",
    "  standard deviation": f"{r.std:.3f}",
    "  min, max": f"{r.min:.3f}, {r.max:.3f}",
  }
  if found.agreement is not None:
    cells |= _of_pairs(found.agreement)
  table = Table("", "", box=None, show_header=False)
  table.columns[1].justify = "right"
  for name, cell in cells.items():
    table.add_row(name, cell)
  yield table
  if found.first:
    yield Text(f"the first not scored: {found.first}")
  if found.agreement is not None:
    yield Text(
      "\nIntervals are of 95 % (Wilson) and take pairs as independent. About "
      f"equal: lengths\nin tokens differ by at most {EQUAL:.0%} of the longer "
      "one. Log loss: nats a pair, 0.693\nknows nothing. ECE: 10 bins of the "
      "confidence in the higher score, from 0.5 to 1."
    )


def _of_pairs(a: Agreement) -> dict[str, str]:
  return {
    "pairs": f"{a.pairs:,}",
    "  accuracy": share(a.accuracy),
    **{f"    {name}": share(s) for name, s in a.by_length.items()},
    "  by length alone: the longer": share(a.longer),
    "  mean margin": f"{a.margin:.3f}",
    "  log loss": f"{a.log_loss:.3f}",
    "  ECE": f"{a.ece:.3f}",
  }
