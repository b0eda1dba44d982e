import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.preference import ld_factors, link, wpo_weights

U = jnp.array([-2.0, -0.5, 0.0, 0.7, 3.0])


def test_divergences_by_hand():
  two = jnp.array([math.log(2.0)])
  np.testing.assert_array_equal(link("reverse_kl")(U), U)
  np.testing.assert_allclose(link("forward_kl")(two), [0.5], rtol=1e-6)
  js = [math.log(4 / 3)]  # log 2 + log 2/3
  np.testing.assert_allclose(link("js_divergence")(two), js, rtol=1e-6)
  root = [2 * (1 - math.sqrt(0.5))]  # (2^−½ − 1)/(−½)
  np.testing.assert_allclose(link("alpha=0.5")(two), root, rtol=1e-6)
  np.testing.assert_allclose(link("alpha=2")(two), [1.0], rtol=1e-6)


def test_alpha_runs_from_forward_to_reverse_kl():
  forward, reverse = link("forward_kl")(U), link("reverse_kl")(U)
  np.testing.assert_allclose(link("alpha=0")(U), forward, rtol=1e-6)
  np.testing.assert_allclose(link("alpha=0.9999")(U), reverse, rtol=1e-3)


@pytest.mark.parametrize(
  "name", ["reverse_kl", "forward_kl", "js_divergence", "alpha=0.3", "alpha=2"]
)
def test_every_divergence_rises_and_stays_finite(name):
  slope = jax.vmap(jax.grad(link(name)))(U)
  assert (slope > 0).all()
  for far in (-200.0, 200.0):
    value, slope = jax.value_and_grad(link(name))(jnp.float32(far))
    assert np.isfinite(value) and np.isfinite(slope)


@pytest.mark.parametrize(
  "name", ["kl", "", "alpha", "alpha=", "alpha=x", "alpha=1", "alpha=inf"]
)
def test_an_unknown_divergence_names_the_legal_ones(name):
  with pytest.raises(ValueError, match="is unknown; one of reverse_kl, forw"):
    link(name)


def test_wpo_weights_by_hand():
  ids = jnp.array([[1, 1, 2, 0]])
  p = jnp.array([[0.5, 0.25, 0.2, jnp.nan]])
  p2 = jnp.array([[0.5, 0.5, 0.4, 0.0]])
  found = wpo_weights(jnp.log(p), p2, ids, 2)
  # the geometric mean of 1 and 1/2, times 1/2
  np.testing.assert_allclose(found, [[math.sqrt(0.5) * 0.5]], rtol=1e-6)
  grad = jax.grad(lambda x: wpo_weights(x, p2, ids, 2).sum())(jnp.log(p))
  np.testing.assert_array_equal(grad, jnp.zeros((1, 4)))


def test_ld_factors_by_hand():
  ids = jnp.array([[1, 1, 1, 2, 0, 3, 4, 4, 4]])
  found = ld_factors(ids, 4, 0.3)
  expected = [[1, 0.3, 0.3, 1, 0, 1, 1, 0.3, 0.3]]
  trained = np.array(ids > 0)
  np.testing.assert_allclose(
    np.array(found)[trained], np.array(expected)[trained]
  )
  np.testing.assert_array_equal(ld_factors(ids, 4, 1.0)[ids > 0], 1.0)
