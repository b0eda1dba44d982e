import jax
import jax.numpy as jnp
import numpy as np

from alignjax.ops.masked import term


def test_sum_and_number_of_places():
  found = term(
    jnp.array([[1.0, 2.0], [4.0, 8.0]]), jnp.array([[1, 0], [1, 1]], bool)
  )
  assert (float(found.sum), float(found.weight)) == (13.0, 3.0)


def test_what_is_masked_changes_neither_value_nor_gradient():
  mask = jnp.array([True, False, True, False])
  value = jax.value_and_grad(lambda x: term(x * x, mask).sum)
  clean, clean_grad = value(jnp.array([1.0, 5.0, 3.0, 7.0]))
  for dirt in (jnp.nan, jnp.inf, -1e30):
    x = jnp.array([1.0, dirt, 3.0, 7.0])
    found = term(x, mask)
    assert float(found.sum) == 4.0 and float(found.weight) == 2.0
  grad = jax.grad(lambda x: term(x, mask).sum)(
    jnp.array([1.0, jnp.nan, 3.0, jnp.inf])
  )
  np.testing.assert_array_equal(grad, [1.0, 0.0, 1.0, 0.0])
  assert float(clean) == 10.0
  np.testing.assert_array_equal(clean_grad, [2.0, 0.0, 6.0, 0.0])


def test_nothing_is_zero_over_zero_places():
  found = term(jnp.full((2, 3), jnp.nan), jnp.zeros((2, 3), bool))
  assert (float(found.sum), float(found.weight)) == (0.0, 0.0)


def test_sums_are_float32():
  # 1 + 256 · 2⁻⁹ in bfloat16 would stay 1.
  x = jnp.concatenate([jnp.ones(1), jnp.full(256, 2.0**-9)])
  found = term(x.astype(jnp.bfloat16), jnp.ones(257, bool))
  assert found.sum.dtype == found.weight.dtype == jnp.float32
  assert float(found.sum) == 1.5
