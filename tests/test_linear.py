import jax
import jax.numpy as jnp
import numpy as np
import pytest

import configs.dpo
from alignjax import build, totals
from alignjax.ops import linear
from alignjax.types import Batch

AT = {"a": jnp.ones(3), "b": jnp.ones(3)}


def test_the_slope_of_a_line_by_hand():
  weights = jnp.array([1.0, 0.0, 2.0])

  def total(x):
    kept = jnp.where(weights > 0, x["a"], 0.0)  # a program within a program
    return 3.0 * (weights * kept).sum() / weights.sum() + x["b"][1]

  found = linear.slopes(total, AT)
  np.testing.assert_allclose(found["a"], [1, 0, 2])
  np.testing.assert_allclose(found["b"], [0, 1, 0])
  for other in (AT, {"a": jnp.array([5.0, -7, 0]), "b": jnp.zeros(3)}):
    grad = jax.grad(total)(other)
    jax.tree.map(np.testing.assert_allclose, found, grad)


@pytest.mark.parametrize(
  "bent",
  [
    lambda x: (x["a"] * x["b"]).sum(),
    lambda x: jnp.exp(x["a"]).sum(),
    lambda x: jax.jit(lambda y: (y**2).sum())(x["a"]),
    lambda x: jnp.where(x["a"] > 0, x["b"], 0.0).sum(),
    lambda x: (jax.lax.stop_gradient(x["a"]) * x["b"]).sum(),
    lambda x: x["a"].max(),
  ],
  ids=["product", "exp", "jit", "where", "held", "max"],
)
def test_what_bends_has_none(bent):
  assert linear.slopes(bent, AT) is None


def known(**losses):
  ids = jnp.ones((2, 4), jnp.int32)
  of_tokens = jnp.ones((2, 4))
  fields = {
    "label": jnp.ones((2, 2)),
    "reference/logp": of_tokens,
    "advantages": of_tokens,
    "old/logp": of_tokens,
  }
  ends = jnp.ones((2, 2), jnp.int32)
  batch = Batch(*[ids] * 6, of_tokens, ends=ends, fields=fields)
  made = {k: build.objective(k, v) for k, v in losses.items()}
  weights = totals.weights_of(made, batch)
  return totals.slopes_of(made, batch, weights)


def test_which_losses_are_known_before():
  sft = dict(name="sft", weight=0.5)
  found = known(main=sft)
  # −0.5 of the mean over eight tokens.
  np.testing.assert_allclose(found["logp"], np.full((2, 4), -0.5 / 8))
  assert not found["correct"].any()
  assert known(main=sft | {"kind": "dft"}) is None
  dpo = configs.dpo.get_config().loss.main.to_dict()
  assert known(main=dpo) is None and known(main=sft, other=dpo) is None
