"""Differences between two models on the same items, and many of them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from alignjax.statistics.intervals import (
  Estimate,
  Groups,
  codes,
  finite,
  symmetric,
)

DRAWS = 10_000  # p-values down to 1e-4: Holm decides among a few dozen


class Difference(NamedTuple):
  """Mean of a − b, and the two-sided p-value of there being none."""

  estimate: Estimate
  p: float


def shared(
  a: Mapping[Hashable, float | int], b: Mapping[Hashable, float | int]
) -> tuple[list, Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
  """The items that both have, in the order of a, and the scores of each."""
  items = [k for k in a if k in b]
  if not items:
    raise ValueError(
      f"no item in common: {len(a)} and {len(b)} items, the first "
      f"{next(iter(a), None)!r} and {next(iter(b), None)!r}. Compare scores of "
      "the same items"
    )
  first, second = ([float(s[k]) for k in items] for s in (a, b))
  return items, np.array(first), np.array(second)


def difference(
  a: Shaped[np.ndarray, "n"],
  b: Shaped[np.ndarray, "m"],
  groups: Groups = None,
  *,
  seed: int,
) -> Difference:
  """Mean of a − b over items, paired; `shared` gives a and b.

  groups: of each item a name, those of one are drawn together. Error and
  interval are those of `intervals.symmetric`, of `DRAWS` draws, and
  p = (1 + #{|t*| ≥ |t|}) / (1 + draws) of its t*, with t = d / error (Davison
  and Hinkley 1997, equation 4.11): the interval leaves out 0 where p is below
  5 %. p is never 0, and never below 2^(1 − G), the least that the signs of G
  groups can show; of one or two groups it is 1.

  Two models that never differ have p = 1 and an interval from 0 to 0, which
  does not say that they would not differ on other items.
  """
  if len(a) != len(b):
    raise ValueError(
      f"{len(a)} and {len(b)} scores: a and b must be of the same items, in "
      "their order (`shared` gives those that both have)"
    )
  d = finite(a) - finite(b)
  by = codes(groups, len(d))
  found, t = symmetric(d, by, seed=seed, draws=DRAWS)
  # Rounding must not make a tie a difference.
  beyond = t * found.error >= abs(found.mean) * (1 - 1e-9)
  p = (1 + int(beyond.sum())) / (1 + len(t))
  return Difference(found, max(p, 2.0 ** -int(by.max())))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
  """Which hypotheses fall, with a chance of `level` that one falls wrongly.

  Holm 1979, "A simple sequentially rejective multiple test procedure".
  """
  return [p <= level for p in adjusted(p_values)]


def adjusted(p_values: Sequence[float]) -> list[float]:
  """Holm's p-values: of the i-th smallest p of m, max_{j≤i} (m − j + 1) · p_j.

  At most 1; in the order given. Each is the least level at which it falls.
  """
  p = np.asarray(p_values, np.float64)
  if not ((p >= 0) & (p <= 1)).all():
    raise ValueError(f"p-values must be from 0 to 1: {list(p_values)}")
  order = np.argsort(p, kind="stable")
  least = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
  found = np.empty(len(p))
  found[order] = np.minimum(least, 1.0)
  return found.tolist()
