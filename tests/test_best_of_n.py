"""The best of n, from N answers: against every subset of n."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.best_of_n import expected, kl_bound, weights


def brute(scores, n):
  """How often each is the best of a subset of n; the best of a tie share."""
  found = np.zeros(len(scores))
  subsets = list(itertools.combinations(range(len(scores)), n))
  for subset in subsets:
    top = max(scores[i] for i in subset)
    best = [i for i in subset if scores[i] == top]
    found[best] += 1 / len(best)
  return found / len(subsets)


def test_by_hand():
  # Of the six pairs of four the last wins three, the one before it two.
  found = weights(jnp.array([0.1, 0.4, 0.3, 0.2]), n=2)
  np.testing.assert_allclose(found, [0, 3 / 6, 2 / 6, 1 / 6], rtol=1e-6)
  values = jnp.array([6.0, 12.0, 18.0, 24.0])
  scores = jnp.array([4.0, 3.0, 2.0, 1.0])
  # The first is chosen, though it is worth least: 3·6 + 2·12 + 1·18.
  assert expected(values, scores, n=2) == pytest.approx(60 / 6)


@pytest.mark.parametrize("n", (1, 2, 3, 5, 7))
def test_every_subset(n):
  for scores in (
    [3.0, -1.0, 0.5, 2.0, 7.0, 1.0, 0.0],
    [1.0, 0.0, 1.0, 2.0, 2.0, 0.0, 2.0],
    [4.0] * 7,
  ):
    found = weights(jnp.array(scores), n=n)
    np.testing.assert_allclose(found, brute(scores, n), rtol=1e-5, atol=1e-7)


def test_one_is_the_mean_and_all_the_greatest():
  scores = jax.random.normal(jax.random.key(0), (3, 2, 50))
  values = scores**2
  found = expected(values, scores, n=1)
  assert found.shape == (3, 2)
  np.testing.assert_allclose(found, values.mean(-1), rtol=1e-5)
  best = jnp.take_along_axis(values, scores.argmax(-1)[..., None], -1)[..., 0]
  np.testing.assert_allclose(expected(values, scores, n=50), best, rtol=1e-5)


def test_it_is_unbiased():
  # The best of n uniform numbers is n/(n + 1); N = 20 of them, many times.
  scores = jax.random.uniform(jax.random.key(1), (20_000, 20))
  found = expected(scores, scores, n=8)
  error = found.std() / math.sqrt(len(found))
  assert abs(found.mean() - 8 / 9) < 4 * error < 2e-3
  # One draw of 8 of the 20 says the same, and varies more.
  assert found.std() < 0.8 * scores[:, :8].max(1).std()


def test_many_answers_stay_exact():
  # The best of n ranks 1 … N is n(N + 1)/(n + 1) on average.
  n, N = 1000, 100_000
  scores = jnp.linspace(-1, 1, N)
  exact = 2 * (n * (N + 1) / (n + 1) - 1) / (N - 1) - 1
  assert expected(scores, scores, n=n) == pytest.approx(exact, abs=1e-6)


def test_bound():
  assert kl_bound(1) == 0
  assert kl_bound(4) == pytest.approx(math.log(4) - 0.75)
  # KL(best of n ‖ uniform on 4): its mass is (k/4)ⁿ − ((k − 1)/4)ⁿ.
  for n in (2, 3, 10, 100):
    mass = np.diff((np.arange(5) / 4) ** n)
    assert (mass * np.log(4 * mass)).sum() < kl_bound(n)


def test_wrong_n_is_refused():
  with pytest.raises(ValueError, match="n = 4 of 3 answers"):
    weights(jnp.zeros(3), n=4)
  with pytest.raises(ValueError, match="n = 0 of 3"):
    weights(jnp.zeros(3), n=0)
  with pytest.raises(ValueError, match="n = 0; it must be at least 1"):
    kl_bound(0)
