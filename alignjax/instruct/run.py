"""A method run to its end: rows, what was left out, and what it took.

A folder holds `rows.jsonl`, `rejected.jsonl` with the reason of each,
`summary.json` with every count, and what was said, `writer.replies.jsonl`. A
method is a function of its options and of what was said: the same command goes
on where it stopped, and ends with the same bytes.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from alignjax.instruct.made import Left, Tools
from alignjax.log.provenance import environment
from alignjax.log.records import line, replace_file


def run(
  make: Callable,
  tools: Tools,
  folder: Path,
  *,
  about: Mapping,
  prices: Mapping[str, tuple[float, float]],
  show: Callable[[str], None],
) -> dict:
  """Writes the folder's files; returns what `summary.json` holds.

  about: the config, kept in the summary. prices: of "writer" and "judge", money
  for a million tokens that are read, and that are written. show: told a line
  now and then.
  """
  rows, rejected = [], []
  reasons: Counter[str] = Counter()
  for made in make(tools):
    if isinstance(made, Left):
      reasons[made.reason] += 1
      rejected.append({"reason": made.reason, **made.about})
    else:
      made["made"] = {**made["made"], "by": tools.ask.writer.about}
      rows.append(made)
      if len(rows) % 16 == 0:
        show(f"{len(rows)} rows, {len(rejected)} left out")
  replace_file(folder / "rejected.jsonl", "".join(map(line, rejected)))
  told = {
    "rows": len(rows),
    "rejected": dict(reasons.most_common()),
    "used": {
      name: _used(ask, prices[name])
      for name, ask in (("writer", tools.ask), ("judge", tools.judge))
      if ask is not None
    },
    "config": dict(about),
    "code": environment(),
  }
  text = json.dumps(told, indent=1, ensure_ascii=False)
  replace_file(folder / "summary.json", text + "\n")
  # Last: who finds it has all.
  replace_file(folder / "rows.jsonl", "".join(map(line, rows)))
  return told


def _used(ask, price: tuple[float, float]) -> dict:
  spent = ask.spent()
  tokens = spent["tokens_asked"], spent["tokens_answered"]
  cost = sum(p * n for p, n in zip(price, tokens)) / 1e6
  return spent | {"cost": cost}
