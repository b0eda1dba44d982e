import jax.numpy as jnp
import numpy as np

from alignjax.ops import ensemble

SCORES = jnp.array([[1.0, 2.0, 6.0], [-1.0, -1.0, -1.0]])


def test_rules_by_hand():
  np.testing.assert_allclose(ensemble.mean(SCORES), [3, -1])
  np.testing.assert_allclose(ensemble.minimum(SCORES), [1, -1])
  # Squared deviations 4, 1 and 9: their mean is 14/3.
  found = ensemble.uncertainty(SCORES, penalty=0.3)
  np.testing.assert_allclose(found, [3 - 1.4, -1], rtol=1e-6)


def test_members_have_no_order_and_a_shift_is_a_shift():
  rules = (
    ensemble.mean,
    ensemble.minimum,
    lambda x: ensemble.uncertainty(x, penalty=0.5),
  )
  for rule in rules:
    np.testing.assert_allclose(rule(SCORES[:, ::-1]), rule(SCORES), rtol=1e-6)
    np.testing.assert_allclose(rule(SCORES + 4), rule(SCORES) + 4, rtol=1e-6)
    assert rule(SCORES[None]).shape == (1, 2)


def test_conservative_rules_are_never_above_the_mean():
  scores = jnp.array(np.random.default_rng(0).normal(size=(50, 4)))
  mean = ensemble.mean(scores)
  assert bool((ensemble.minimum(scores) <= mean).all())
  assert bool((ensemble.uncertainty(scores, penalty=0.1) < mean).all())
