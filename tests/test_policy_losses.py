"""Clipped objectives of sampled completions: PPO, GRPO and its kin, RLOO."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.losses import grpo, ppo, rloo
from alignjax.ops.policy import clipped
from alignjax.totals import ratio
from alignjax.types import Batch

INF = float("inf")
LOG2 = float(np.log(2))
# Two completions, of two tokens and of one.
MASK = jnp.array([[1, 1, 0], [1, 0, 0]])
OLD = jnp.array([[-1.0, -2, 0], [-1, 0, 0]])
UP = jnp.array([[LOG2, 0, 0], [-LOG2, 0, 0]])  # log ρ: ρ = 2, 1 and ½
ADVANTAGES = jnp.array([[1.0, 1, 0], [-2, 0, 0]])


def batch(**more):
  zeros = jnp.zeros_like(MASK)
  fields = {
    "old/logp": OLD,
    "reference/logp": OLD,
    "advantages": ADVANTAGES,
    **more,
  }
  return Batch(
    *[zeros] * 5,
    completions=MASK,
    weights=MASK.astype(float),
    ends=jnp.array([[2], [1]]),
    fields=fields,
  )


def stats(change=UP):
  return {
    "logp": OLD + change,
    "entropy": jnp.ones(MASK.shape),
    "value": jnp.zeros(MASK.shape),
  }


def value_of(terms):
  return float(sum(ratio(term) for term in terms.loss.values()))


def test_the_clip_takes_the_worse():
  r, up, down = jnp.array([0.5, 1.0, 2.0]), 1.0, -1.0
  found = clipped(r, jnp.full(3, up), low=0.2, high=0.3)
  np.testing.assert_allclose(found, [-0.5, -1, -1.3])
  found = clipped(r, jnp.full(3, down), low=0.2, high=0.3)
  np.testing.assert_allclose(found, [0.8, 1, 2])


def test_values_by_hand():
  # Tokens: −min(2, 1.2) = −1.2, −1; −min(−1, −1.6) = 1.6.
  tokens = dict(low=0.2, high=0.2, cap=INF)
  b = batch()
  assert value_of(ppo.policy(stats(), b, clip=0.2)) == pytest.approx(-0.2)
  assert value_of(grpo.dapo(stats(), b, **tokens)) == pytest.approx(-0.2)
  assert value_of(grpo.grpo(stats(), b, **tokens)) == pytest.approx(0.25)
  found = grpo.dr_grpo(stats(), b, **tokens, max_tokens=3)
  assert value_of(found) == pytest.approx(-0.1)
  # Completions: ρ = √2 and ½; and 2 and ½.
  found = grpo.gspo(stats(), b, low=0.2, high=0.5)
  assert value_of(found) == pytest.approx((1.6 - 2**0.5) / 2)
  found = rloo.loss(stats(), b, low=0.2, high=0.2)
  assert value_of(found) == pytest.approx((1.6 - 1.2) / 2)


def test_cispo_weighs_and_never_cuts():
  """Where the clip binds, the gradient is high·A and not 0."""

  def loss(logp):
    return value_of_array(grpo.cispo({**stats(), "logp": logp}, b, high=1.5))

  def value_of_array(terms):
    return ratio(terms.loss["cispo"])

  b = batch()
  found = jax.grad(loss)(OLD + UP)
  np.testing.assert_allclose(found, jnp.array([[-1.5, -1, 0], [1, 0, 0]]) / 3)
  expected = -(1.5 * (LOG2 - 1) + 1 * -2 - 2 * 0.5 * (-LOG2 - 1)) / 3
  assert float(loss(OLD + UP)) == pytest.approx(expected)


def test_a_cap_bounds_what_the_clip_does_not():
  b = batch(advantages=-jnp.ones(MASK.shape))
  free = grpo.dapo(stats(), b, low=0.2, high=0.2, cap=INF)
  held = grpo.dapo(stats(), b, low=0.2, high=0.2, cap=1.5)
  assert float(free.loss["dapo"].sum) == pytest.approx(2 + 1 + 0.8)
  assert float(held.loss["dapo"].sum) == pytest.approx(1.5 + 1 + 0.8)


def test_kl_of_tokens_and_of_sequences():
  found = grpo.kl(stats(), batch(), over="tokens", corrected=False)
  one, other = 0.5 - 1 + LOG2, 2 - 1 - LOG2
  assert value_of(found) == pytest.approx((one + other) / 3)
  found = grpo.kl(stats(), batch(), over="sequences", corrected=True)
  assert value_of(found) == pytest.approx((2 * one / 2 + other / 2) / 2)
  with pytest.raises(ValueError, match="one of sequences, tokens"):
    grpo.kl(stats(), batch(), over="rows", corrected=True)


def test_a_corrected_kl_has_the_gradient_of_the_kl():
  """E_old[∇ ρ·k3] = ∇ KL(π ‖ ref), over all tokens of a small vocabulary."""
  key = jax.random.split(jax.random.key(0), 3)
  theta, old, reference = (
    jax.nn.log_softmax(jax.random.normal(k, (5,))) for k in key
  )
  every = batch()._replace(
    completions=jnp.ones((1, 5), jnp.int32),
    ends=jnp.array([[5]]),
    fields={"old/logp": old[None], "reference/logp": reference[None]},
  )

  def estimate(x, corrected):
    logp = jax.nn.log_softmax(x)[None]
    terms = grpo.kl({"logp": logp}, every, over="tokens", corrected=corrected)
    del terms
    # The mean under π_old, not the plain one: each token counts p_old.
    weighed = every._replace(completions=jnp.ones((1, 5), jnp.int32))
    found = 0.0
    for v in range(5):
      one = weighed._replace(
        completions=(jnp.arange(5) == v).astype(jnp.int32)[None]
      )
      term = grpo.kl({"logp": logp}, one, over="tokens", corrected=corrected)
      found += jnp.exp(old[v]) * term.loss["kl"].sum
    return found

  def exact(x):
    logp = jax.nn.log_softmax(x)
    return (jnp.exp(logp) * (logp - reference)).sum()

  want = jax.grad(exact)(theta)
  np.testing.assert_allclose(jax.grad(estimate)(theta, True), want, atol=1e-6)
  plain = jax.grad(estimate)(theta, False)
  assert float(jnp.abs(plain - want).max()) > 1e-2


def test_a_clipped_value_by_hand():
  # Free (V − R)² = 4; V held at 0.5 ± 0.2 of 0.5: (0.3 − 2)² = 2.89.
  found, held = ppo.squared(
    jnp.array([0.0, 2.5]),
    jnp.array([0.5, 0.5]),
    jnp.array([2.0, 2.0]),
    clip=0.2,
  )
  np.testing.assert_allclose(found, [2.0, (0.7 - 2) ** 2 / 2], rtol=1e-6)
  assert held.tolist() == [0, 1]


def test_the_first_update_is_the_policy_gradient():
  """Where ρ = 1 all have the gradient of −A·log π."""
  b, still = batch(), jnp.zeros_like(UP)

  def gradient(loss, **options):
    def f(logp):
      return sum(
        ratio(t)
        for t in loss({**stats(), "logp": logp}, b, **options).loss.values()
      )

    return jax.grad(f)(OLD + still)

  clip = dict(low=0.2, high=0.2)
  expected = -ADVANTAGES / 3
  np.testing.assert_allclose(gradient(ppo.policy, clip=0.2), expected)
  found = gradient(grpo.dapo, **clip, cap=INF)
  np.testing.assert_allclose(found, expected)
  np.testing.assert_allclose(gradient(grpo.cispo, high=5.0), expected)
  found = gradient(rloo.loss, **clip)
  np.testing.assert_allclose(found, -ADVANTAGES / 2)


def test_nothing_is_read_where_nothing_is_trained():
  """NaN there changes neither value nor gradient."""
  hole = jnp.where(MASK > 0, 0.0, jnp.nan)
  fields = {
    "old/value": 0 * OLD,
    "returns": ADVANTAGES,
    "valued": MASK.astype(float),
  }
  names = ("old/logp", "reference/logp", "advantages", "old/value", "returns")
  clean = batch(**fields)
  torn = batch(
    **{k: clean.fields[k] + hole for k in names}, valued=fields["valued"]
  )

  def run(loss, options, b, spoil):
    def f(s):
      found = loss({k: x + spoil for k, x in s.items()}, b, **options)
      return sum(ratio(t) for t in found.loss.values())

    return jax.value_and_grad(f)(stats())

  tokens = dict(low=0.2, high=0.2, cap=INF)
  for loss, options in (
    (ppo.policy, dict(clip=0.2)),
    (ppo.value, dict(clip=0.2)),
    (ppo.entropy, {}),
    (grpo.grpo, tokens),
    (grpo.dapo, tokens),
    (grpo.dr_grpo, dict(**tokens, max_tokens=3)),
    (grpo.gspo, dict(low=0.2, high=0.2)),
    (grpo.cispo, dict(high=1.5)),
    (grpo.kl, dict(over="tokens", corrected=True)),
    (rloo.loss, dict(low=0.2, high=0.2)),
  ):
    for a, b in zip(
      jax.tree.leaves(run(loss, options, clean, 0.0)),
      jax.tree.leaves(run(loss, options, torn, hole)),
    ):
      np.testing.assert_array_equal(a, b, loss.__name__)
