"""KL estimates, shaped rewards, advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops import returns


def test_kl_estimates_by_hand():
  logp, reference = jnp.log(jnp.array([0.5])), jnp.log(jnp.array([0.25]))
  d = float(np.log(2))
  found = {k: float(returns.kl(logp, reference, kind=k)[0]) for k in returns.KL}
  assert found["k1"] == pytest.approx(d)
  assert found["k2"] == pytest.approx(d**2 / 2)
  assert found["k3"] == pytest.approx(0.5 - 1 + d)
  with pytest.raises(ValueError, match="one of k1, k2, k3"):
    returns.kl(logp, reference, kind="k4")


def test_k1_and_k3_are_unbiased():
  p, q = jnp.array([0.7, 0.2, 0.1]), jnp.array([0.2, 0.5, 0.3])
  exact = float((p * jnp.log(p / q)).sum())
  for kind, holds in (("k1", True), ("k2", False), ("k3", True)):
    mean = float((p * returns.kl(jnp.log(p), jnp.log(q), kind=kind)).sum())
    assert (mean == pytest.approx(exact, rel=1e-5)) == holds


def test_a_score_stands_where_the_response_ends():
  kl = jnp.array([[0.1, 0.2, 0.0], [0.1, 0.2, 0.3]])
  scores, lengths = jnp.array([1.0, 2.0]), jnp.array([2, 3])
  options = dict(coefficient=0.5)
  last = returns.rewards(kl, scores, lengths, score_at="last", **options)
  np.testing.assert_allclose(last, [[-0.05, 0.9, 0], [-0.05, -0.1, 1.85]])
  after = returns.rewards(kl, scores, lengths, score_at="next", **options)
  np.testing.assert_allclose(after, [[-0.05, -0.1, 1], [-0.05, -0.1, 1.85]])
  with pytest.raises(ValueError, match="one of next, last"):
    returns.rewards(kl, scores, lengths, score_at="end", **options)


def test_gae_by_hand():
  rewards, values = jnp.array([[1.0, 2.0]]), jnp.array([[0.5, 0.25]])
  found, total = returns.gae(rewards, values, gamma=0.5, lam=0.5)
  # δ = [1 + 0.125 − 0.5, 2 − 0.25], A₀ = δ₀ + 0.25·δ₁
  np.testing.assert_allclose(found, [[0.625 + 0.4375, 1.75]])
  np.testing.assert_allclose(total, [[1.5625, 2.0]])


def test_gae_is_the_loop():
  one, two = jax.random.split(jax.random.key(0))
  rewards, values = (jax.random.normal(k, (3, 9)) for k in (one, two))
  found, _ = returns.gae(rewards, values, gamma=0.97, lam=0.9)
  later, rows = np.zeros(3), []
  r, v = np.asarray(rewards), np.asarray(values)
  for t in reversed(range(9)):
    after = v[:, t + 1] if t < 8 else 0
    later = r[:, t] + 0.97 * after - v[:, t] + 0.97 * 0.9 * later
    rows.append(later)
  np.testing.assert_allclose(
    found, np.stack(rows[::-1], 1), rtol=1e-5, atol=1e-6
  )


def test_with_λ_1_returns_do_not_depend_on_values():
  one, two = jax.random.split(jax.random.key(1))
  rewards, values = (jax.random.normal(k, (2, 5)) for k in (one, two))
  _, found = returns.gae(rewards, values, gamma=1.0, lam=1.0)
  expected = np.cumsum(rewards[:, ::-1], 1)[:, ::-1]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_whitening_is_over_the_mask():
  x = jnp.array([[1.0, 3.0, jnp.nan], [5.0, -7.0, 9.0]])
  mask = jnp.array([[True, True, False], [True, False, False]])
  found = returns.whiten(x, mask, shift=True)
  np.testing.assert_allclose(
    found, [[-1, 0, 0], [1, 0, 0]], rtol=1e-6, atol=1e-7
  )
  kept = returns.whiten(x, mask, shift=False)
  np.testing.assert_allclose(kept, [[2, 3, 0], [4, 0, 0]], rtol=1e-6)


def test_a_single_number_is_not_blown_up():
  mask = jnp.array([True, False])
  found = returns.whiten(jnp.array([3.0, 1.0]), mask, shift=False)
  np.testing.assert_allclose(found, [3, 0])


def test_advantages_of_groups_by_hand():
  scores = jnp.array([1.0, 3.0, 5.0, 5.0])
  root = 2**0.5 + 1e-4
  np.testing.assert_allclose(
    returns.grouped(scores, samples=2, scale="group"),
    [-1 / root, 1 / root, 0, 0],
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    returns.grouped(scores, samples=2, scale="none"), [-1, 1, 0, 0]
  )
  np.testing.assert_allclose(
    returns.left_out(scores, samples=4), [-10 / 3, -2 / 3, 2, 2], rtol=1e-6
  )


def test_a_group_sums_to_nothing_whatever_is_added_to_it():
  scores = jax.random.normal(jax.random.key(2), (12,))
  for estimate in (
    lambda x: returns.grouped(x, samples=4, scale="group"),
    lambda x: returns.left_out(x, samples=4),
  ):
    found = estimate(scores)
    np.testing.assert_allclose(found.reshape(3, 4).sum(1), 0, atol=1e-5)
    np.testing.assert_allclose(estimate(scores + 7), found, atol=1e-4)


def test_groups_are_whole():
  scores = jnp.zeros(6)
  for samples in (1, 4):
    with pytest.raises(ValueError, match="two samples of a prompt or more"):
      returns.left_out(scores, samples=samples)
  with pytest.raises(ValueError, match="one of group, none"):
    returns.grouped(scores, samples=2, scale="batch")
