import math

import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.losses import cpo
from alignjax.types import Batch

LOG2, LOG3 = math.log(2), math.log(3)
C, R = jnp.array(-LOG2), jnp.array(-LOG2 - 2 * LOG3)  # c − r = 2 log 3


def test_quantities_by_hand():
  found = cpo.contrast(C, R, beta=0.5, label_smoothing=0.0)
  np.testing.assert_allclose(found, math.log(4 / 3), rtol=1e-6)
  found = cpo.contrast(C, R, beta=0.5, label_smoothing=0.25)
  smooth = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
  np.testing.assert_allclose(found, smooth, rtol=1e-6)
  found = cpo.calibration(C, R, beta=0.25)
  np.testing.assert_allclose(found, 1 - 0.5 * LOG3, rtol=1e-6)
  found = cpo.square(C, R, beta=0.5)
  np.testing.assert_allclose(found, (2 * LOG3 - 1) ** 2, rtol=1e-6)
  found = cpo.margin(C, R, beta=1.0, gamma=LOG3)
  np.testing.assert_allclose(found, math.log(4 / 3), rtol=1e-6)


def case():
  ids = jnp.array([[1, 1, 2, 2, 2, 0]])
  logp = jnp.array([[-1.0, -3, -1, -1, -4, -9]])
  zeros = jnp.zeros_like(ids)
  fields = {"label": jnp.array([[1.0, 0.0]])}
  weights = 2.0 * (ids > 0)
  batch = Batch(*[zeros] * 5, ids, weights, None, jnp.array([[2, 5]]), fields)
  return {"logp": logp, "correct": 0 * logp, "entropy": 0 * logp}, batch


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_likelihood_is_a_term_of_its_own(alpha):
  found = cpo.hinge(*case(), beta=0.1, alpha=alpha)
  # sums −4 and −6; weight 2
  np.testing.assert_allclose(found.loss["hinge"], [2 * 0.8, 2], rtol=1e-6)
  np.testing.assert_allclose(found.loss["nll"], [alpha * 8, 4], rtol=1e-6)


def test_simpo_is_of_means():
  found = cpo.simpo(*case(), beta=2.0, gamma=0.5, alpha=0.0)
  # means −2 and −2: the margin alone is left
  expected = math.log1p(math.exp(0.5))
  np.testing.assert_allclose(found.loss["simpo"], [2 * expected, 2], rtol=1e-6)
  assert float(found.metrics["rewards/chosen"].sum) == -4.0
  assert float(found.metrics["rewards/accuracies"].sum) == 0.0  # a tie
