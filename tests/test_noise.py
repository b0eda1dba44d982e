import jax
import jax.numpy as jnp
import numpy as np

from alignjax.models.lm import LM
from alignjax.ops.noise import neftune


def drawn(documents, seed=0, alpha=5.0, width=64):
  documents = jnp.array(documents)
  keys = jax.random.split(jax.random.key(seed), len(documents))
  return np.asarray(neftune(keys, documents, width=width, alpha=alpha))


def test_noise_is_bounded_by_the_documents_length():
  found = drawn([[1, 1, 1, 1, 2, 0], [1, 0, 0, 0, 0, 0]])
  assert found.shape == (2, 6, 64)
  for row, at, n in [(0, 0, 4), (0, 3, 4), (0, 4, 1), (1, 0, 1)]:
    bound = 5.0 / (n * 64) ** 0.5
    largest = np.abs(found[row, at]).max()
    assert 0.8 * bound < largest <= bound
  assert not found[0, 5].any() and not found[1, 1:].any()  # padding


def test_noise_is_uniform_around_zero():
  found = drawn(np.ones((8, 32), np.int32), width=128) / (5 / (32 * 128) ** 0.5)
  assert abs(found.mean()) < 0.01
  assert abs(found.var() - 1 / 3) < 0.01


def test_a_row_has_its_own_noise_whatever_is_beside_it():
  keys = jax.random.split(jax.random.key(1), 3)
  documents = jnp.ones((3, 4), jnp.int32)
  whole = neftune(keys, documents, width=8, alpha=1.0)
  alone = neftune(keys[1:2], documents[:1], width=8, alpha=1.0)
  np.testing.assert_array_equal(whole[1:2], alone)
  assert not np.array_equal(whole[0], whole[1])


def test_the_model_takes_it_in_training_only(small, draw, ragged):
  lm, batch = LM(small, chunk=4), jax.tree.map(jnp.asarray, ragged)
  params = jax.tree.map(jnp.asarray, draw(lm))
  keys = jax.random.split(jax.random.key(0), 8)
  plain = lm.stats(params, batch, ("logp",))["logp"]
  without = lm.stats(params, batch, ("logp",), keys)["logp"]
  noisy = lm.stats(params, batch, ("logp",), keys, neftune=5.0)["logp"]
  np.testing.assert_array_equal(plain, without)
  mask = ragged.completions > 0
  assert (np.abs(noisy - plain)[mask] > 1e-6).all()
