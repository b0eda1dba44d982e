"""The TPU's attention kernel, interpreted on a CPU, beside our own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import kernels, sharding
from alignjax.ops.attention import attend
from configs import common

B, H, K = 4, 4, 2


def placed(mesh, activations=common.ACTIVATIONS):
  devices = jax.devices()[: int(np.prod(mesh))]
  return sharding.Placement(
    sharding.make_mesh(mesh, devices), (), dict(activations)
  )


def rows(length, size, seed=0):
  """Queries, keys, values, and packed documents with padding at the end."""
  rng = np.random.default_rng(seed)
  draw = lambda *s: jnp.asarray(rng.standard_normal(s), jnp.float32)  # noqa: E731
  documents = np.zeros((B, length), np.int32)
  positions = np.zeros((B, length), np.int32)
  for b in range(B):
    start, ends = 0, np.sort(rng.choice(np.arange(1, length), 3, replace=False))
    for d, end in enumerate(ends, 1):
      documents[b, start:end] = d
      positions[b, start:end] = np.arange(end - start)
      start = end
  return (
    draw(B, length, H, size),
    draw(B, K, length, size),
    draw(B, K, length, size),
    jnp.asarray(positions),
    jnp.asarray(documents),
  )


@pytest.mark.parametrize(
  ("mesh", "length", "size", "window", "softcap"),
  [
    ((1, 1, 1), 500, 128, 0, 0.0),  # blocks of four times as many keys
    ((1, 1, 1), 128, 128, 0, 0.0),
    ((2, 2, 2), 200, 64, 0, 0.0),  # padded to blocks and lanes
    ((1, 4, 1), 128, 128, 40, 0.0),
    ((1, 1, 2), 128, 128, 0, 20.0),
  ],
)
def test_splash_is_attention(mesh, length, size, window, softcap, monkeypatch):
  """Values and gradients of the tokens that are there."""
  monkeypatch.setattr(kernels, "LONG", 512)
  place, given = placed(mesh), rows(length, size)
  options = dict(window=window, scale=size**-0.5, softcap=softcap)
  there = (given[-1] > 0)[:, :, None, None]

  def total(kernel):
    def of(q, k, v):
      out = jnp.where(there, kernel(q, k, v, *given[3:], None, **options), 0)
      return (out * jnp.cos(jnp.arange(size))).sum(), out

    return jax.jit(jax.grad(of, argnums=(0, 1, 2), has_aux=True))(*given[:3])

  own, wanted = total(attend)
  grads, found = total(partial(kernels.splash, place, interpret=True))
  np.testing.assert_allclose(found, wanted, atol=2e-5)
  for one, other in zip(grads, own):
    np.testing.assert_allclose(one, other, atol=5e-5)


def test_heads_that_are_split_read_keys_that_are_not():
  activations = common.ACTIVATIONS | {
    k: (common.ROWS, None, None, None) for k in ("key", "value")
  }
  place, given = placed((1, 1, 4), activations), rows(128, 128)
  options = dict(window=0, scale=0.1, softcap=0.0)
  wanted = attend(*given, None, **options)
  found = kernels.splash(place, *given, None, **options, interpret=True)
  there = (given[-1] > 0)[:, :, None, None]
  np.testing.assert_allclose(found * there, wanted * there, atol=2e-5)


def test_the_kernel_is_by_the_devices():
  place = placed((1, 1, 1))
  kernel, why = kernels.chosen(place)
  assert kernel is attend and why == "attention: xla, in blocks (on cpu)"
  with pytest.raises(ValueError, match="is a TPU's kernel"):
    kernels.chosen(place, "splash")
  with pytest.raises(ValueError, match="auto, xla, splash"):
    kernels.chosen(place, "flash")


def test_a_chunk_of_logits_fits():
  """Logits of 16 rows, 128,256 each over 16 devices: 128 places are 63 MiB."""
  place = placed((1, 8, 1))
  assert kernels.readout_chunk(place, 16, 128_256) == 32  # of a CPU
  assert kernels.readout_chunk(place, 1, 128_256) == 64

  class Mesh:
    size = 16
    devices = np.array([type("Chip", (), {"platform": "tpu"})])

  tpu = type("Placed", (), {"mesh": Mesh})
  chunk = kernels.readout_chunk.__wrapped__  # without its types
  assert chunk(tpu, 16, 128_256) == 128
  assert 16 * 128 * 128_256 * 4 / 16 <= kernels.LOGITS
  assert chunk(tpu, 16, 264) == 1024 and chunk(tpu, 4096, 128_256) == 32
