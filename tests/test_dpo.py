import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alignjax.losses import dpo
from alignjax.types import Batch

LOG2, LOG3 = math.log(2), math.log(3)
# β(u − v) = log 3, so σ = 3/4; βu = log 2, so σ(βu) = 2/3; βv = log 2/3.
BETA = 0.5
U, V = jnp.array(2 * LOG2), jnp.array(2 * (LOG2 - LOG3))
KL = 0.75 * math.log(0.75 / 0.9) + 0.25 * math.log(0.25 / 0.1)
HAND = [
  ("sigmoid", dict(label_smoothing=0.0), math.log(4 / 3)),
  ("sigmoid", dict(label_smoothing=0.1), 0.9 * math.log(4 / 3) + 0.2 * LOG2),
  ("sigmoid_norm", dict(label_smoothing=0.0), math.log(4 / 3)),
  ("hinge", {}, 0.0),
  ("ipo", {}, (2 * LOG3 - 1) ** 2),
  ("ipo_sum", {}, (2 * LOG3 - 1) ** 2),
  ("robust", dict(label_smoothing=0.0), math.log(4 / 3)),
  (
    "robust",
    dict(label_smoothing=0.1),
    (0.9 * math.log(4 / 3) - 0.2 * LOG2) / 0.8,
  ),
  ("exo_pair", dict(label_smoothing=0.1, p=jnp.array(1.0)), KL),
  ("discopop", dict(tau=1.0), math.log(4 / 3) / 4 + 1 / 4),
  ("nca_pair", {}, math.log(1.5) + (LOG3 + math.log(5 / 3)) / 2),
  ("bco_pair", {}, math.log(1.5) + math.log(5 / 3)),
  ("sppo_hard", {}, (2 * LOG2 - 1) ** 2 + (2 * LOG2 - 2 * LOG3 + 1) ** 2),
  ("apo_zero", {}, 1 / 3 + 2 / 5),
  ("apo_down", {}, 2 / 3 + 1 / 4),
]


def pair(kind, u, v, **options):
  return getattr(dpo, kind).__wrapped__(u, v, beta=BETA, **options)


@pytest.mark.parametrize("kind, options, expected", HAND)
def test_by_hand(kind, options, expected):
  found = pair(kind, U, V, **options)
  np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_hinge_is_one_where_nothing_is_learnt_and_stops_at_the_margin():
  slope = jax.grad(lambda u, v: pair("hinge", u, v))
  zero = jnp.array(0.0)
  assert float(pair("hinge", zero, zero)) == 1.0
  assert float(slope(zero, zero)) == -BETA
  assert float(slope(jnp.array(2.1), zero)) == 0.0  # β·2.1 > 1


def test_ipo_is_least_at_its_target():
  target = jnp.array(1 / (2 * BETA))
  assert float(pair("ipo_sum", target, jnp.array(0.0))) == 0.0
  assert float(pair("sppo_hard", target, -target)) == 0.0


def test_robust_undoes_flipped_labels():
  # 0.8 of the labels stand, 0.2 were flipped: the mean is DPO's loss.
  e = dict(label_smoothing=0.2)
  mean = 0.8 * pair("robust", U, V, **e) + 0.2 * pair("robust", V, U, **e)
  hard = pair("sigmoid", U, V, label_smoothing=0.0)
  np.testing.assert_allclose(mean, hard, rtol=1e-6)


def test_exo_is_least_where_the_policy_has_the_labels_odds():
  def at(p, q):
    x = jnp.array(math.log(p / (1 - p)) / BETA)
    zero = jnp.array(0.0)
    return float(pair("exo_pair", x, zero, label_smoothing=0.1, p=jnp.array(q)))

  assert abs(at(0.9, 1.0)) < 1e-6  # q = 1 with ε = 0.1 is 0.9
  assert abs(at(0.7, 0.75)) < 1e-6  # 0.75 · 0.9 + 0.25 · 0.1
  assert at(0.8, 1.0) > 1e-3 and at(0.95, 1.0) > 1e-3


def test_sigmoid_is_least_where_the_policy_has_the_labels_odds():
  # Bradley–Terry with p = 0.8: β(u − v) = log 4.
  def value(u):
    return dpo.cross_entropy(u, p=0.8)

  assert abs(float(jax.grad(value)(jnp.array(math.log(4))))) < 1e-6


@pytest.mark.parametrize("x", [-60.0, -5.0, 0.0, 5.0, 300.0])
def test_discopop_stays_finite(x):
  def value(u):
    return pair("discopop", u, jnp.array(0.0), tau=0.05)

  value, slope = jax.value_and_grad(value)(jnp.array(x / BETA))
  assert np.isfinite(value) and np.isfinite(slope)


@pytest.mark.parametrize(
  "kind, e", [("robust", 0.5), ("robust", -0.1), ("exo_pair", 0.0)]
)
def test_smoothing_that_cannot_be_is_refused(kind, e):
  rest = {"p": U} if kind == "exo_pair" else {}
  with pytest.raises(ValueError, match=f"label_smoothing = {e}; {kind} needs"):
    pair(kind, U, V, label_smoothing=e, **rest)


def test_wpo_needs_one_statistic_more():
  assert dpo.wpo.needs == (*dpo.needs, "sum_p2")


def toy():
  """All pairs of six one-token answers, labelled by Bradley–Terry of rewards.

  (log-probabilities of the answers → statistics, their batch, log π*).
  """
  draw = np.random.default_rng(0)
  reward = jnp.float32(draw.normal(size=6))
  reference = jax.nn.log_softmax(jnp.float32(draw.normal(size=6)))
  pairs = np.array([(i, j) for i in range(6) for j in range(i)])
  tokens = jnp.array(pairs.reshape(1, -1))
  ids = jnp.arange(1, tokens.size + 1)[None]
  p = jax.nn.sigmoid(reward[pairs[:, 0]] - reward[pairs[:, 1]])
  zeros = jnp.zeros_like(ids)
  fields = {
    "label": jnp.stack([p, 1 - p], 1).reshape(1, -1),
    "reference/logp": reference[tokens],
  }
  batch = Batch(*[zeros] * 5, ids, 1.0 + zeros, None, ids, fields)

  def stats(logits):
    logp = jax.nn.log_softmax(logits)[tokens]
    return {k: logp for k in dpo.needs}

  return stats, batch, jax.nn.log_softmax(reference + reward / BETA)


@pytest.mark.parametrize("kind, e", [("sigmoid", 0.0), ("exo_pair", 1e-6)])
def test_exact_labels_lead_to_the_tilted_reference(kind, e):
  # π* ∝ π_ref · exp(r/β) (Rafailov et al. 2023, equation 4).
  stats, batch, best = toy()
  options = dict(divergence="reverse_kl", reference_free=False)

  def value(logits):
    found = getattr(dpo, kind)(
      stats(logits), batch, beta=BETA, label_smoothing=e, **options
    )
    return found.loss[kind].sum / found.loss[kind].weight

  optimizer = optax.adam(0.05)

  def step(carry, _):
    logits, moments = carry
    updates, moments = optimizer.update(jax.grad(value)(logits), moments)
    return (optax.apply_updates(logits, updates), moments), None

  start = jnp.zeros(6)
  carry, _ = jax.lax.scan(step, (start, optimizer.init(start)), length=1000)
  found = jax.nn.log_softmax(carry[0])
  assert float((jnp.exp(found) * (found - best)).sum()) < 1e-4  # nats
