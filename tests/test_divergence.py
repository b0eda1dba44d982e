import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.divergence import generalized_jsd, jsd, kl
from alignjax.ops.readout import logits_of

BETAS = (0.0, 0.3, 1.0)


def plain(student, teacher, beta):
  """The divergence as a textbook writes it, in float64."""

  def softmax(x):
    x = np.asarray(x, np.float64)
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)

  def kl(p, q):
    return (p * np.log(p / q)).sum(-1)

  s, t = softmax(student), softmax(teacher)
  m = beta * t + (1 - beta) * s
  if beta in (0, 1):
    return kl(s, t) if beta else kl(t, s)
  return beta * kl(t, m) + (1 - beta) * kl(s, m)


def run(student, head, teacher, teacher_head, beta, chunk):
  return jsd(
    student,
    head,
    teacher,
    teacher_head,
    beta=beta,
    chunk=chunk,
    student_softcap=3.0,
    teacher_softcap=0.0,
    constrain=lambda x, name: x,
  )


@pytest.fixture(scope="module")
def case():
  """A teacher of another width."""
  keys = jax.random.split(jax.random.key(0), 4)
  shapes = (2, 7, 4), (11, 4), (2, 7, 6), (11, 6)
  return [jax.random.normal(k, s) for k, s in zip(keys, shapes)]


def test_by_hand():
  a, b = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.25, 0.75]))
  expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
  np.testing.assert_allclose(kl(a, b), expected, rtol=1e-6)
  np.testing.assert_allclose(
    generalized_jsd(b, a, beta=0.0), expected, rtol=1e-6
  )
  np.testing.assert_allclose(
    generalized_jsd(a, b, beta=1.0), expected, rtol=1e-6
  )
  # M = (3/8, 5/8)
  to_a = 0.5 * math.log(4 / 3) + 0.5 * math.log(4 / 5)
  to_b = 0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5)
  found = generalized_jsd(a, b, beta=0.5)
  np.testing.assert_allclose(found, (to_a + to_b) / 2, rtol=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_equal_is_zero_and_least(beta):
  x = jnp.array([[1.0, -2.0, 0.5]])
  value, slope = jax.value_and_grad(
    lambda s: generalized_jsd(s, x, beta=beta).sum()
  )(x + 4.0)
  assert abs(float(value)) < 1e-6
  np.testing.assert_allclose(slope, 0 * x, atol=1e-6)
  assert float(generalized_jsd(2 * x, x, beta=beta)[0]) > 1e-3


def test_half_is_symmetric():
  a, b = jnp.array([1.0, 2.0, 0.0]), jnp.array([0.0, -1.0, 1.0])
  found = generalized_jsd(a, b, beta=0.5), generalized_jsd(b, a, beta=0.5)
  np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize("beta", BETAS)
def test_chunks_are_the_full_softmax_in_value_and_gradient(case, beta):
  scale = jnp.arange(14.0).reshape(2, 7)

  def value(student, head, chunk):
    found = run(student, head, *case[2:], beta, chunk)
    return (scale * found).sum(), found

  def full(student, head):
    s, t = logits_of(student, head, 3.0), logits_of(*case[2:], 0.0)
    return (scale * generalized_jsd(s, t, beta=beta)).sum()

  logits = logits_of(*case[:2], 3.0), logits_of(*case[2:], 0.0)
  slopes = jax.grad(full, (0, 1))(*case[:2])
  for chunk in (3, 100):
    grad = jax.grad(value, (0, 1), has_aux=True)
    found_slopes, found = grad(*case[:2], chunk)
    assert found.shape == (2, 7) and found.dtype == jnp.float32
    np.testing.assert_allclose(found, plain(*logits, beta), atol=1e-5)
    for a, b in zip(found_slopes, slopes):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_no_chunk_holds_more_logits_than_its_own(case):
  def value(student):
    return run(student, *case[1:], 0.5, 2).sum()

  text = jax.jit(jax.grad(value)).lower(case[0]).as_text()
  assert "2x2x11x" in text  # B, chunk, V
  for whole in ("2x7x11x", "2x8x11x", "14x11x", "16x11x"):
    assert whole not in text


def test_huge_logits_and_bfloat16_stay_finite_and_float32():
  x = jnp.array([[1e4, -1e4, 0.0]], jnp.bfloat16)
  for beta in BETAS:
    value, slope = jax.value_and_grad(
      lambda s, beta=beta: generalized_jsd(s, -x, beta=beta).sum()
    )(x.astype(jnp.float32))
    assert value.dtype == jnp.float32
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_another_vocabulary_or_a_wrong_beta_is_refused(case):
  student, head, teacher, teacher_head = case
  with pytest.raises(ValueError, match="has 11 tokens, the teacher's 9.\nDist"):
    run(student, head, teacher, teacher_head[:9], 0.5, 3)
  with pytest.raises(ValueError, match=r"beta = 1.5; it must be in \[0, 1\]"):
    run(*case, 1.5, 3)
