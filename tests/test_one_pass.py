"""The forward pass runs once, whatever the number of losses."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

from alignjax import build, step
from alignjax.models.lm import LM
from alignjax.types import Batch

FREE = dict(weight=1.0, beta=0.1, reference_free=False)
DPO = dict(FREE, name="dpo", divergence="reverse_kl")
ONE = {"main": dict(DPO, kind="sigmoid", label_smoothing=0.0)}
MPO = ONE | {
  "quality": dict(FREE, name="dpo", kind="bco_pair"),
  "anchor": dict(name="sft", kind="chosen", weight=1.0),
}
WPO = {"likely": dict(FREE, name="dpo", kind="wpo", label_smoothing=0.0)}
EIGHT = MPO | {
  "square": dict(DPO, kind="ipo"),
  "odds": dict(name="orpo", weight=1.0, beta=0.1),
  "means": dict(
    name="cpo", kind="simpo", weight=1.0, beta=2.0, gamma=0.5, alpha=0.0
  ),
  "sorted": dict(FREE, name="aot", kind="aot", label_smoothing=0.0),
  "single": dict(
    name="kto",
    kind="apo_zero_unpaired",
    weight=1.0,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
  ),
}


@pytest.fixture(scope="module")
def lm(small):
  """One layer: what is counted is passes."""
  return LM(small.replace(depth=1, windows=(0,)), chunk=5)


def products(lm, losses, accumulate=1, stats=None):
  """Matrix products in the lowered train step of some losses."""
  B, L, T = 4, 12, 6
  of_tokens = jax.ShapeDtypeStruct((B, T), jnp.float32)
  of_sides = jax.ShapeDtypeStruct((B, 2), jnp.float32)
  tokens, places, sides = (
    jax.ShapeDtypeStruct((B, n), jnp.int32) for n in (L, T, 2)
  )
  fields = {"label": of_sides, "reference/logp": of_tokens}
  batch = Batch(
    *[tokens] * 3, *[places] * 3, of_tokens, ends=sides, fields=fields
  )
  objectives = {k: build.objective(k, v) for k, v in losses.items()}
  train_step = step.make_train_step(
    stats or lm.stats, objectives, optax.sgd(1.0), lambda at: 1.0, accumulate
  )
  state = jax.eval_shape(
    lambda params: step.init(params, {}, optax.sgd(1.0)), lm.shapes()
  )
  text = jax.jit(train_step).lower(state, batch).as_text()
  return len(re.findall(r"\bstablehlo\.dot_general\b", text))


@pytest.fixture(scope="module")
def alone(lm):
  """The products of one loss."""
  return products(lm, ONE)


@pytest.mark.parametrize(
  "losses", [MPO, EIGHT, ONE | WPO], ids=["mpo", "eight", "wpo"]
)
def test_more_losses_are_no_more_products(lm, alone, losses):
  """Nor is a statistic more that one of them needs."""
  assert alone > 20  # forward, backward, and what is made again
  assert products(lm, losses) == alone


def test_more_losses_of_microbatches_are_no_more_products(lm):
  assert products(lm, MPO, 2) == products(lm, ONE, 2)


def test_a_pass_a_loss_would_be_seen(lm, alone, monkeypatch):
  def later(params, batch, needs, *keys):
    return lambda needs: lm.stats(params, batch, needs, *keys)

  def each(ask, objectives, batch):
    return {k: o.loss(ask(o.needs), batch) for k, o in objectives.items()}

  monkeypatch.setattr(step, "terms_of", each)
  assert products(lm, ONE, stats=later) == alone
  assert products(lm, MPO, stats=later) > 2 * alone
