import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.losses.aot import aot, aot_unpaired, dominance
from alignjax.types import Batch

OPTIONS = dict(beta=1.0, label_smoothing=0.0, reference_free=False)


def case(logp, reference):
  """Rows of one pair of one token a side."""
  logp, reference = jnp.array(logp), jnp.array(reference)
  ids = jnp.tile(jnp.array([1, 2]), (len(logp), 1))
  zeros = jnp.zeros_like(ids)
  fields = {"reference/logp": reference}
  batch = Batch(*[zeros] * 5, ids, 1.0 * (ids > 0), None, ids, fields)
  return {k: logp for k in ("logp", "correct", "entropy")}, batch


def test_dominance_by_hand():
  above, below = jnp.array([3.0, 1.0, 7.0]), jnp.array([0.0, 5.0, jnp.nan])
  mask = jnp.array([True, True, False])
  found = dominance(above, below, mask)
  np.testing.assert_array_equal(found, [1 - 0, 3 - 5, 0])
  grad = jax.grad(lambda a: (dominance(a, below, mask) ** 2).sum())(above)
  np.testing.assert_array_equal(grad, [-4, 2, 0])


def test_both_kinds_by_hand():
  # u = (2, 0), v = (1, −1); margins of the policy (1, 1), sorted differences
  # of log π (1, 4) and of log ref (0, 3).
  stats, batch = case([[-1.0, -2], [-1, -5]], [[-3.0, -3], [-1, -4]])
  log2 = math.log1p(math.exp(-1.0))
  for kind in (aot, aot_unpaired):
    (term,) = kind(stats, batch, **OPTIONS).loss.values()
    np.testing.assert_allclose(term, [2 * log2, 2], rtol=1e-6)
  # u = (5, 0), v = (0, 4): sorted, 0 − 0 and 5 − 4. In pairs: 5 and −4.
  stats, batch = case([[5.0, 0], [0, 4]], [[0.0, 0], [0, 0]])
  (term,) = aot_unpaired(stats, batch, **OPTIONS).loss.values()
  np.testing.assert_allclose(term, [math.log(2) + log2, 2], rtol=1e-6)
  (term,) = aot(stats, batch, **OPTIONS).loss.values()
  pairs = math.log1p(math.exp(-5)) + math.log1p(math.exp(4))
  np.testing.assert_allclose(term, [pairs, 2], rtol=1e-6)


@pytest.mark.parametrize("kind", [aot, aot_unpaired])
def test_it_says_that_rows_are_coupled(kind):
  assert kind.couples_rows is True
  assert "Couples the rows of a batch" in kind.__doc__
