"""Values: of a head on the policy's trunk, or of a model of its own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.experience import laid
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.sample import Prompts, Samples


@pytest.fixture(scope="module")
def batch():
  prompts = Prompts(
    jnp.array([[5, 6, 7], [8, 9, 0]]), jnp.array([3, 2]), jnp.arange(2)
  )
  samples = Samples(
    jnp.array([[11, 12], [13, 0]]),
    jnp.zeros((2, 2)),
    jnp.array([2, 1]),
    jnp.array([1, 1]),
  )
  return laid(prompts, samples)


def small(**more):
  return LM(preset("tiny"), **more)


def test_a_head_on_the_trunk_reads_the_state_before_each_token(batch):
  lm = small(values=True)
  params = lm.init(jax.random.key(0))
  assert not params["value_head"].any()
  head = jax.random.normal(jax.random.key(1), params["value_head"].shape)
  params = params | {"value_head": head}
  found = lm.stats(params, batch, ("value", "logp"))
  assert sorted(found) == ["logp", "value"]
  x = lm.hidden(params, batch.tokens, batch.positions, batch.documents)
  expected = [[x[0, 2] @ head[0], x[0, 3] @ head[0]], [x[1, 1] @ head[0]]]
  np.testing.assert_allclose(found["value"][0], expected[0], rtol=1e-5)
  np.testing.assert_allclose(found["value"][1, 0], expected[1][0], rtol=1e-5)
  # The state after the last token, where there is room for it.
  np.testing.assert_allclose(found["value"][1, 1], x[1, 2] @ head[0], rtol=1e-5)


def test_a_critic_has_parameters_of_its_own(batch):
  critic = LM(preset("tiny").replace(scores=1))
  lm = small(critic=critic)
  params = lm.init(jax.random.key(0))
  assert "score_head" in params["critic"] and "score_head" not in params

  def total(params, name):
    return lm.stats(params, batch, (name,))[name].sum()

  of_value = jax.grad(total)(params, "value")
  of_logp = jax.grad(total)(params, "logp")

  def size(tree):
    return sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))

  assert size(of_value.pop("critic")) > 0 and size(of_value) == 0
  assert size(of_logp.pop("critic")) == 0 and size(of_logp) > 0
  alone = critic.stats(params["critic"], batch, ("value",))["value"]
  found = lm.stats(params, batch, ("value",))["value"]
  np.testing.assert_array_equal(found, alone)


def test_a_model_without_values_says_so(batch):
  lm = small()
  with pytest.raises(ValueError, match="needs a critic, a value head"):
    lm.stats(lm.init(jax.random.key(0)), batch, ("value",))


def test_temperature_divides_logits(batch):
  lm = small()
  params = lm.init(jax.random.key(0))
  found = lm.stats(params, batch, ("logp",), temperature=0.7)["logp"]
  logits = lm.logits(params, batch.tokens)
  expected = jax.nn.log_softmax(logits / 0.7)
  at = jnp.take_along_axis(expected, batch.where[:, :, None], 1)
  at = jnp.take_along_axis(at, batch.targets[:, :, None], 2)[..., 0]
  real = np.asarray(batch.completions) > 0
  np.testing.assert_allclose(found[real], at[real], rtol=1e-4)
  assert dataclasses.replace(lm, values=True) != lm
