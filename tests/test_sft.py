import math

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.losses.sft import dft, dynamic, loss, needs, nll
from alignjax.types import Batch


def batch_of(completions):
  zeros = jnp.zeros((2, 3), jnp.int32)
  completions = jnp.array(completions)
  return Batch(*[zeros] * 5, completions, 1.0 * (completions > 0))


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


def test_row_weights_are_a_weighted_mean():
  batch = batch_of([[1, 1, 0], [1, 0, 0]])
  weights = jnp.array([[0.5, 0.5, 9.0], [2.0, 9.0, 9.0]])  # 9: on the tail
  batch = batch._replace(weights=weights)
  logs = -jnp.array([[1.0, 3.0, 7.0], [5.0, 7.0, 7.0]])
  found = loss({"logp": logs, "correct": jnp.ones((2, 3))}, batch)
  # 0.5·1 + 0.5·3 + 2·5 over 0.5 + 0.5 + 2
  assert [float(x) for x in found.loss["nll"]] == [12.0, 3.0]
  assert float(found.metrics["mean_token_accuracy"].weight) == 3.0  # tokens


def test_dft_by_hand():
  p = jnp.array([0.5, 0.25])
  np.testing.assert_allclose(
    dynamic(jnp.log(p)), [0.5 * math.log(2), 0.25 * math.log(4)], rtol=1e-6
  )
  # d/dlogp of −sg(p) log p is −p: the product rule stops at sg.
  grad = jax.grad(lambda x: dynamic(x).sum())(jnp.log(p))
  np.testing.assert_allclose(grad, -p, rtol=1e-6)
  batch = batch_of([[1, 1, 0], [0, 0, 0]])
  logs = jnp.log(jnp.array([[0.5, 0.25, 0.1], [0.5, 0.5, 0.5]]))
  found = dft({"logp": logs, "correct": jnp.ones((2, 3))}, batch)
  assert set(found.loss) == {"dft"}
  np.testing.assert_allclose(found.loss["dft"].sum, math.log(2), rtol=1e-6)
  np.testing.assert_allclose(found.metrics["nll"].sum, 3 * math.log(2))
