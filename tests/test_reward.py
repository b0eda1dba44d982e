import math

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.losses import reward
from alignjax.totals import ratio
from alignjax.types import Batch

LOG2, LOG3 = math.log(2), math.log(3)


def batch_of(label=1.0, margin=0.0):
  """Two pairs in one row."""
  ids = jnp.array([[1, 2, 3, 4]])
  zeros = jnp.zeros_like(ids)
  fields = {
    "label": jnp.array([[label, 1 - label] * 2]),
    "margin": jnp.array([[margin, 0.0] * 2]),
  }
  return Batch(*[zeros] * 5, ids, 1.0 + zeros, None, ids, fields)


def test_quantities_by_hand():
  c, r = jnp.array(LOG3), jnp.array(0.0)
  found = reward.bradley_terry(c, r, margin=jnp.array(0.0))
  np.testing.assert_allclose(found, math.log(4 / 3), rtol=1e-6)
  found = reward.bradley_terry(c, r, margin=jnp.array(LOG3))
  np.testing.assert_allclose(found, LOG2, rtol=1e-6)
  assert float(reward.off_centre(jnp.array(3.0), jnp.array(-1.0))) == 4.0


def test_pairs_by_hand():
  stats = {"score": jnp.array([[LOG3, 0.0, 1.0, 1.0]])}
  found = reward.bt(stats, batch_of())
  expected = math.log(4 / 3) + LOG2
  np.testing.assert_allclose(found.loss["bt"], [expected, 2], rtol=1e-6)
  metrics = {k: float(ratio(t)) for k, t in found.metrics.items()}
  np.testing.assert_allclose(metrics["accuracy"], 0.5)  # a tie is wrong
  np.testing.assert_allclose(metrics["margin"], LOG3 / 2, rtol=1e-6)
  np.testing.assert_allclose(metrics["mean_reward"], (LOG3 + 2) / 4, rtol=1e-6)
  centre = reward.centre(stats, batch_of()).loss["centre"]
  np.testing.assert_allclose(centre, [LOG3**2 + 4, 2], rtol=1e-6)


def test_margin_and_label_by_hand():
  stats = {"score": jnp.array([[LOG3, 0.0, LOG3, 0.0]])}
  found = reward.bt(stats, batch_of(margin=LOG3)).loss["bt"]
  np.testing.assert_allclose(found, [2 * LOG2, 2], rtol=1e-6)
  found = reward.bt(stats, batch_of(label=0.75)).loss["bt"]
  soft = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
  np.testing.assert_allclose(found, [2 * soft, 2], rtol=1e-6)
  # p = 3/4 is what scores log 3 apart predict: nothing is left to learn.
  slope = jax.grad(
    lambda s: reward.bt({"score": s}, batch_of(label=0.75)).loss["bt"].sum
  )(stats["score"])
  np.testing.assert_allclose(slope, jnp.zeros((1, 4)), atol=1e-6)


def test_an_ensemble_is_as_many_models():
  heads = jnp.array(np.random.default_rng(0).normal(size=(1, 4, 3)))
  batch = batch_of(margin=0.2)
  for kind in (reward.bt, reward.centre):
    (found,) = kind({"score": heads}, batch).loss.values()
    apart = [
      next(iter(kind({"score": heads[..., i]}, batch).loss.values())).sum
      for i in range(3)
    ]
    np.testing.assert_allclose(found.sum, np.mean(apart), rtol=1e-6)
    assert float(found.weight) == 2.0
  mean = reward.bt({"score": heads.mean(-1)}, batch).metrics
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    reward.bt({"score": heads}, batch).metrics,
    mean,
  )


def test_a_shift_of_all_scores_changes_the_centre_alone():
  scores = jnp.array([[1.0, 0.0, 2.0, 3.0]])
  a, b = (
    reward.bt({"score": scores + x}, batch_of()).loss["bt"].sum for x in (0, 5)
  )
  np.testing.assert_allclose(a, b, rtol=1e-5)
  a, b = (
    reward.centre({"score": scores + x}, batch_of()).loss["centre"].sum
    for x in (0, 5)
  )
  assert float(b) > float(a)
