import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.losses import orpo
from alignjax.types import Batch


def test_odds_by_hand():
  found = orpo.log_odds(jnp.log(jnp.array([0.5, 0.75, 0.2])))
  np.testing.assert_allclose(found, np.log([1, 3, 0.25]), rtol=1e-6, atol=1e-6)
  c, r = jnp.log(jnp.array(0.75)), jnp.log(jnp.array(0.5))
  np.testing.assert_allclose(orpo.odds_ratio(c, r), math.log(4 / 3), rtol=1e-6)


def test_certainty_has_finite_odds():
  value, slope = jax.value_and_grad(orpo.log_odds)(jnp.array(0.0))
  np.testing.assert_allclose(value, math.log(1e6), rtol=1e-5)
  assert np.isfinite(slope)
  _, slope = jax.value_and_grad(orpo.log_odds)(jnp.array(-100.0))
  np.testing.assert_allclose(slope, 1.0)


def case(**fields):
  """Two tokens of a prompt, one of the chosen side, two of the rejected."""
  ids = jnp.array([[0, 0, 1, 2, 2, 0]])
  p = jnp.array([[0.1, 0.2, 0.75, 0.5, 0.5, 0.9]])
  zeros = jnp.zeros_like(ids)
  fields = {"label": jnp.array([[1.0, 0.0]])} | fields
  weights = jnp.array([[1.0, 1, 1, 1, 1, 0]])
  ends = jnp.array([[3, 5]])
  batch = Batch(*[zeros] * 5, ids, weights, None, ends, fields)
  return {"logp": jnp.log(p), "correct": 0 * p, "entropy": 0 * p}, batch


def test_both_terms_by_hand():
  found = orpo.loss(*case(), beta=0.1)
  np.testing.assert_allclose(found.loss["nll"], [math.log(4 / 3), 1], rtol=1e-6)
  odds = [0.1 * math.log(4 / 3), 1]
  np.testing.assert_allclose(found.loss["odds_ratio"], odds, rtol=1e-6)
  log_odds = found.metrics["log_odds"]
  np.testing.assert_allclose(log_odds, [math.log(3), 1], rtol=1e-6)


def test_the_prompt_is_imitated_where_asked():
  prompt = jnp.array([[1.0, 1, 0, 0, 0, 0]])
  found = orpo.with_prompt(*case(prompt=prompt), beta=0.1)
  nll = [math.log(10) + math.log(5) + math.log(4 / 3), 3]
  np.testing.assert_allclose(found.loss["nll"], nll, rtol=1e-6)
  plain = orpo.loss(*case(prompt=prompt), beta=0.1)
  assert found.loss["odds_ratio"] == plain.loss["odds_ratio"]
  with pytest.raises(ValueError, match="no field 'prompt'"):
    orpo.with_prompt(*case(), beta=0.1)
