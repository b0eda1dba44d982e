"""Several models' answers to the same items, judged pair by pair.

A line is one item and one pair of models: which answer the judge liked, in both
orders, and how long they are. All numbers are made of lines.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alignjax.evals.items import Line
from alignjax.evals.judges import Judge, by_scores, judged
from alignjax.evals.summary import plain
from alignjax.log.records import read_metrics
from alignjax.statistics import intervals, wins
from alignjax.statistics.intervals import Estimate, Groups

UNITS = ("characters", "words", "tokens")  # of lengths
SAME = ("prompt", "gold")  # of an item, whoever answers


class Answers(NamedTuple):
  """What models answered to the items that all of them have.

  items: id → the item's line, without what a model made of it.
  outputs: model → id → {"text", "tokens", "stopped"}.
  left_out: model → number of its items that not all have.
  """

  items: dict[str, Line]
  outputs: dict[str, dict[str, dict]]
  left_out: dict[str, int]


def answers(folders: Mapping[str, Path], task: str) -> Answers:
  """Reads items/TASK.jsonl of each model's folder, as `evaluate` left it.

  Raises FileNotFoundError where a folder has no such file, and ValueError for
  fewer than two models, a task without answers, items that are not the same
  under one id, and where no item is common to all.
  """
  if len(folders) < 2:
    raise ValueError(
      f"{len(folders)} models: a win rate is of two or more.\n"
      "Give NAME=WORKDIR NAME=WORKDIR, folders that `alignjax evaluate` wrote."
    )
  read = {name: _read(folder, task) for name, folder in folders.items()}
  first, *others = read
  ids = [i for i in read[first] if all(i in read[name] for name in others)]
  if not ids:
    sizes = ", ".join(f"{name} {len(rows)}" for name, rows in read.items())
    raise ValueError(
      f"No item of {task} is common to all models; they have {sizes}.\n"
      "Evaluate them on the same split and limit of the task."
    )
  for name in others:
    for i in ids:
      one, other = read[first][i], read[name][i]
      differ = [key for key in SAME if one.get(key) != other.get(key)]
      if differ:
        raise ValueError(
          f"{task}, item {i}: {first} and {name} have another {differ[0]}.\n"
          "Win rates are of answers to the same items; evaluate both with the "
          "same task (shots, seed, files)."
        )
  made = ("output", "scores")
  return Answers(
    {
      i: {k: v for k, v in read[first][i].items() if k not in made} for i in ids
    },
    {name: {i: rows[i]["output"] for i in ids} for name, rows in read.items()},
    {name: len(rows) - len(ids) for name, rows in read.items()},
  )


def _read(folder: Path, task: str) -> dict[str, Line]:
  path = folder / "items" / f"{task}.jsonl"
  if not path.is_file():
    there = {p.name.split(".")[0] for p in path.parent.glob("*.jsonl")}
    if path.with_suffix(".part.jsonl").exists():
      remedy = "It is not complete: go on with the same `alignjax evaluate`."
    elif there:
      remedy = f"Tasks there: {', '.join(sorted(there))}."
    else:
      remedy = "Give a --workdir of `alignjax evaluate`."
    raise FileNotFoundError(f"No file {path}.\n{remedy}")
  rows = {row["id"]: row for row in read_metrics(path)}
  if any("text" not in row["output"] for row in rows.values()):
    raise ValueError(
      f"{path} has items without an answer's text: {task} is a task of "
      "likelihoods.\nWin rates need one in which the model writes."
    )
  return rows


def verdicts(found: Answers, judge: Judge) -> list[Line]:
  """A line of each pair of models and each item, in both orders.

  judge: told the ids of items as prompts, all of them in one call. "ab" is its
  verdict with the answer of model "a" shown first, "ba" that with b's first.
  """
  asked = [(*p, i) for p in combinations(found.outputs, 2) for i in found.items]
  a, b = (
    [found.outputs[row[side]][row[2]] for row in asked] for side in (0, 1)
  )
  said = judged(
    judge,
    [i for *_, i in asked],
    [x["text"] for x in a],
    [x["text"] for x in b],
  )
  lines = []
  for (name, other, i), v, x, y in zip(asked, said, a, b):
    line = {"id": i, "a": name, "b": other, "ab": v.ab, "ba": v.ba}
    if cluster := found.items[i].get("cluster"):
      line["cluster"] = cluster
    line |= {"characters": [*v.characters], "words": [*v.words]}
    lines.append(line | {"tokens": [x["tokens"], y["tokens"]]})
  return lines


def by_rule(score: Callable, items: Mapping[str, Line]) -> Judge:
  """The judge, told ids, that likes what a function scores higher.

  score: as in `alignjax.rewards`; a row is the item's line, its gold also under
  "answers". Equal scores are ties.
  """

  def scored(ids, texts):
    lines = [items[i] for i in ids]
    rows = [{"answers": x["gold"], **x} if "gold" in x else x for x in lines]
    return score([turns(x) for x in lines], texts, rows)

  return by_scores(scored)


def turns(line: Line) -> tuple[Mapping, ...]:
  """An item's prompt as a conversation; plain text is the user's."""
  prompt = line["prompt"]
  if isinstance(prompt, str):
    return ({"role": "user", "content": prompt},)
  return tuple(prompt)


def numbers(lines: Sequence[Line], *, seed: int) -> dict:
  """All numbers of a judging, from its lines; `seed` of the resampling.

  "models": mean lengths. "pairs": of each two models, from a's side. wins, ties
  and losses are means of both orders. win_rate and length_controlled (lengths
  in characters), and how the order of showing matters, are of prompts with a
  verdict in both orders; the others are counted in "none", with their verdicts.
  "strengths", of three models or more: Bradley and Terry's, in log-odds with
  mean 0, and the probability of beating the first model; where there are none,
  "no_strengths" says why.

  Items of one cluster are resampled together. What is not finite is None.
  """
  names = list(dict.fromkeys(x[side] for x in lines for side in ("a", "b")))
  pairs: dict[tuple, list[Line]] = {}
  for x in lines:
    pairs.setdefault((x["a"], x["b"]), []).append(x)
  found = {
    "prompts": len({x["id"] for x in lines}),
    "models": {name: _lengths(lines, name, seed) for name in names},
    "pairs": [
      {"a": a, "b": b, **_pair(own, seed)} for (a, b), own in pairs.items()
    ],
  }
  if len(names) > 2:
    found |= _strengths(lines, names, seed)
  return plain(found)


def _clusters(lines: Iterable[Line]) -> list[str]:
  return [x.get("cluster") or x["id"] for x in lines]


def _lengths(lines: Sequence[Line], name: str, seed: int) -> dict:
  """Mean lengths of a model's answers, each counted once."""
  own = {x["id"]: x for x in lines if name in (x["a"], x["b"])}.values()
  by = intervals.codes(_clusters(own), len(own))
  found = {}
  for unit in UNITS:
    n = np.array([x[unit][x["b"] == name] for x in own], float)
    # Not `mean`: lengths of 0 and 1 are no shares.
    settings = dict(seed=seed, draws=intervals.DRAWS)
    found[unit], _ = intervals.symmetric(n, by, **settings)
  return found


def _answered(lines: Sequence[Line]) -> list[Line]:
  return [x for x in lines if "none" not in (x["ab"], x["ba"])]


def _wins(lines: Sequence[Line]) -> np.ndarray:
  return wins.outcomes([x["ab"] for x in lines], [x["ba"] for x in lines])


def _pair(lines: Sequence[Line], seed: int) -> dict:
  none = [v for x in lines for v in (x["ab"], x["ba"]) if v == "none"]
  own = _answered(lines)
  won, by = _wins(own), _clusters(own)
  found = {
    "n": len(own),
    "wins": float((won == 1).sum() / 2),
    "ties": float((won == 0.5).sum() / 2),
    "losses": float((won == 0).sum() / 2),
    "none": {"prompts": len(lines) - len(own), "verdicts": len(none)},
  }
  if not own:
    return found
  bias = wins.position_bias(won, by, seed=seed)
  lengths = np.array([x["characters"] for x in own])
  return found | {
    "win_rate": wins.win_rate(won, by, seed=seed),
    "length_controlled": wins.length_controlled(won, lengths, by, seed=seed),
    "order_changes": bias.disagree,
    "first_wins": bias.first,
  }


def _strengths(lines: Sequence[Line], names: list[str], seed: int) -> dict:
  own = _answered(lines)
  a, b = (np.array([names.index(x[k]) for x in own], int) for k in ("a", "b"))
  if missing := [n for k, n in enumerate(names) if k not in {*a, *b}]:
    return {"no_strengths": f"no verdict on {', '.join(missing)}"}
  won, by = _wins(own).mean(1), _clusters(own)
  try:
    found = wins.strengths(a, b, won, by, seed=seed)
  except ValueError as error:
    numbered = ", ".join(f"{k} is {name}" for k, name in enumerate(names))
    return {"no_strengths": f"{error}; {numbered}"}
  beats = [None, *chances(a, b, won, by, seed=seed)[1:]]
  of = {
    name: {"strength": s, "beats_first": p}
    for name, s, p in zip(names, found, beats)
  }
  return {"strengths": of}


def chances(
  a: Int[np.ndarray, "n"],
  b: Int[np.ndarray, "n"],
  won: Float[np.ndarray, "n"],
  prompts: Groups,
  *,
  seed: int,
) -> list[Estimate]:
  """P(each model beats model 0) = σ(s − s_0) of `wins.strengths`.

  Arguments, draws and error as there; a draw without strengths may be 0 or 1.
  """
  m = int(max(a.max(), b.max())) + 1

  def of(at: np.ndarray) -> np.ndarray:
    table = np.zeros((m, m))
    np.add.at(table, (a[at], b[at]), won[at])
    np.add.at(table, (b[at], a[at]), 1 - won[at])
    try:
      s = wins.bradley_terry(table)
    except ValueError:  # some model never lost in this draw
      return np.full(m, math.nan)
    return 0.5 * (1 + np.tanh((s - s[0]) / 2))

  by = intervals.codes(prompts, len(a))
  draws = np.array([of(at) for at in intervals.resamples(by, seed=seed)])
  estimates = []
  for p, drawn in zip(of(np.arange(len(a))), draws.T):
    none = np.isnan(drawn)
    low, high = intervals.percentiles(
      np.where(none, 0.0, drawn), np.where(none, 1.0, drawn), int(by.max()) + 1
    )
    error = math.inf if none.all() else float(drawn[~none].std())
    bounds = max(0.0, low), min(1.0, high)
    estimates.append(Estimate(float(p), error, *bounds, len(a)))
  return estimates
