"""Lines of items → the numbers of a task: a pure function, so repeatable."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from alignjax.evals.items import Line
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

Totals = Callable[[Sequence[Line], int], dict[str, Estimate]]


def numbers(
  lines: Sequence[Line], *, seed: int, totals: Totals | None = None
) -> dict:
  """What a task's items say together.

  lines: of items, with their "scores". seed: of resampling.

  "metrics": the mean of each metric over the items that have it, items of one
  cluster resampled together, and what `totals` makes of them. "groups": the
  same by group, where there are several. "macro": the mean over groups, each
  counting the same, of what all have; groups are fixed, items within them are
  drawn.
  """
  found = {"items": len(lines), "metrics": _means(lines, seed)}
  if totals is not None:
    found["metrics"] |= totals(lines, seed)
  groups: dict[str, list[Line]] = {}
  for line in lines:
    groups.setdefault(line.get("group", ""), []).append(line)
  if len(groups) > 1:
    of = {
      name: _means(own, seed) | (totals(own, seed) if totals else {})
      for name, own in groups.items()
    }
    found["groups"] = {
      name: {"items": len(groups[name]), "metrics": of[name]} for name in of
    }
    found["macro"] = {
      metric: macro([x[metric] for x in of.values()])
      for metric in _names(lines)
      if all(metric in x for x in of.values())
    }
  return plain(found)


def macro(parts: Sequence[Estimate]) -> Estimate:
  """The mean of independent estimates, each counting the same.

  The distances of their limits are squared and added (Zou and Donner 2008), so
  that a group whose few items are all right does not count as certain.
  """
  mean = float(np.mean([x.mean for x in parts]))
  error, below, above = (
    math.sqrt(sum(x**2 for x in distances)) / len(parts)
    for distances in zip(
      *((x.error, x.mean - x.low, x.high - x.mean) for x in parts)
    )
  )
  n = sum(x.n for x in parts)
  return Estimate(mean, error, mean - below, mean + above, n)


def _means(lines: Sequence[Line], seed: int) -> dict[str, Estimate]:
  found = {}
  for metric in _names(lines):
    own = [line for line in lines if metric in line["scores"]]
    scores = np.array([line["scores"][metric] for line in own], float)
    clusters = [line.get("cluster") or line["id"] for line in own]
    _, at = np.unique(clusters, return_inverse=True)
    found[metric] = intervals.mean(scores, at, seed=seed)
  return found


def _names(lines: Sequence[Line]) -> list[str]:
  """All metrics, in the order in which items have them."""
  return list(dict.fromkeys(name for x in lines for name in x["scores"]))


def plain(value):
  """Estimates as objects of JSON; what is not finite as null."""
  if isinstance(value, Estimate):
    return {k: plain(x) for k, x in value._asdict().items()}
  if isinstance(value, Mapping):
    return {k: plain(x) for k, x in value.items()}
  if isinstance(value, list):
    return [plain(x) for x in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
