import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.readout import STATS, logits_of, readout, statistics


def plain(logits, targets):
  """The statistics as a textbook writes them, in float64."""
  logits = np.asarray(logits, np.float64)
  p = np.exp(logits - logits.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  chosen = np.take_along_axis(p, np.asarray(targets)[..., None], -1)[..., 0]
  return {
    "logp": np.log(chosen),
    "entropy": -(p * np.log(p)).sum(-1),
    "correct": (logits.argmax(-1) == targets).astype(float),
    "sum_p2": (p**2).sum(-1),
  }


def read(hidden, head, targets, chunk, softcap=0.0, needs=STATS, **more):
  return readout(
    hidden,
    head,
    targets,
    needs=needs,
    chunk=chunk,
    softcap=softcap,
    constrain=lambda x, name: x,
    **more,
  )


@pytest.fixture(scope="module")
def case():
  keys = jax.random.split(jax.random.key(0), 3)
  hidden = jax.random.normal(keys[0], (2, 7, 4))
  head = jax.random.normal(keys[1], (11, 4))
  targets = jax.random.randint(keys[2], (2, 7), 0, 11)
  return hidden, head, targets


def test_two_words_by_hand():
  logits = jnp.array([[[0.0, math.log(3.0)]] * 2])  # p = 1/4, 3/4
  found = statistics(logits, jnp.array([[0, 1]]), STATS)
  log = math.log
  entropy = 0.25 * log(4) + 0.75 * log(4 / 3)
  expected = {
    "logp": [log(0.25), log(0.75)],
    "entropy": [entropy] * 2,
    "correct": [0.0, 1.0],
    "sum_p2": [0.0625 + 0.5625] * 2,
  }
  assert set(found) == set(expected)
  for name, values in expected.items():
    np.testing.assert_allclose(found[name][0], values, rtol=1e-6)


def test_equal_to_a_plain_softmax_and_blind_to_a_shift(case):
  hidden, head, targets = case
  logits = logits_of(hidden, head, 0.0)
  for shift in (0.0, 50.0, -50.0):
    found = statistics(logits + shift, targets, STATS)
    for name, values in plain(logits, targets).items():
      np.testing.assert_allclose(found[name], values, atol=2e-5, err_msg=name)


def test_only_what_is_asked_for(case):
  hidden, head, targets = case
  assert set(read(hidden, head, targets, 3, needs=("entropy",))) == {"entropy"}
  with pytest.raises(ValueError, match="No statistic 'logit'; one of logp, "):
    read(hidden, head, targets, 3, needs=("logp", "logit"))


def test_chunks_change_neither_value_nor_gradient(case):
  hidden, head, targets = case
  scale = jnp.arange(14.0).reshape(2, 7)

  def total(hidden, head, chunk):
    found = read(hidden, head, targets, chunk, softcap=3.0)
    return sum((scale * found[n]).sum() for n in STATS), found

  grad = jax.value_and_grad(total, (0, 1), has_aux=True)
  grad = jax.jit(grad, static_argnums=2)
  (_, whole), whole_grad = grad(hidden, head, 7)
  expected = plain(logits_of(hidden, head, 3.0), targets)
  for chunk in (1, 3, 100):
    (_, found), found_grad = grad(hidden, head, chunk)
    for name in STATS:
      assert found[name].shape == (2, 7)
      np.testing.assert_allclose(found[name], whole[name], atol=1e-6)
      np.testing.assert_allclose(found[name], expected[name], atol=2e-5)
    for a, b in zip(found_grad, whole_grad):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_no_chunk_holds_more_logits_than_its_own(case):
  hidden, head, targets = case
  f = jax.grad(lambda h: read(h, head, targets, 2)["logp"].sum())
  text = jax.jit(f).lower(hidden).as_text()
  assert "2x2x11x" in text  # B, chunk, V
  for whole in ("2x7x11x", "2x8x11x", "14x11x", "16x11x"):
    assert whole not in text


def test_softcap_by_hand():
  hidden, head = jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 1.0], [0.0, 1.0]])
  np.testing.assert_allclose(logits_of(hidden, head, 0.0), [[6.0, 0.0]])
  capped = [[2 * math.tanh(3.0), 0.0]]
  np.testing.assert_allclose(logits_of(hidden, head, 2.0), capped, rtol=1e-6)


def test_correct_survives_a_softcap_under_jit(case):
  # The capped logit is rounded differently in the maximum and in the choice.
  hidden, head, _ = case
  best = logits_of(hidden, head, 3.0).argmax(-1)
  assert read(hidden, head, best, 3, softcap=3.0)["correct"].all()


def test_huge_logits_and_bfloat16_stay_finite_and_float32():
  hidden = jnp.full((1, 2, 4), 100.0, jnp.bfloat16)
  head = jnp.array([[100.0] * 4, [-100.0] * 4], jnp.bfloat16)
  found = read(hidden, head, jnp.array([[0, 1]]), 2)
  assert all(x.dtype == jnp.float32 for x in found.values())
  np.testing.assert_array_equal(found["logp"], [[0.0, -80000.0]])
  np.testing.assert_array_equal(found["entropy"], [[0.0, 0.0]])


def test_the_loop_ends_where_tokens_do(case):
  """Chunks behind the end are neither read nor trained."""
  hidden, head, targets = case
  ragged = jnp.arange(7) < jnp.array([[4], [2]])

  def total(hidden, head, end):
    found = read(hidden, head, targets, 2, softcap=3.0, end=end)
    return jnp.where(ragged, found["logp"], 0.0).sum(), found

  grad = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
  (whole, _), whole_grad = grad(hidden, head, None)
  (value, found), found_grad = grad(hidden, head, jnp.int32(4))
  np.testing.assert_allclose(value, whole, rtol=1e-6)
  assert found["logp"][:, :4].all() and not found["logp"][:, 4:].any()
  for a, b in zip(found_grad, whole_grad):
    np.testing.assert_allclose(a, b, atol=1e-6)
  nothing = jax.jit(lambda h: read(h, head, targets, 2, end=jnp.int32(0)))
  assert not any(x.any() for x in nothing(hidden).values())


def test_one_pass_where_the_slopes_are_known(case):
  """The same gradients, with a product over the vocabulary less."""
  hidden, head, targets = case
  slopes = {
    "logp": -jnp.arange(14.0).reshape(2, 7),
    "correct": jnp.ones((2, 7)),
  }

  def total(hidden, head, known):
    given = dict(needs=("logp", "correct"), softcap=3.0)
    found = read(hidden, head, targets, 3, slopes=known, **given)
    return sum((slopes[n] * x).sum() for n, x in found.items())

  grad = jax.jit(jax.value_and_grad(total, (0, 1)))
  plain, known = grad(hidden, head, None), grad(hidden, head, slopes)
  for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(known)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

  def products(known):
    text = grad.lower(hidden, head, known)
    return text.as_text().count("stablehlo.dot_general")

  assert (products(None), products(slopes)) == (4, 3)
