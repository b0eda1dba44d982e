"""Win rates and strengths from judgements of pairs.

A judge sees the answers of A and B to a prompt twice, with either one first.
`wins` [n, 2] is what A won of each: 1, 1/2 for a tie or 0, or a probability,
with A shown first and with B shown first.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from alignjax.statistics.intervals import (
  Estimate,
  Groups,
  bootstrap,
  codes,
  mean,
  percentiles,
  resamples,
)
from alignjax.statistics.logistic import logistic

ANSWERS = {"first": 1.0, "tie": 0.5, "second": 0.0}

Wins = Float[np.ndarray, "n 2"]


class PositionBias(NamedTuple):
  """Of a judge.

  disagree: share of prompts whose verdict changes with the order; from a win to
    a tie is a change. first: how often the answer shown first wins, ties half;
    1/2 is no bias.
  """

  disagree: Estimate
  first: Estimate


def outcomes(a_first: Sequence[str], b_first: Sequence[str]) -> Wins:
  """`wins` from what the judge answered in both orders.

  Answers are "first", "second" or "tie", of what was shown. ValueError for
  others, and where the orders are not of the same prompts.
  """
  if len(a_first) != len(b_first):
    raise ValueError(
      f"{len(a_first)} answers with A first, {len(b_first)} with B first: "
      "every prompt needs both"
    )
  if odd := sorted({*map(str, a_first), *map(str, b_first)} - set(ANSWERS)):
    raise ValueError(
      f"the judge answered {odd[0]!r}: leave out prompts without a verdict in "
      f"either order. Answers are {', '.join(ANSWERS)}"
    )
  first = np.array([ANSWERS[v] for v in a_first])
  return np.stack([first, 1 - np.array([ANSWERS[v] for v in b_first])], 1)


def win_rate(wins: Wins, prompts: Groups = None, *, seed: int) -> Estimate:
  """How often A wins: ties half, the mean of both orders, in 0 to 1.

  prompts: of each row, where several rows are of one prompt.
  """
  return _share(wins.mean(1), prompts, seed)


def position_bias(
  wins: Wins, prompts: Groups = None, *, seed: int
) -> PositionBias:
  """How the order in which answers are shown changes verdicts."""
  verdicts = np.sign(wins - 0.5)
  first = (wins[:, 0] + 1 - wins[:, 1]) / 2
  return PositionBias(
    _share(verdicts[:, 0] != verdicts[:, 1], prompts, seed),
    _share(first, prompts, seed),
  )


def length_controlled(
  wins: Wins,
  lengths: Real[np.ndarray, "n 2"],
  prompts: Groups = None,
  difficulty: Float[np.ndarray, "n"] | None = None,
  *,
  seed: int,
) -> Estimate:
  """`win_rate` as it would be if both answers were of one length.

  Dubois et al. 2024 (https://arxiv.org/abs/2404.04475), section 3: fits

    logit P(A wins) = θ + φ · tanh(z) + ψ · γ,
    z = (length of A − length of B) / their standard deviation

  to the means of both orders, and gives the mean of σ(θ + ψ · γ) over rows. z
  is not centred: A and B may change places. lengths: of A and of B, in any one
  unit. difficulty: γ, of each row's prompt, which the paper fits beforehand to
  many models; the term is left out without it. Unlike the paper's, the fit has
  no penalty where it can do without one (`logistic`).

  The interval is the bootstrap's over prompts. What a judge likes in longer
  answers for a reason is taken out as well.
  """

  def rate(at: np.ndarray) -> float:
    difference = lengths[at, 0] - lengths[at, 1].astype(np.float64)
    fixed = [np.ones(len(at))]
    if difficulty is not None:
      fixed.append(difficulty[at])
    x = np.stack(fixed, 1)
    spread = difference.std()
    if spread > 0:  # of one difference everywhere nothing can be told
      z = np.tanh(difference / spread)[:, None]
      fit = logistic(np.concatenate([x, z], 1), wins[at].mean(1))
    else:
      fit = logistic(x, wins[at].mean(1))
    logits = x @ fit.coefficients[: x.shape[1]]
    return float(np.mean(0.5 * (1 + np.tanh(logits / 2))))

  return _bounded(bootstrap(rate, len(wins), prompts, seed=seed))


def bradley_terry(wins: Real[np.ndarray, "m m"]) -> Float[np.ndarray, "m"]:
  """Strengths s of m models: P(i beats j) = σ(s_i − s_j), the mean of s is 0.

  The maximum likelihood of Bradley and Terry 1952 in log-odds, by Newton's
  method. wins: how often row beat column; a tie is half a win of each.

  Raises ValueError where no maximum exists: some models never lost to any of
  the others (Ford 1957; Hunter 2004, assumption 1).
  """
  if not (np.isfinite(wins).all() and (wins >= 0).all()):
    raise ValueError("wins must be finite and not below 0: they are counts")
  if np.diagonal(wins).any():
    raise ValueError("the diagonal of wins must be 0: no model meets itself")
  if (apart := _never_lost(wins)) is not None:
    rest = sorted(set(range(len(wins))) - set(apart))
    raise ValueError(
      f"no strengths: models {rest} never won against models {apart}, so these "
      "are infinitely stronger, or were never compared. Compare them on more "
      "prompts, or rank either set alone (a tie is half a win of each)"
    )
  m, met = len(wins), wins + wins.T
  s = np.zeros(m)
  for _ in range(1000):
    p = 0.5 * (1 + np.tanh((s[:, None] - s) / 2))
    curvature = met * p * (1 - p)
    hessian = np.diag(curvature.sum(1)) - curvature
    # Only differences matter; 1/m keeps the mean at 0. The scale is theirs.
    hessian += curvature.max() / m if m > 1 else 1.0
    step = np.linalg.solve(hessian, (wins - met * p).sum(1))
    # Far from the optimum Newton's step is too long.
    s = s + step / max(1.0, np.abs(step).max() / 2)
    if np.abs(step).max() < 1e-10:
      return s - s.mean()
  raise FloatingPointError(f"no strengths of {m} models in 1,000 steps")


def strengths(
  a: Int[np.ndarray, "n"],
  b: Int[np.ndarray, "n"],
  wins: Float[np.ndarray, "n"],
  prompts: Groups = None,
  *,
  seed: int,
) -> list[Estimate]:
  """`bradley_terry` of models 0 to m − 1, with bootstrap intervals.

  a, b: the models of each comparison. wins: what a won, 0 to 1 (of both orders
  the mean). prompts: of each comparison; all those of one are drawn together.

  The interval is the percentile one over draws of prompts. A draw in which some
  model is infinitely strong or weak could be anything to all of them: where
  these are too many the interval is infinite. The error is of the others.
  """
  m = int(max(a.max(), b.max())) + 1 if len(a) else 0

  def table(at: np.ndarray) -> np.ndarray:
    first = np.bincount(a[at] * m + b[at], wins[at], m * m)
    second = np.bincount(b[at] * m + a[at], 1 - wins[at], m * m)
    return (first + second).reshape(m, m)

  by = codes(prompts, len(a))
  found, n, groups = bradley_terry(table(np.arange(len(a)))), len(a), by.max()
  drawn = []
  for at in resamples(by, seed=seed):
    drawn_wins = table(at)
    exists = _never_lost(drawn_wins) is None
    drawn.append(bradley_terry(drawn_wins) if exists else np.full(m, np.nan))
  estimates = []
  for s, of_one in zip(found, np.array(drawn).T):
    none = np.isnan(of_one)
    low, high = percentiles(
      np.where(none, -math.inf, of_one),
      np.where(none, math.inf, of_one),
      int(groups) + 1,
    )
    error = math.inf if none.all() else float(of_one[~none].std())
    estimates.append(Estimate(float(s), error, low, high, n))
  return estimates


def _never_lost(wins: np.ndarray) -> list[int] | None:
  """Models that none of the others beat; None: there is no such set."""
  beaten = wins > 0
  # Whom each model beats, through others too: paths double every round.
  reach = beaten | np.eye(len(wins), dtype=bool)
  for _ in range(len(wins).bit_length()):
    reach = reach @ reach
  for above in reach.T:  # all from whom a chain of wins leads to one model
    if not above.all():
      return np.flatnonzero(above).tolist()
  return None


def _share(scores: np.ndarray, prompts: Groups, seed: int) -> Estimate:
  return _bounded(mean(scores, prompts, seed=seed))


def _bounded(found: Estimate) -> Estimate:
  return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))
