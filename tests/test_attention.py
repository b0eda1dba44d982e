import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.models.config import Rope
from alignjax.models.transformer import angles
from alignjax.ops.attention import Past, attend, frequencies, rotate, visible


def naive(q, k, v, see, scale, softcap):
  """Query by query, head by head, in float64."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  B, Q, H, _ = q.shape
  group = H // k.shape[2]
  out = np.zeros_like(q)
  for b, i, h in np.ndindex(B, Q, H):
    keys = np.flatnonzero(see[b, i])
    scores = k[b, keys, h // group] @ q[b, i, h] * scale
    if softcap:
      scores = softcap * np.tanh(scores / softcap)
    weights = np.exp(scores - scores.max())
    out[b, i, h] = weights / weights.sum() @ v[b, keys, h // group]
  return out


def test_who_sees_whom_by_hand():
  # Two documents and a place of padding, packed in one row.
  positions = jnp.array([[0, 1, 2, 0, 1, 0]])
  documents = jnp.array([[1, 1, 1, 2, 2, 0]])
  see = visible(positions, positions, documents, documents, 0)
  expected = [
    [1, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0],
    [0, 0, 0, 1, 0, 0],
    [0, 0, 0, 1, 1, 0],
    [0, 0, 0, 0, 0, 1],
  ]
  np.testing.assert_array_equal(see[0], np.array(expected, bool))
  see = visible(positions, positions, documents, documents, 2)
  expected[2][0] = 0  # a window of two: itself and one before
  np.testing.assert_array_equal(see[0], np.array(expected, bool))


def test_two_keys_by_hand():
  # Scores 0 and ln 3, so the weights are 1/4 and 3/4.
  q = jnp.array([[[[0.0]], [[2.0]]]])
  k = jnp.array([[[[0.0], [math.log(3.0)]]]])
  v = jnp.array([[[[1.0], [5.0]]]])
  at = jnp.array([[0, 1]])

  def out(documents, window, softcap):
    options = dict(window=window, scale=0.5, softcap=softcap)
    documents = jnp.array([documents])
    found = attend(q, k, v, at, documents, None, **options)[0, 1].item()
    # The same from a cache that holds the first key, and a slot still free.
    past = Past(
      jnp.pad(k[:, :, :1], [(0, 0)] * 2 + [(0, 1), (0, 0)]),
      jnp.pad(v[:, :, :1], [(0, 0)] * 2 + [(0, 1), (0, 0)]),
      at,
      documents.at[:, 1].set(-1),
    )
    new = (q[:, 1:], k[:, :, 1:], v[:, :, 1:], at[:, 1:], documents[:, 1:])
    assert attend(*new, past, **options).item() == pytest.approx(found)
    return found

  assert out([1, 1], 0, 0.0) == pytest.approx(4.0)
  cap = 0.5
  weight = 1 / (1 + math.exp(-cap * math.tanh(math.log(3.0) / cap)))
  assert out([1, 1], 0, cap) == pytest.approx(1 + 4 * weight)
  assert out([2, 1], 0, 0.0) == 5.0  # the first key: another document
  assert out([1, 1], 1, 0.0) == 5.0  # the first key: out of the window


def random_case(B, L, H, K, N):
  keys = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(keys[0], (B, L, H, N)) * 3
  k = jax.random.normal(keys[1], (B, L, K, N))
  v = jax.random.normal(keys[2], (B, L, K, N))
  return q, k, v


STATIC = ("window", "scale", "softcap")


@partial(jax.jit, static_argnames=STATIC)
def whole(q, k, v, at, documents, **options):
  k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)
  return attend(q, k, v, at, documents, None, **options)


@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("kv_heads", [1, 3, 6])
def test_equal_to_a_loop_over_queries_and_heads(kv_heads, softcap):
  q, k, v = random_case(2, 5, 6, kv_heads, 4)
  at = jnp.broadcast_to(jnp.arange(5), (2, 5))
  documents = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
  see = visible(at, at, documents, documents, 3)
  out = whole(q, k, v, at, documents, window=3, scale=0.7, softcap=softcap)
  expected = naive(q, k, v, np.asarray(see), 0.7, softcap)
  np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("window", [0, 40])
def test_long_rows_are_a_loop_too(window):
  """Rows long enough to be walked in several blocks, two documents packed."""
  n = 300
  q, k, v = random_case(1, n, 2, 1, 4)
  at = np.concatenate([np.arange(170), np.arange(120), np.zeros(10)])
  at = jnp.array([at], jnp.int32)
  documents = jnp.array([[1] * 170 + [2] * 120 + [0] * 10])
  see = np.asarray(visible(at, at, documents, documents, window))

  def total(q, k, v):
    out = whole(q, k, v, at, documents, window=window, scale=0.5, softcap=0.0)
    return (out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)).sum(), out

  grad, out = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(q, k, v)
  np.testing.assert_allclose(out, naive(q, k, v, see, 0.5, 0.0), atol=1e-5)
  # Later queries' gradients: the last query of document 1 reaches its keys.
  reached = np.abs(np.asarray(grad[1]))[0, :, 0].max(-1) > 0
  np.testing.assert_array_equal(reached[:290], see[0, :290].any(0)[:290])


def test_softmax_of_bfloat16_is_float32():
  # Scores 8 and 8.125 at weights 0.469 and 0.531; in bfloat16 arithmetic
  # their sum of 1000 equal pairs would be far off.
  n = 1000
  k = jnp.tile(
    jnp.array([[64.0, 0.0], [64.0, 1.0]], jnp.bfloat16), (n, 1)
  ).reshape(1, 1, 2 * n, 2)
  v = jnp.tile(
    jnp.array([[0.0, 0.0], [1.0, 1.0]], jnp.bfloat16), (n, 1)
  ).reshape(1, 1, 2 * n, 2)
  q = jnp.ones((1, 2 * n, 1, 2), jnp.bfloat16)
  at = jnp.arange(2 * n)[None]
  out = attend(
    q, k, v, at, at * 0 + 1, None, window=0, scale=0.125, softcap=0.0
  )
  assert out.dtype == jnp.bfloat16
  expected = 1 / (1 + math.exp(-0.125))
  np.testing.assert_allclose(float(out[0, -1, 0, 0]), expected, atol=3e-3)


def turned(rope, size, positions, documents=None):
  positions = jnp.asarray(positions)
  if documents is None:
    documents = jnp.ones_like(positions)
  return angles(rope, size, positions, jnp.asarray(documents))


def test_a_quarter_turn_by_hand():
  cos, sin = jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1))
  x = jnp.array([[[[3.0, 4.0, 7.0]]]])  # the third entry is not rotated
  np.testing.assert_array_equal(rotate(x, cos, sin), [[[[-4.0, 3.0, 7.0]]]])


def test_rotation_keeps_norms_and_knows_relative_positions_only():
  q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 2, 8))
  q, k = (jnp.broadcast_to(x, (1, 6, 2, 8)) for x in (q, k))
  far, near = [[0, 1, 2, 3, 4, 5]], [[40, 41, 42, 43, 44, 45]]
  scores = []
  for at in (far, near):
    turn = turned(Rope(theta=100.0), 8, at)
    a, b = rotate(q, *turn), rotate(k, *turn)
    np.testing.assert_allclose(
      jnp.linalg.norm(a, axis=-1), jnp.linalg.norm(q, axis=-1), rtol=1e-5
    )
    scores.append(jnp.einsum("bqhn,bkhn->bhqk", a, b))
  np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
  diagonals = scores[0][0, 0]
  np.testing.assert_allclose(diagonals[1, 0], diagonals[5, 4], atol=1e-4)
  assert abs(diagonals[1, 0] - diagonals[5, 0]) > 1e-2


def freq(kind="default", length=1, size=4, **options):
  options = {
    "theta": 100.0,
    "factor": 1.0,
    "low_freq": 1.0,
    "high_freq": 4.0,
    "original_length": 8,
  } | options
  found = frequencies(size, kind=kind, length=jnp.array([length]), **options)
  return np.asarray(found[0])


def test_frequencies_by_hand():
  np.testing.assert_allclose(freq(), [1.0, 0.1], rtol=1e-6)
  np.testing.assert_allclose(
    freq("linear", factor=4.0), [0.25, 0.025], rtol=1e-6
  )


def test_dynamic_frequencies_grow_past_the_original_length_row_by_row():
  for length in (1, 8):
    np.testing.assert_allclose(freq("dynamic", length, factor=2.0), freq())
  # Twice as long, factor 2: theta · (2·2 − 1)^(4/2) = 900.
  expected = [1.0, 1 / 30]
  np.testing.assert_allclose(
    freq("dynamic", 16, factor=2.0), expected, rtol=1e-5
  )
  turn = turned(
    Rope(theta=100.0, kind="dynamic", factor=2.0, original_length=8),
    4,
    [[1, 2, 3], [1, 2, 15]],
  )
  np.testing.assert_allclose(turn[1][0, 0], np.sin([1.0, 0.1]), rtol=1e-5)
  np.testing.assert_allclose(turn[1][1, 0], np.sin([1.0, 1 / 30]), rtol=1e-5)
  beside = turned(
    Rope(theta=100.0, kind="dynamic", factor=2.0, original_length=8),
    4,
    [[1, 1, 15, 0]],
    [[1, 2, 2, 0]],  # the second document is the long one
  )
  np.testing.assert_allclose(beside[1][0, 0], np.sin([1.0, 0.1]), rtol=1e-5)
  np.testing.assert_allclose(beside[1][0, 1], np.sin([1.0, 1 / 30]), rtol=1e-5)


def test_llama3_frequencies_keep_high_divide_low_and_blend_between():
  options = dict(factor=8.0, original_length=400, theta=1e4, size=6)
  base = 1e4 ** -(np.arange(0, 6, 2) / 6)
  wavelength = 2 * np.pi / base  # 6.3, 135, 2916 tokens
  assert wavelength[0] < 100 < wavelength[1] < 400 < wavelength[2]
  smooth = (400 / wavelength[1] - 1) / 3
  blend = (1 - smooth) * base[1] / 8 + smooth * base[1]
  expected = [base[0], blend, base[2] / 8]
  np.testing.assert_allclose(freq("llama3", **options), expected, rtol=1e-5)
