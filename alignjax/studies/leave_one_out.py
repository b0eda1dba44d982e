"""What a model can do of tasks that are like nothing it was trained on.

As for FLAN (Wei et al. 2022, https://arxiv.org/abs/2109.01652): a model is
trained, from the same start, on all clusters but those of a family, and asked
those; beside it the start itself, and a model trained on all clusters. Then,
as in section 4.1 there, models of more and more clusters are asked some that
are related to none of them. All have the same number of steps, so fewer
clusters means more passes over their rows.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich.table import Table

from alignjax.data import suite
from alignjax.evals.summary import macro, plain
from alignjax.evals.tables import cell
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate
from alignjax.studies import parts
from alignjax.studies.families import family, members

BASE, SEEN = "base", "seen"


class Part(NamedTuple):
  """A model of the study: clusters it is trained on, clusters it is asked."""

  name: str
  trained: tuple[str, ...]
  asked: tuple[str, ...]


def plan(study: ConfigDict, seed: int) -> list[Part]:
  """The models of a study, the base and that of all clusters first.

  study: "families" that take part; "tested", those of them that the curve asks;
    "sizes", numbers of clusters of the curve, to which all that are left are
    added. Clusters of the curve are a prefix of one order, drawn by `seed`.

  Raises ValueError where nothing would be trained on.
  """
  families = tuple(study.families)
  everything = members(families)
  tested = members(study.tested)
  pool = tuple(x for x in everything if x not in tested)
  odd = [x for x in study.tested if x not in families]
  if odd or not tested or not pool or len(families) < 2:
    raise ValueError(
      f"study.families = {families}, study.tested = {tuple(study['tested'])}: "
      "what is tested must be of the families,\nand leave some to train on; "
      "two families at least."
    )
  order = np.random.default_rng(seed).permutation(len(pool))
  sizes = [k for k in sorted(set(study.sizes)) if 0 < k < len(pool)]
  drawn = [tuple(pool[i] for i in order[:k]) for k in (*sizes, len(pool))]
  left = {
    name: tuple(x for x in everything if family(x) != name) for name in families
  }
  return [
    Part(BASE, (), everything),
    Part(SEEN, everything, everything),
    *(Part(f"without-{k}", x, members([k])) for k, x in left.items()),
    *(Part(f"clusters-{len(x)}", x, tested) for x in drawn),
  ]


def run(config: ConfigDict, folder: Path, *, say: parts.Say) -> dict:
  """Makes what is missing of the study in `folder`; its `numbers`.

  config: `configs/leave_one_out.py`. say: called with lines of progress.
  """
  planned = plan(config.study, config.seed)
  parts.begin(config, folder)
  for i, (name, trained, asked) in enumerate(planned, 1):
    say(f"{i}/{len(planned)} {name}: {len(trained)} clusters")
    task = config.study.task.to_dict() | {"path": asked}
    parts.part(
      config,
      folder / name,
      {"suite": task},
      _rows(trained, config.study.rows, config.seed),
      say=say,
    )
  found = numbers(folder)
  parts.write(folder, "leave_one_out", found)
  return found


def numbers(folder: Path) -> dict:
  """What the items on disk say; a pure function of the folder.

  "clusters": of each the family, and of "base", "heldout" (nothing of its
  family was trained on) and "seen" the mean score with n and 95 % interval, and
  "templates", the standard deviation of the means of its templates. "mean": of
  these, every cluster counting the same. "curve": the mean over the tested
  clusters by the number that was trained on, 0 being the base.

  Intervals are over items alone: clusters, the start and the order of training
  are what they are.
  """
  config = parts.read_config(folder)
  planned = plan(config.study, config.seed)
  scores = {part.name: _scores(folder / part.name) for part in planned}
  of = {
    name: {k: _estimate(x, config.seed) for k, x in own.items()}
    for name, own in scores.items()
  }
  clusters, kinds = {}, (BASE, "heldout", SEEN)
  for name in of[SEEN]:
    held = f"without-{family(name)}"
    clusters[name] = {"family": family(name)} | {
      kind: of[part][name]._asdict()
      | {"templates": _spread(scores[part][name])}
      for kind, part in zip(kinds, (BASE, held, SEEN))
    }
  means = {
    kind: macro([_back(x[kind]) for x in clusters.values()]) for kind in kinds
  }
  curve = []
  for part in planned:
    if part.name.startswith("clusters-"):
      if not curve:
        mean = macro([of[BASE][x] for x in part.asked])
        curve.append({"trained": 0, "clusters": [], "mean": mean})
      mean = macro(list(of[part.name].values()))
      n = len(part.trained)
      curve.append({"trained": n, "clusters": [*part.trained], "mean": mean})
  return plain({"clusters": clusters, "mean": means, "curve": curve})


def tables(found: Mapping) -> list[Table]:
  """The numbers for people."""
  heads = ("base", "held-out", "seen")
  first = Table(
    "cluster", "family", "n", *heads, "± templates", box=None, pad_edge=False
  )
  for name, x in found["clusters"].items():
    kinds = [x[kind] for kind in (BASE, "heldout", SEEN)]
    spread = " ".join(_short(kind["templates"]) for kind in kinds)
    n = str(kinds[0]["n"])
    first.add_row(name, x["family"], n, *map(cell, kinds), spread)
  means = found["mean"]
  n = str(means[BASE]["n"])
  first.add_row("mean", "", n, *(cell(x) for x in means.values()), "")
  second = Table("trained on", "score", "n", box=None, pad_edge=False)
  for x in found["curve"]:
    second.add_row(str(x["trained"]), cell(x["mean"]), str(x["mean"]["n"]))
  return [first, second]


def _rows(clusters: Sequence[str], each: int, seed: int) -> list[dict]:
  """Rows to train on, as many of each cluster, or all that it has."""
  found = []
  for name in clusters:
    n = min(each, suite.size("train", name))
    found += suite.rows("train", n=n, seed=seed, clusters=(name,))
  return [{k: row[k] for k in ("prompt", "completion")} for row in found]


def _scores(folder: Path) -> dict[str, dict[int, list[float]]]:
  """Cluster → template → scores."""
  found: dict = {}
  for item in parts.items(folder, "suite"):
    own = found.setdefault(item["group"], {})
    own.setdefault(item["template"], []).append(item["scores"]["score"])
  return found


def _estimate(scores: Mapping[int, list[float]], seed: int) -> Estimate:
  return intervals.mean(np.array(sum(scores.values(), []), float), seed=seed)


def _spread(scores: Mapping[int, list[float]]) -> float:
  """Standard deviation of the means of templates, NaN where there is one."""
  if len(scores) < 2:
    return math.nan
  return float(np.std([np.mean(x) for x in scores.values()], ddof=1))


def _back(x: Mapping) -> Estimate:
  return Estimate(*(x[k] for k in Estimate._fields))


def _short(x: float | None) -> str:
  return "–" if x is None else f"{x:.2f}"
