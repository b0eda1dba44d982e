"""Batches in parts."""

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.ops.microbatches import microbatches, summed


def test_microbatches_take_every_kth_row(ragged):
  found = microbatches(jax.tree.map(jnp.asarray, ragged), 4)
  assert found.tokens.shape == (4, 2, 16)
  for i in range(4):
    np.testing.assert_array_equal(found.targets[i], ragged.targets[i::4])


def test_a_sum_over_parts_is_that_of_the_whole(ragged):
  whole = ragged.targets, ragged.weights
  parts = microbatches(jax.tree.map(jnp.asarray, whole), 2)

  def one(targets, weights):
    return {"targets": targets.sum(), "weights": weights.sum()}

  found = summed(one, parts)
  assert int(found["targets"]) == ragged.targets.sum()
  assert float(found["weights"]) == ragged.weights.sum()
