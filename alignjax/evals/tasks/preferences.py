"""Preferences: does a model tell the better answer of two?

Files of HH, RewardBench and whatever else `alignjax score` reads.
"""

from collections.abc import Iterable, Mapping

from alignjax.data import preferences, suite
from alignjax.data.bad import BadRow
from alignjax.data.sources import read
from alignjax.evals import files
from alignjax.evals.items import Item, Line, Task


def task(path: str, *, split: str, group: str, limit: int) -> Task:
  """Whether the preferred answer is scored higher, or found likelier.

  path: a file, a folder, `suite` (whose rows have a "cluster" and a "reason").
    group: the key of a row that tables are made by (RewardBench's "subset"), ""
    for none. limit: rows, 0 for all.

  A reward model: acc by its score. A language model: acc/sum by Σ log p of the
  answer, which favours short ones, acc/mean by that of a token. A tie is wrong.
  Rows that are no such pair (an empty side, two the same) are counted in
  `about`.
  longer: whether the longer answer is the preferred one, in tokens, half for
  equals: what knows nothing but length has that accuracy.
  """
  items, bad = [], 0
  for number, (row, origin) in enumerate(_rows(path, split, limit)):
    try:
      name = preferences.recognise(row, origin)
      pairs = preferences.read_row(row, origin, name, "all")
    except BadRow:
      bad += 1
      continue
    for said in pairs:
      turns = getattr(said, "sides", ())
      whole = len(turns) == 2 and all(len(side) == 1 for side in turns)
      if not whole or not all(side[0]["content"].strip() for side in turns):
        bad += 1
        continue
      if said.label == 0.5:
        continue
      first, second = turns if said.label > 0.5 else turns[::-1]
      items.append(
        Item(
          f"pair-{len(items)}",
          tuple(said.prompt),
          (first[0]["content"], second[0]["content"]),
          group=str(row.get(group, "")) if group else "",
          cluster=f"row-{number}",
          fields={"origin": origin},
        )
      )
  if not items:
    raise ValueError(
      f"{path} ({split}) has no pair of single answers, one of them preferred; "
      f"{bad} rows are something else."
    )
  about = {
    "source": files.identity(path),
    "split": split,
    "normalisation": "sum and mean",
    "shots": 0,
    "limit": limit,
    "left out": bad,
  }
  main = {"acc": "up", "acc/sum": "up", "acc/mean": "up"}
  return Task("pairs", items, _score, about, main)


def _rows(path: str, split: str, limit: int) -> Iterable[tuple[dict, str]]:
  if path != "suite":
    return read(path, split=split, limit=limit or None)
  rows = suite.rows(split, n=limit or None)
  return [(suite.preference(row) | _told(row), row["id"]) for row in rows]


def _told(row: dict) -> dict:
  return {k: row[k] for k in ("cluster", "reason")}


def _score(line: Line, output: Mapping) -> dict[str, float]:
  one, other = output["tokens"]
  longer = {"longer": 0.5 if one == other else float(one > other)}
  if "scores" in output:
    better, worse = output["scores"]
    return {"acc": float(better > worse), **longer}
  better, worse = output["logps"]
  means = better / one, worse / other
  return {
    "acc/sum": float(better > worse),
    "acc/mean": float(means[0] > means[1]),
    **longer,
  }
