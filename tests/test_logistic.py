import math

import numpy as np
import pytest

from alignjax.statistics.intervals import Share, Z
from alignjax.statistics.logistic import (
  FOLDS,
  RIDGE,
  Term,
  held_out,
  logistic,
)


def table(a, b, c, d):
  """x, y of a 2×2 table: a of a + b with x = 1 are hits, c of c + d without."""
  x = np.array([[1, 1]] * (a + b) + [[1, 0]] * (c + d), float)
  return x, np.repeat([1.0, 0.0, 1.0, 0.0], [a, b, c, d])


@pytest.mark.parametrize("cells", [(30, 10, 15, 45), (3, 7, 9, 1)])
def test_an_odds_ratio_by_hand(cells):
  a, b, c, d = cells
  fit = logistic(*table(*cells))
  assert fit.coefficients == pytest.approx(
    [math.log(c / d), math.log(a * d / (b * c))]
  )
  errors = [1 / c + 1 / d, 1 / a + 1 / b + 1 / c + 1 / d]
  assert fit.errors == pytest.approx(np.sqrt(errors))
  assert fit.ridge == 0


def test_a_known_coefficient_is_found():
  rng = np.random.default_rng(0)
  truth = np.array([-0.3, 1.2, 0.0])
  inside = 0
  for _ in range(40):
    x = rng.normal(size=(800, 3))
    y = (rng.random(800) < 1 / (1 + np.exp(-x @ truth))).astype(float)
    fit = logistic(x, y)
    low, high = Term("", fit.coefficients[1], fit.errors[1]).interval()
    inside += low < 1.2 < high
    assert np.abs(fit.coefficients - truth).max() < 0.5
    # At the optimum no direction is left.
    p = 1 / (1 + np.exp(-x @ fit.coefficients))
    assert np.abs(x.T @ (y - p)).max() < 1e-5
  assert inside >= 34  # 38 are due


def test_soft_labels_are_parts_of_rows():
  x, y = table(30, 10, 15, 45)
  soft = logistic(
    np.array([[1, 1], [1, 0]] * 3, float), np.array([0.75, 0.25] * 3)
  )
  hard = logistic(x, y)
  assert soft.coefficients == pytest.approx(hard.coefficients)


def test_a_ridge_only_where_the_hessian_is_singular():
  x = np.array([[1, -2], [1, -1], [1, 1], [1, 2]], float)
  apart = logistic(x, (x[:, 1] > 0).astype(float))
  assert apart.ridge == RIDGE and np.isfinite(apart.coefficients).all()
  assert apart.coefficients[1] > 1 and apart.coefficients[0] == pytest.approx(0)
  # By hand: the penalised score is zero.
  p = 1 / (1 + np.exp(-x @ apart.coefficients))
  score = x.T @ ((x[:, 1] > 0) - p) - RIDGE * apart.coefficients
  assert np.abs(score).max() < 1e-6
  rng = np.random.default_rng(0)
  one = rng.normal(size=(200, 1))
  twice = np.concatenate([one, one], 1)
  y = (rng.random(200) < 1 / (1 + np.exp(-one[:, 0]))).astype(float)
  even, alone = logistic(twice, y), logistic(one, y)
  assert even.ridge == RIDGE and alone.ridge == 0
  assert even.coefficients[0] == pytest.approx(even.coefficients[1])
  assert even.coefficients.sum() == pytest.approx(alone.coefficients[0], 0.01)
  # One row that differs is enough where it is not alone in it.
  rare = np.concatenate([one, np.zeros((200, 1))], 1)
  rare[:2, 1] = 1
  y[:2] = 0, 1
  assert logistic(rare, y).ridge == 0


def test_wilson_intervals_by_hand():
  # n = 10, z² = 3.8416: middle (0.5 + 0.19208) / 1.38416 = 0.5, half
  # 1.96·√(0.025 + 0.009604) / 1.38416 = 0.26341.
  assert Share(5, 10).interval() == pytest.approx((0.23659, 0.76341), abs=1e-5)
  low, high = Share(0, 10).interval()
  assert low == 0 and high == pytest.approx(Z**2 / (10 + Z**2))
  assert Share(10, 10).interval() == pytest.approx((1 - high, 1))
  assert Share(0, 0).interval() == (0, 1)
  for n in (1, 7, 1000):
    for hits in range(0, n + 1, max(1, n // 7)):
      low, high = Share(hits, n).interval()
      assert 0 <= low < hits / n + 1e-9 and hits / n - 1e-9 < high <= 1


def test_rows_are_told_by_fits_to_others():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(500, 2))
  folds = np.arange(500) % FOLDS
  y = (x[:, 0] > 0).astype(float)
  assert held_out(x, y, folds).hits > 490
  noise = held_out(x, rng.integers(0, 2, 500).astype(float), folds)
  assert noise.n == 500 and 200 < noise.hits < 300
  # A column that names the row tells nothing of others; every score is 0.
  names = np.eye(50)
  assert held_out(names, np.ones(50), np.arange(50) % FOLDS) == (25, 50)
  # One fold leaves nothing to fit to.
  assert held_out(x, y, np.zeros(500, int)) == (0, 0)
