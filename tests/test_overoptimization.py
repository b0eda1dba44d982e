"""The short form of scripts/overoptimization.py: answers of three tokens."""

import numpy as np
import pytest

from scripts import overoptimization, toy_proxy
from scripts.toy import best_of, make, mean

LEARNING = dict(width=16, depth=1, steps=60, batch=64, lr=1e-2, seed=0)


@pytest.fixture(scope="module")
def toy():
  return make(length=3, width=32, depth=1, seed=0)


@pytest.fixture(scope="module")
def gold(toy):
  return toy_proxy.standard(toy, toy.reward)


@pytest.mark.parametrize("method", ("best_of_n", "ppo"))
def test_the_fit_finds_what_was_planted(method):
  d = np.linspace(0.1, 3.5, 40)
  planted = {"alpha": 1.3, "beta": 0.45}
  gold = overoptimization.curve(d, planted, method)
  found = overoptimization.fit(d, gold, method)
  assert found["alpha"] == pytest.approx(1.3)
  assert found["beta"] == pytest.approx(0.45)
  assert found["r2"] == pytest.approx(1)
  fine = np.linspace(0.01, 8, 4000)
  top = fine[overoptimization.curve(fine, planted, method).argmax()]
  assert found["peak"] == pytest.approx(top, abs=0.01)
  measured = gold + np.random.default_rng(1).normal(0, 0.01, len(d))
  near = overoptimization.fit(d, measured, method)
  for name, value in planted.items():
    assert near[name] == pytest.approx(value, rel=0.05)
  noise = np.random.default_rng(0).normal(0, 0.3, len(d))
  assert 0.3 < overoptimization.fit(d, gold + noise, method)["r2"] < 0.95
  assert overoptimization.fit(d, d + d**2, method)["peak"] is None


def test_rewards_are_in_deviations_of_the_reference(toy, gold):
  assert mean(toy.start, gold) == pytest.approx(0, abs=1e-6)
  assert mean(toy.start, gold**2) == pytest.approx(1, abs=1e-6)


def test_labels_follow_gold_and_some_are_turned_over(toy, gold):
  given = dict(pairs=4000, seed=0)
  at, flipped = toy_proxy.draw_pairs(toy, gold, noise=0.0, **given)
  assert not flipped.any()
  won = 1 / (1 + np.exp(gold[at[:, 1]] - gold[at[:, 0]]))
  # Of the one that won, the mean of p is E[p² + (1 − p)²].
  assert won.mean() == pytest.approx((won**2 + (1 - won) ** 2).mean(), abs=0.02)
  assert (gold[at[:, 0]] > gold[at[:, 1]]).mean() > 0.6
  turned, flipped = toy_proxy.draw_pairs(toy, gold, noise=0.25, **given)
  assert flipped.sum() == 1000
  np.testing.assert_array_equal(turned[~flipped], at[~flipped])
  np.testing.assert_array_equal(turned[flipped], at[flipped][:, ::-1])


def test_a_proxy_learns_gold_from_labels_and_not_from_flipped_ones(toy, gold):
  at, _ = toy_proxy.draw_pairs(toy, gold, pairs=4000, noise=0.0, seed=0)
  found = toy_proxy.learn(toy, at, **LEARNING)
  assert mean(toy.start, found * gold) > 0.5
  turned = toy_proxy.learn(toy, at[:, ::-1], **LEARNING)
  assert mean(toy.start, turned * gold) < -0.5


def test_ppo_climbs_the_proxy_and_gold_falls_where_they_part(toy, gold):
  # The answers that are worth least are taken for the best.
  proxy = toy_proxy.standard(toy, np.where(gold < -1.2, 6.0, gold))
  points = overoptimization.climb(
    toy, proxy, gold, beta=0.02, rollouts=40, every=10, lr=3e-3, seed=0
  )
  assert [p["rollouts"] for p in points] == [10, 20, 30, 40]
  assert all(p["d"] > 0.5 for p in points)
  assert points[-1]["proxy"] > 0.9 * proxy.max()
  assert points[-1]["gold"] < -1
  best = best_of(toy.start, proxy, 10**6)
  most = overoptimization.seen(toy, best, proxy, gold)
  assert most["proxy"] == pytest.approx(proxy.max(), rel=1e-3)
  assert most["gold"] < -1.2 + 1e-6
