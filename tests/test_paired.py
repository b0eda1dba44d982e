"""Paired differences: intervals, p-values and Holm's correction."""

import numpy as np
import pytest

from alignjax.statistics.intervals import mean
from alignjax.statistics.paired import (
  DRAWS,
  adjusted,
  difference,
  holm,
  shared,
)


def binary(rng, n, up, down):
  """Scores of a and b: `up` of the items only a gets, `down` only b."""
  u = rng.random(n)
  both = rng.random(n) < 0.5
  a = np.where(u < up, 1, np.where(u < up + down, 0, both))
  b = np.where(u < up, 0, np.where(u < up + down, 1, both))
  return a, b


def test_a_difference_by_hand():
  # d = 1, 1, 0, -1, 0, 1, 0, 0: mean 1/4, variance 4/8 - 1/16.
  a = np.array([1, 1, 0, 0, 1, 1, 1, 0])
  b = np.array([0, 0, 0, 1, 1, 0, 1, 0])
  found, p = difference(a, b, seed=0)
  assert found.mean == 0.25 and found.n == 8
  assert found.error == pytest.approx(np.sqrt(0.4375 / 7))
  assert found.mean - found.low == pytest.approx(found.high - found.mean)
  back, same = difference(b, a, seed=0)
  assert back[:4] == pytest.approx(
    (-0.25, found.error, -found.high, -found.low)
  )
  assert p == same > 0.2
  # Pairs take out what items have in common.
  rng = np.random.default_rng(0)
  item = rng.normal(size=300) * 10
  first, second = (item + rng.normal(size=300) for _ in range(2))
  assert difference(first, second, seed=0).estimate.error < 0.1
  assert mean(first, seed=0).error > 0.5


def test_the_interval_holds_0_where_p_is_above_5_percent():
  rng = np.random.default_rng(0)
  seen = set()
  for run in range(60):
    d = rng.normal(0.3, 1, 40)
    by = np.arange(40) // rng.integers(1, 4)
    found, p = difference(d, np.zeros(40), by, seed=run)
    if abs(p - 0.05) > 2 / DRAWS:
      assert (found.low <= 0 <= found.high) == (p > 0.05)
      seen.add(p > 0.05)
  assert seen == {True, False}


@pytest.mark.filterwarnings("error")
def test_p_is_never_0():
  one, none = np.ones(200), np.zeros(200)
  sure = difference(one, none, seed=0)
  assert sure.p == pytest.approx(1 / (1 + DRAWS))
  assert sure.estimate == (1, 0, 1, 1, 200)
  # Five items of one sign: 2 of 32 patterns of signs are as extreme.
  assert difference(one[:5], none[:5], seed=0).p == 1 / 16
  assert difference(one, none, np.arange(200) % 5, seed=0).p == 1 / 16
  same = difference(one, one, seed=0)
  assert same.p == 1 and same.estimate == (0, 0, 0, 0, 200)
  for groups in (200 * "a", 100 * "ab"):
    few = difference(one, none, groups, seed=0)
    assert few.p == 1 and few.estimate[2:4] == (-np.inf, np.inf)


def test_p_is_uniform_where_nothing_differs():
  rng = np.random.default_rng(0)
  p = np.array(
    [difference(*binary(rng, 60, 0.2, 0.2), seed=i).p for i in range(300)]
  )
  assert 0.02 < (p <= 0.05).mean() < 0.08
  assert (p <= 0.25).mean() == pytest.approx(0.25, abs=0.07)
  assert (p <= 0.005).mean() < 0.02
  grouped = []
  for i in range(300):
    by = np.repeat(np.arange(15), 4)
    d = rng.normal(size=15)[by] + rng.normal(size=60)
    grouped.append(difference(d, np.zeros(60), by, seed=i).p <= 0.05)
  assert 0.02 < np.mean(grouped) < 0.08


def test_what_differs_is_found():
  rng = np.random.default_rng(0)
  a, b = binary(rng, 500, 0.2, 0.05)
  found, p = difference(a, b, seed=0)
  assert p < 0.001 and found.low > 0 and found.low < 0.15 < found.high
  # Each item ten times is not ten times as much.
  by = np.repeat(np.arange(500), 10)
  often, _ = difference(np.repeat(a, 10), np.repeat(b, 10), by, seed=0)
  assert often[:4] == pytest.approx(found[:4])


def test_items_that_both_have():
  a, b = {"x": 1, "y": 0, "z": 0.5}, {"z": 1, "x": True, "w": 1}
  items, first, second = shared(a, b)
  assert items == ["x", "z"]
  assert first.tolist() == [1, 0.5] and second.tolist() == [1, 1]
  with pytest.raises(ValueError, match="no item in common: 1 and 0 items"):
    shared({"x": 1.0}, {})
  with pytest.raises(ValueError, match="2 and 3 scores"):
    difference(np.ones(2), np.ones(3), seed=0)
  with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
    difference(np.ones(2), np.array([1, np.nan]), seed=0)


def test_holm_by_hand():
  # 4 · 0.005, 3 · 0.01, then 2 · 0.03 = 0.06, and 0.04 is not below that.
  p = [0.01, 0.04, 0.03, 0.005]
  assert adjusted(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
  assert holm(p) == [True, False, False, True]
  assert holm(p, level=0.1) == [True] * 4
  # What is not rejected stops all above it: 0.04 alone would be.
  assert holm([0.03, 0.04, 0.03]) == [False] * 3
  assert adjusted([0.9, 0.8]) == [1, 1] and adjusted([]) == holm([]) == []
  for bad in ([0.1, 1.1], [float("nan")]):
    with pytest.raises(ValueError, match="from 0 to 1"):
      adjusted(bad)


def test_holm_rarely_rejects_wrongly():
  p = np.random.default_rng(0).random((1000, 30))
  assert 0.03 < np.mean([any(holm(row)) for row in p.tolist()]) < 0.07
  # A few that are true do not change that.
  p[:, :10] = 1e-6
  wrong = [any(holm(row)[10:]) for row in p.tolist()]
  assert 0.03 < np.mean(wrong) < 0.07
