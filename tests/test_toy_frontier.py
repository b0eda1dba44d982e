"""The short form of scripts/toy_frontier.py: 512 answers of three tokens."""

import itertools
import json

import numpy as np
import pytest

from alignjax.ops.best_of_n import kl_bound
from alignjax.rollout import Plan
from scripts import toy_frontier, toy_online
from scripts.toy import (
  best_of,
  frontier,
  kl,
  make,
  mean,
  optimum,
  share,
  whole,
)

BETA = 0.5


@pytest.fixture(scope="module")
def toy():
  return make(length=3, width=32, depth=1, seed=0)


def trained(toy, recipe, plan, beta, rollouts=40):
  """log π after PPO or its kin, from π_ref on."""
  given = recipe(beta, plan, 3e-3)
  turns = toy_online.train(toy, given, toy.reward, rollouts=rollouts, seed=0)
  *_, (params, told) = turns
  assert told["rollout/logp_gap"] < 1e-4  # as sampled and as trained
  return whole(toy.logp(params))


PLAN = Plan(128, 2, 1, 16)


def test_best_of_n_is_that_of_every_draw():
  p = np.array([0.1, 0.3, 0.2, 0.15, 0.25])
  scores = np.array([2.0, 1.0, 2.0, -1.0, 1.0])
  for n in (1, 2, 4):
    exact = np.zeros(5)
    for drawn in itertools.product(range(5), repeat=n):
      drawn = np.array(drawn)
      best = drawn[scores[drawn] == scores[drawn].max()]
      np.add.at(exact, best, p[drawn].prod() / len(best))
    found = best_of(np.log(p), scores, n)
    np.testing.assert_allclose(np.exp(found), exact, rtol=1e-12)


def test_best_of_many_keeps_its_digits(toy):
  for n in (2, 64, 10**6):
    found = best_of(toy.start, toy.reward, n)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-9)
    assert kl(found, toy.start) < kl_bound(n) + 1e-9
  assert mean(found, toy.reward) == pytest.approx(toy.reward.max())
  # The worst and the best have less mass than a sum of all can hold.
  found = best_of(np.log([1e-40, 0.5, 0.5]), np.arange(3.0), 2)
  np.testing.assert_allclose(np.exp(found), [1e-80, 0.25, 0.75])
  found = best_of(np.log([0.5, 0.5, 1e-40]), np.arange(3.0), 2)
  np.testing.assert_allclose(np.exp(found), [0.25, 0.75, 2e-40])


def test_nothing_is_above_the_frontier(toy):
  start, reward = toy.start, toy.reward
  draw = np.random.default_rng(0)
  for beta in (2.0, BETA, 0.1):
    best = optimum(start, reward, beta)
    there = kl(best, start)
    assert frontier(start, reward, there) == pytest.approx(mean(best, reward))
    other = optimum(start, reward + 0.3 * draw.normal(size=len(reward)), beta)
    assert share(toy, other) < 1
  assert frontier(start, reward, 100) == pytest.approx(reward.max())
  base = mean(start, reward)
  assert frontier(start, reward, 0) == pytest.approx(base, abs=1e-4)


def test_the_optimum_of_each_token(toy):
  found = toy_frontier.token_optimum(toy.reference, toy.reward, BETA)
  assert np.exp(found).sum() == pytest.approx(1)
  # Its step t: the gap to π_ref less Q/β is the same for all tokens.
  p, ref = (np.exp(x).reshape(8, 8, 8) for x in (found, toy.start))
  value = toy.reward.reshape(8, 8, 8)
  for _ in range(3):
    tops = [x.sum(-1, keepdims=True) for x in (p, ref)]
    step = [np.log(x / top) for x, top in zip((p, ref), tops)]
    gap = step[0] - step[1] - value / BETA
    np.testing.assert_allclose(gap, gap[..., :1] + 0 * gap, atol=1e-5)
    value = (p / tops[0] * value).sum(-1)
    p, ref = (top[..., 0] for top in tops)


def test_ppo_comes_to_the_optimum(toy):
  found = trained(toy, toy_online.ppo, Plan(256, 2, 2, 1), BETA)
  assert share(toy, found) > 0.9
  assert kl(found, optimum(toy.start, toy.reward, BETA)) < 0.05


def test_grpo_comes_to_the_optimum_of_each_token(toy):
  found = trained(toy, toy_online.grpo, Plan(256, 2, 1, 64), BETA)
  assert share(toy, found) > 0.9
  own = toy_frontier.token_optimum(toy.reference, toy.reward, BETA)
  past = kl(found, optimum(toy.start, toy.reward, BETA))
  assert kl(found, own) < 0.1 < past


@pytest.mark.parametrize("beta", (0.0, BETA, 100.0))
def test_rloo_comes_to_the_optimum_of_every_coefficient(toy, beta):
  found = trained(toy, toy_online.rloo, PLAN, beta)
  if not beta:  # whatever earns most
    assert mean(found, toy.reward) > 0.98 * toy.reward.max()
    return
  assert kl(found, optimum(toy.start, toy.reward, beta)) < 0.05
  if beta == BETA:
    assert share(toy, found) > 0.9
  else:  # nothing is worth going away for
    assert kl(found, toy.start) < 0.01


def test_the_script_draws_and_tells(tmp_path, monkeypatch, capsys):
  out = tmp_path / "sub" / "frontier.svg"
  given = f"--length 2 --methods best_of_n --out {out}"
  monkeypatch.setattr("sys.argv", ["toy_frontier.py", *given.split()])
  toy_frontier.main()
  assert "best_of_n n 64" in capsys.readouterr().out
  assert "</svg>" in out.read_text("utf-8")
  (first, *_) = json.loads(out.with_suffix(".json").read_text())["best_of_n"]
  assert first["n"] == 2 and first["kl"] < first["kl_bound"]
