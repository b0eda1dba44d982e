import jax.numpy as jnp
import numpy as np

from alignjax.ops import spikes


def test_the_limit_is_mean_and_six_sigmas_once_it_is_full():
  history = jnp.array([[1.0, 3.0, 1.0, 3.0], [0.0, 0.0, 0.0, 4.0]])
  # σ is 1 and √3.
  expected = [2 + 6.0, 1 + 6 * 3**0.5]
  for count in (4, 9):
    found = spikes.limit(history, jnp.int32(count))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert np.isinf(spikes.limit(history, jnp.int32(3))).all()


def test_either_value_may_stand_out():
  history = jnp.array([[1.0, 3.0], [1.0, 3.0]])
  for values, expected in [
    ([7.9, 7.9], False),
    ([8.1, 0.0], True),
    ([0.0, 8.1], True),
    ([-99.0, 0.0], False),  # falling is no spike
  ]:
    found = spikes.stands_out(jnp.array(values), history, jnp.int32(2))
    assert bool(found) == expected
  same = jnp.full((2, 4), 0.1)  # nothing stands out where nothing moves
  assert not spikes.stands_out(same[:, 0], same, jnp.int32(4))


def test_the_oldest_value_is_replaced():
  history = jnp.zeros((2, 3))
  for i in range(5):
    values = jnp.array([i, 10.0 * i])
    history = spikes.remember(values, history, jnp.int32(i))
  np.testing.assert_array_equal(history, [[3, 4, 2], [30, 40, 20]])
