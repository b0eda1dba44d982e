"""A method run to its end: rows, what was left out, and what it took.

A folder holds `rows.jsonl`, `rejected.jsonl` with the reason of each,
`summary.json` with every count, and what was said, `writer.replies.jsonl`. A
method is a function of its options and of what was said: the same command goes
on where it stopped, and ends with the same bytes of the first two.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from alignjax.evals.files import identity
from alignjax.instruct.made import Left, Made, Tools
from alignjax.log.provenance import environment
from alignjax.log.records import line, replace_file

# Of a config, what may change in a folder: how many, and how they are asked.
FREE = {"mesh", "rows", "batch", "method.rows", "method.rounds", "method.limit"}
FREE |= {
  f"{who}.{key}"
  for who in ("writer", "judge")
  for key in ("url", "workers", "per_minute", "timeout", "retries", "price")
}
# Of a method's options, those that are no files.
WORDS = {"name", "split"}


def run(
  make: Callable[[Tools], Made],
  tools: Tools,
  folder: Path,
  *,
  about: Mapping,
  prices: Mapping[str, tuple[float, float]],
  show: Callable[[str], None],
) -> dict:
  """Writes the folder's files; returns what `summary.json` holds.

  about: the config, kept in the summary, with a hash of the files that its
  `method` names. prices: of "writer" and "judge", money for a million tokens
  that are read, and that are written. show: told a line now and then.

  Raises ValueError where the folder's rows were made otherwise.
  """
  _check(folder, about)
  rows, rejected = [], []
  reasons: Counter[str] = Counter()
  for made in make(tools):
    if isinstance(made, Left):
      reasons[made.reason] += 1
      rejected.append({"reason": made.reason, **made.about})
    else:
      how = made.get("made", {})
      made["made"] = {**how, "by": tools.ask.writer.about}
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
    "files": {
      key: identity(value)
      for key, value in about.get("method", {}).items()
      if key not in WORDS and value and isinstance(value, str)
      if Path(value).exists()
    },
    "code": environment(),
  }
  text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
  replace_file(folder / "summary.json", text + "\n")
  # Last: who finds it has all.
  replace_file(folder / "rows.jsonl", "".join(map(line, rows)))
  return told


def _used(ask, price: tuple[float, float]) -> dict:
  spent = ask.spent()
  tokens = spent["tokens_asked"], spent["tokens_answered"]
  cost = sum(p * n for p, n in zip(price, tokens)) / 1e6
  return spent | {"cost": cost}


def _check(folder: Path, about: Mapping) -> None:
  """Raises where a folder holds rows of another config."""
  file = folder / "summary.json"
  if not file.exists():
    return
  before = _flat(json.loads(file.read_text("utf-8"))["config"])
  now = _flat(json.loads(json.dumps(about)))
  for key in sorted(before.keys() | now.keys()):
    if key in FREE or before.get(key) == now.get(key):
      continue
    raise ValueError(
      f"{folder} has rows made with {key} = {before.get(key)!r}, now "
      f"{now.get(key)!r}.\nGive another --workdir, or remove that one; what "
      "was said is not asked again where its *.replies.jsonl are copied."
    )


def _flat(value: Mapping, before: str = "") -> dict:
  found = {}
  for key, inner in value.items():
    nested = isinstance(inner, Mapping)
    found |= (
      _flat(inner, f"{before}{key}.") if nested else {before + key: inner}
    )
  return found
