import math

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.losses.sft import loss, needs, nll
from alignjax.types import Batch


def batch_of(completions):
  zeros = jnp.zeros((2, 3), jnp.int32)
  return Batch(*[zeros] * 5, jnp.array(completions))


def test_by_hand():
  assert needs == ("logp", "correct")
  np.testing.assert_array_equal(nll(jnp.array([-0.5])), [0.5])
  logs = jnp.log(jnp.array([[0.5, 0.25, 0.1], [0.125, 0.1, 0.1]]))
  stats = {"logp": logs, "correct": jnp.array([[1.0, 0, 1], [1, 1, 1]])}
  found = loss(stats, batch_of([[1, 2, 0], [1, 0, 0]]))
  np.testing.assert_allclose(found.loss["nll"].sum, 6 * math.log(2), rtol=1e-6)
  assert float(found.loss["nll"].weight) == 3.0
  accuracy = found.metrics["mean_token_accuracy"]
  assert (float(accuracy.sum), float(accuracy.weight)) == (2.0, 3.0)


def test_padding_changes_neither_value_nor_gradient():
  batch = batch_of([[1, 1, 0], [1, 0, 0]])
  ones = jnp.ones((2, 3))

  def total(logp, correct):
    found = loss({"logp": logp, "correct": correct}, batch)
    return found.loss["nll"].sum, found

  grad = jax.grad(total, has_aux=True)
  expected, terms = grad(-2 * ones, ones)
  np.testing.assert_array_equal(expected, [[-1, -1, 0], [-1, 0, 0]])
  for dirt in (jnp.nan, jnp.inf, -1e9):
    dirty = jnp.where(batch.completions > 0, -2.0, dirt)
    found, same = grad(dirty, dirty)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(same.loss["nll"], terms.loss["nll"])


def test_weights_come_from_masks_alone():
  batch = batch_of([[1, 1, 0], [1, 0, 0]])
  weights = {
    float(loss({n: jnp.full((2, 3), x) for n in needs}, batch).loss["nll"][1])
    for x in (0.0, jnp.nan, -5.0)
  }
  assert weights == {3.0}
