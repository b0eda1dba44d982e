"""How far raters agree: Krippendorff's α, Fleiss' κ and plain agreement."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from alignjax.feedback.judgements import Judgement, by_pair
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

WINNERS = ("a", "tie", "b", "both_bad")
STEPS = (-2, -1, 0, 1, 2)
MISSING = (
  "α needs a package that is not there: pip install 'alignjax[feedback]'"
)

Counts = Int[np.ndarray, "pairs values"]


class Agreement(NamedTuple):
  """Of the first votes on pairs that are no gold items; None: not to be told.

  n is the number of pairs; of raw, that of every two votes on one. Intervals
  are 95 %; NaN where they were not asked for, without width where each draw of
  pairs gives the same.

  nominal: Krippendorff's α of who wins (a, b, tie, both bad). ordinal: his α of
  the five steps from "a is much better" to "b is"; both bad is no step and left
  out. fleiss: κ of who wins, of the pairs with `raters` votes. raw: share of
  two votes on a pair that say the same of who wins. raters: a pair's, in full.
  both_bad: votes left out of ordinal. missing: why there is no α, "" where
  nothing is wrong.
  """

  nominal: Estimate | None
  ordinal: Estimate | None
  fleiss: Estimate | None
  raw: Estimate | None
  raters: int
  both_bad: int
  missing: str


def agreement(
  found: Iterable[Judgement], overlap: int, *, seed: int, spread: bool = True
) -> Agreement:
  """The numbers on votes of a study of this overlap.

  seed: of the resampling of pairs. spread: whether to resample, which takes
  seconds for thousands of pairs.
  """
  groups = list(by_pair(found).values())
  who = counts([[v.winner for v in g] for g in groups], WINNERS)
  how = counts(
    [[v.step for v in g if v.step is not None] for g in groups], STEPS
  )

  def estimate(statistic, table):
    value = statistic(table)
    if value is None:
      return None
    if not spread:
      return Estimate(value, np.nan, np.nan, np.nan, len(table))

    def of(at):
      drawn = statistic(table[at])
      return np.nan if drawn is None else drawn

    return intervals.bootstrap(of, len(table), seed=seed)

  def alphas(level, table):
    if not there:
      return None
    return estimate(lambda t: alpha(t, level), table[table.sum(1) > 1])

  there = find_spec("krippendorff") is not None
  full = who[who.sum(1) == overlap]
  return Agreement(
    alphas("nominal", who),
    alphas("ordinal", how),
    estimate(fleiss, full) if overlap > 1 else None,
    raw(groups, seed=seed),
    overlap,
    sum(v.choice == "both_bad" for g in groups for v in g),
    "" if there else MISSING,
  )


def counts(said: Sequence[Sequence], values: Sequence) -> Counts:
  """How often each of the values was said of each pair."""
  table = np.zeros((len(said), len(values)), np.int64)
  for row, votes in zip(table, said):
    for vote in votes:
      row[values.index(vote)] += 1
  return table


def alpha(table: Counts, level: str) -> float | None:
  """Krippendorff's α; level: "nominal" or "ordinal", columns then in order.

  Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". 1 is full
  agreement, 0 that of chance. None where no pair has two votes, and where all
  votes say the same, so that nothing would be chance. Raises ImportError
  without the package `krippendorff`; `agreement` does without α there.
  """
  import krippendorff

  table = table[table.sum(1) > 1]
  if (table.sum(0) > 0).sum() < 2:
    return None
  # Values that nobody used lie between others at no distance.
  found = krippendorff.alpha(value_counts=table, level_of_measurement=level)
  return float(found)


def fleiss(table: Counts) -> float | None:
  """Fleiss' κ of pairs with the same number of votes, 2 or more, each.

  κ = (P̄ − P̄e) / (1 − P̄e), P̄ the mean agreement of a pair's votes and P̄e that
  of chance (Fleiss 1971, "Measuring nominal scale agreement among many raters",
  equations 3 to 7). None as for `alpha`.
  """
  if not len(table):
    return None
  sizes = np.unique(table.sum(1))
  if len(sizes) > 1 or sizes[0] < 2:
    raise ValueError(
      f"pairs have {sizes.min()} to {sizes.max()} votes; κ is of pairs with as "
      "many each, 2 or more"
    )
  n = int(sizes[0])
  observed = float(np.mean(((table**2).sum(1) - n) / (n * (n - 1))))
  chance = float(np.sum((table.sum(0) / table.sum()) ** 2))
  return None if chance == 1 else (observed - chance) / (1 - chance)


def raw(groups: Sequence[Sequence[Judgement]], *, seed: int) -> Estimate | None:
  """Share of two votes on a pair that say the same of who wins.

  Those on one pair are not taken for independent; n is the number of twos.
  """
  same, pairs = [], []
  for group in groups:
    for i, one in enumerate(group):
      for other in group[:i]:
        same.append(one.winner == other.winner)
        pairs.append(one.pair)
  return intervals.mean(np.array(same), pairs, seed=seed) if same else None
