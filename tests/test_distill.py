import jax.numpy as jnp
import numpy as np

from alignjax.losses import distill
from alignjax.types import Batch


def test_by_hand():
  assert distill.needs == ("jsd", "logp", "correct")
  ids = jnp.array([[1, 1, 0], [2, 0, 0]])
  zeros = jnp.zeros_like(ids)
  weights = jnp.array([[1.0, 1.0, 9.0], [0.5, 9.0, 9.0]])
  batch = Batch(*[zeros] * 5, ids, weights)
  stats = {
    "jsd": jnp.array([[0.25, 0.5, jnp.nan], [2.0, 7.0, 7.0]]),
    "logp": jnp.array([[-1.0, -2, jnp.nan], [-4, 7, 7]]),
    "correct": jnp.array([[1.0, 0, 1], [0, 1, 1]]),
  }
  found = distill.loss(stats, batch)
  assert [float(x) for x in found.loss["jsd"]] == [1.75, 2.5]
  assert [float(x) for x in found.metrics["nll"]] == [5.0, 2.5]
  np.testing.assert_array_equal(found.metrics["mean_token_accuracy"], [1, 3])
