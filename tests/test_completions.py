import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from alignjax.ops import completions as per
from alignjax.types import Batch

IDS = jnp.array([[1, 1, 3, 3, 3, 0], [2, 0, 1, 2, 0, 0]])
X = jnp.array([[1.0, 2, 3, 4, 5, 9], [1, 9, 2, 3, 9, 9]])


def batch_of(ends=None, **fields):
  zeros = jnp.zeros_like(IDS)
  return Batch(*[zeros] * 5, IDS, 1.0 * zeros, ends=ends, fields=fields)


def test_by_hand():
  np.testing.assert_array_equal(per.sums(X, IDS, 3), [[3, 0, 12], [2, 4, 0]])
  np.testing.assert_array_equal(per.counts(IDS, 3), [[2, 0, 3], [1, 2, 0]])
  np.testing.assert_array_equal(per.means(X, IDS, 3), [[1.5, 0, 4], [2, 2, 0]])
  ranks = [[0, 1, 0, 1, 2, 0], [0, 0, 0, 1, 0, 0]]
  np.testing.assert_array_equal(per.ranks(IDS, 3), ranks)
  spread = per.spread(jnp.array([[5.0, 6, 7], [8, 9, 4]]), IDS)
  np.testing.assert_array_equal(
    spread, [[5, 5, 7, 7, 7, 0], [9, 0, 8, 9, 0, 0]]
  )


def test_what_is_not_trained_changes_neither_value_nor_gradient():
  def value(x):
    return (per.means(x, IDS, 3) * jnp.arange(1.0, 4.0)).sum()

  expected = jax.grad(value)(X)
  assert expected[0, 5] == 0.0
  for dirt in (jnp.nan, jnp.inf, -1e30):
    dirty = jnp.where(IDS > 0, X, dirt)
    np.testing.assert_array_equal(jax.grad(value)(dirty), expected)
    np.testing.assert_array_equal(value(dirty), value(X))


def test_a_completion_does_not_spoil_its_neighbours():
  found = per.sums(X.at[0, 0].set(jnp.nan), IDS, 3)
  np.testing.assert_array_equal(found, [[np.nan, 0, 12], [2, 4, 0]])


def test_half_precision_is_summed_in_float32():
  x = jnp.full((1, 1000), 0.1, jnp.bfloat16)
  found = per.sums(x, jnp.ones((1, 1000), jnp.int32), 1)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, 1000 * float(x[0, 0]), rtol=1e-5)


def test_rows_stay_on_their_devices():
  mesh = jax.make_mesh(
    (8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  rows = NamedSharding(mesh, PartitionSpec("data"))
  x, ids = jnp.ones((8, 6)), jnp.ones((8, 6), jnp.int32)

  def value(x, ids):
    return per.means(x, ids, 3), per.ranks(ids, 3)

  made = jax.jit(value, in_shardings=(rows, rows)).lower(x, ids).compile()
  text = made.as_text()
  for word in ("all-reduce", "all-gather", "collective-permute"):
    assert word not in text
  assert all(s.is_equivalent_to(rows, 2) for s in made.output_shardings)


def test_size_and_presence():
  batch = batch_of(jnp.array([[2, 0, 5], [3, 4, 0]]))
  assert per.size_of(batch) == 3
  there = [[True, False, True], [True, True, False]]
  np.testing.assert_array_equal(per.present(batch), there)


def test_what_a_batch_lacks_is_named():
  with pytest.raises(ValueError, match="no `ends`.*\n.*judged completions"):
    per.present(batch_of())
  with pytest.raises(ValueError, match="'label'.*it has kl, margin"):
    per.field(batch_of(margin=X, kl=X), "label")
