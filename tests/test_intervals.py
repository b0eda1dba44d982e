"""Hand-computed intervals, and how often they cover in simulations."""

import itertools
import math

import numpy as np
import pytest

from alignjax.statistics.intervals import (
  Share,
  Z,
  bootstrap,
  codes,
  mean,
  resamples,
  symmetric,
  wilson,
)

RUNS = 1000


def coverage(estimates, truth):
  return np.mean([e.low <= truth <= e.high for e in estimates])


def simulated(draw, runs=RUNS):
  """Estimates of runs of draw(rng) → scores, groups."""
  rng = np.random.default_rng(0)
  return [mean(*draw(rng), seed=i) for i in range(runs)]


def in_groups(rng, groups, most, binary):
  """Scores of groups that have means of their own, 1/4 over all."""
  size = rng.integers(1, most + 1, groups)
  by = np.repeat(np.arange(groups), size)
  centre = rng.beta(1, 3, groups)[by]
  if binary:
    return rng.random(len(by)) < centre, by
  return (centre + rng.beta(1, 3, len(by))) / 2, by


def test_scores_of_0_and_1_have_wilsons_interval():
  scores = np.repeat([1, 0], [3, 7])
  found = mean(scores, seed=0)
  assert found.n == 10 and found.mean == pytest.approx(0.3)
  assert found.error == pytest.approx(math.sqrt(0.3 * 0.7 / 9))
  assert found[2:4] == pytest.approx(Share(3, 10).interval())
  # Groups of one each are no groups.
  assert mean(scores, list("abcdefghij"), seed=1) == found
  assert mean(scores.astype(bool), seed=0) == found


def test_an_error_in_groups_by_hand():
  # Mean 1/2; sums of deviations 1, 0, -1: √(3/2 · 2) / 6.
  scores, groups = np.array([1.0, 1, 1, 0, 0, 0]), list("aabbcc")
  found = mean(scores, groups, seed=0)
  assert found.error == pytest.approx(math.sqrt(3) / 6)
  # Effective n: 6 · (1/4 / 5) / (1/12) = 3.6, by (z / t of 2)².
  n = 3.6 * (Z / 4.3027) ** 2
  assert found[2:4] == pytest.approx(wilson(0.5, n))
  # The error is the same of scores that are not binary.
  assert mean(scores * 3, groups, seed=0).error == pytest.approx(
    3 * math.sqrt(3) / 6
  )


def test_studentised_draws_are_those_of_a_loop():
  groups = [[0.1, 0.9], [0.3], [0.5, 0.2, 0.2], [0.8]]
  scores, names = np.concatenate(groups), list("aabcccd")
  errors, shifts = [], []
  for drawn in itertools.product(groups, repeat=4):
    again = np.concatenate(drawn)
    number = np.repeat(range(4), [len(g) for g in drawn])
    errors.append(mean(again, number, seed=0).error)
    shifts.append(abs(again.mean() - scores.mean()))
  errors = np.array(errors)
  alike = np.isclose(errors, 0)
  errors[alike] = errors[~alike].min()
  due = np.array(shifts) / errors
  found, t = symmetric(scores, codes(names, 7), seed=0, draws=5000)
  # Every draw is one of the 256, and they are as frequent.
  assert np.abs(t[:, None] - due).min(1).max() < 1e-6
  for at in (0.3, 1, 3):
    assert (t > at).mean() == pytest.approx((due > at).mean(), abs=0.02)
  half = np.quantile(t, 0.95, method="higher") * found.error
  assert found.high - found.mean == pytest.approx(half)


def test_the_effective_n_is_never_above_n():
  # Groups that all have the mean, then two that do not: less than chance.
  low, high = Share(50, 100).interval()
  scores, groups = np.tile([0, 1], 50), np.repeat(np.arange(50), 2)
  even = mean(scores, groups, seed=0)
  scores[:4] = 0, 0, 1, 1
  for found in (even, mean(scores, groups, seed=0)):
    assert found.error < 0.02
    assert found.low < low and high < found.high
    assert found.high - found.low < 1.03 * (high - low)
  assert even.error == 0
  # Every row four times over tells no more than once.
  rng = np.random.default_rng(0)
  once = rng.integers(0, 2, 200)
  twice = mean(np.repeat(once, 4), np.repeat(np.arange(200), 4), seed=0)
  assert twice[2:4] == pytest.approx(mean(once, seed=0)[2:4], abs=0.003)
  # All right, in 20 groups: as 20 rows at most.
  sure = mean(np.ones(200), np.repeat(np.arange(20), 10), seed=0)
  assert sure.low < Share(20, 20).interval()[0] and sure.high == 1


@pytest.mark.parametrize("score", [0.0, 0.4, 1.0])
@pytest.mark.filterwarnings("error")
def test_one_group_says_what_it_does_not_know(score):
  for scores, groups in (
    (np.array([score]), None),
    (np.full(4, score), "aaaa"),
  ):
    found = mean(scores, groups, seed=0)
    assert found.mean == score and found.error == math.inf
    binary = score != 0.4
    assert found.low == (0 if binary else -math.inf)
    assert found.high == (1 if binary else math.inf)
  rows = bootstrap(lambda i: score, 4, "aaaa", seed=0)
  assert rows == (score, math.inf, -math.inf, math.inf, 4)


@pytest.mark.filterwarnings("error")
def test_few_and_even_scores():
  two = mean(np.array([0.2, 0.4]), seed=0)
  assert two.error == pytest.approx(0.1) and two.low == -math.inf
  assert mean(np.full(50, 0.5), seed=0) == (0.5, 0, 0.5, 0.5, 50)
  # Most draws have no spread: the interval is wide, not infinite or empty.
  rare = mean(np.eye(100)[0] / 2, seed=0)
  assert rare.low < 0 < 0.005 < rare.high < 0.1
  for bad in (np.array([0.1, np.nan]), np.array([np.inf])):
    with pytest.raises(ValueError, match="1 of . scores are not finite"):
      mean(bad, seed=0)
  with pytest.raises(ValueError, match="no rows"):
    mean(np.empty(0), seed=0)
  with pytest.raises(ValueError, match="2 groups for 3 rows"):
    mean(np.ones(3), "ab", seed=0)


def test_an_interval_is_a_function_of_scores_and_seed():
  scores = np.random.default_rng(0).exponential(size=3000)
  found = mean(scores, seed=3)
  assert found == mean(scores, seed=3) != mean(scores, seed=4)
  # Large samples: mean ± z · error, and it moves with the scores.
  assert found.low == pytest.approx(found.mean - Z * found.error, abs=0.003)
  moved = mean(10 - 2 * scores, seed=3)
  assert moved.high - moved.low == pytest.approx(2 * (found.high - found.low))
  assert moved.mean == pytest.approx(10 - 2 * found.mean)


def test_scores_of_0_and_1_cover():
  plain = simulated(lambda r: (r.random(200) < 0.3, None))
  assert 0.935 <= coverage(plain, 0.3) <= 0.965


def test_scores_of_0_and_1_in_groups_cover():
  def draw(rng):
    return in_groups(rng, 60, 8, True)

  found = simulated(draw)
  assert 0.935 <= coverage(found, 0.25) <= 0.965
  # Without the groups it would not.
  rng = np.random.default_rng(0)
  blind = [mean(draw(rng)[0], seed=i) for i in range(RUNS)]
  assert coverage(blind, 0.25) < 0.91


def test_skewed_scores_cover():
  long = simulated(lambda r: (r.exponential(size=200), None))
  assert 0.935 <= coverage(long, 1.0) <= 0.965


@pytest.mark.parametrize("groups", [10, 40])
def test_skewed_scores_in_groups_cover(groups):
  found = simulated(lambda r: in_groups(r, groups, 8, False))
  assert 0.935 <= coverage(found, 0.25) <= 0.975


def test_groups_are_numbered_as_they_appear():
  assert codes(["b", "a", "b", ("c", 1)], 4).tolist() == [0, 1, 0, 2]
  assert codes(np.array([7, 7, 3]), 3).tolist() == [0, 0, 1]
  assert codes(None, 3).tolist() == [0, 1, 2]


def test_groups_are_drawn_whole():
  by = codes("abacca", 6)
  first, second = (np.array([0, 2, 5]), np.array([1])), np.array([3, 4])
  counts = []
  for at in resamples(by, seed=0):
    times = np.bincount(at, minlength=6)
    for rows in (*first, second):
      assert len(set(times[rows])) == 1
    counts.append(times[[0, 1, 3]])
  assert {c.sum() for c in counts} == {3}
  assert np.mean(counts, 0) == pytest.approx([1, 1, 1], abs=0.06)


def test_a_statistic_that_is_no_mean():
  # A ratio of sums; by the delta method its error is 0.0409 here.
  rng = np.random.default_rng(0)
  x = rng.exponential(size=(400, 2))
  found = bootstrap(lambda i: x[i, 0].sum() / x[i, 1].sum(), 400, seed=0)
  ratio = x[:, 0].sum() / x[:, 1].sum()
  residual = (x[:, 0] - ratio * x[:, 1]) / x[:, 1].mean()
  assert found.mean == pytest.approx(ratio) and found.n == 400
  assert found.error == pytest.approx(residual.std() / 20, rel=0.05)
  assert found.low == pytest.approx(ratio - Z * found.error, rel=0.03)
  assert found.high == pytest.approx(ratio + Z * found.error, rel=0.03)
  # Rows in groups of four like ones: twice the error.
  rows, by = np.repeat(x[:100], 4, 0), np.repeat(np.arange(100), 4)
  apart, together = (
    bootstrap(lambda i: rows[i, 0].mean(), 400, g, seed=0) for g in (None, by)
  )
  assert together.error == pytest.approx(2 * apart.error, rel=0.08)


def test_few_rows_widen_the_bootstrap():
  # Ten even rows: Student's interval, 2.262 standard errors to either side.
  x = np.arange(10.0)
  found = bootstrap(lambda i: x[i].mean(), 10, seed=0)
  half = 2.262 * x.std(ddof=1) / math.sqrt(10)
  assert found.high - found.mean == pytest.approx(half, rel=0.08)
  assert found.mean - found.low == pytest.approx(half, rel=0.08)
  two = bootstrap(lambda i: x[i].mean(), 10, "aaaaabbbbb", seed=0)
  assert two[2:4] == (-math.inf, math.inf)


def test_draws_without_the_statistic_are_left_out():
  kind = np.repeat([0, 1], [3, 30])

  def share(i):  # of few rows, of which some draws have none
    of = kind[i] == 0
    return float((i[of] > 0).mean()) if of.any() else math.nan

  found = bootstrap(share, 33, seed=0)
  assert found.mean == pytest.approx(2 / 3) and found[2:4] == (0, 1)
  with pytest.raises(ValueError, match="all 33 rows is nan"):
    bootstrap(lambda i: math.nan, 33, seed=0)


def test_a_macro_average_covers():
  """Accuracy averaged over two classes, of which one is rare."""
  rng = np.random.default_rng(0)
  inside = 0
  for run in range(60):
    kind = np.arange(200) % 5 == 0
    right = rng.random(200) < np.where(kind, 0.4, 0.8)

    def macro(i, right=right, kind=kind):
      rare = kind[i]
      hits, few = np.count_nonzero(right[i]), np.count_nonzero(rare)
      of_rare = np.count_nonzero(right[i] & rare)
      return (of_rare / few + (hits - of_rare) / (len(i) - few)) / 2

    found = bootstrap(macro, 200, seed=run)
    inside += found.low <= 0.6 <= found.high
  assert 53 <= inside <= 59  # 57 are due
