"""Reward models: scores of completions learnt from preferred ones.

`score` is [B, S], or [B, S, k] of an ensemble of k heads, each of which has a
loss of its own; losses and metrics are means over the heads (accuracy and
margins are those of the mean score). The least and the greatest score are no
sums over a batch: `alignjax score` tells them.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.pairs import expected, pairs_of, sides
from alignjax.types import Batch, Terms

needs = ("score",)

Stats = Mapping[str, Float[Array, "B ..."]]
Pair = Float[Array, "*p"]


def bradley_terry(
  chosen: Pair, rejected: Pair, *, margin: Float[Array, "*#p"]
) -> Pair:
  """−log σ(r_c − r_r − m).

  Ouyang et al. 2022, equation 1; the margin m of the pair: Touvron et al. 2023.
  """
  return -log_sigmoid(chosen - rejected - margin)


def off_centre(chosen: Pair, rejected: Pair) -> Pair:
  """(r_c + r_r)², which holds scores around 0 (Eisenstein et al. 2023)."""
  return (chosen + rejected) ** 2


def bt(stats: Stats, batch: Batch) -> Terms:
  """The mean over pairs of `bradley_terry`, under their labels and weights.

  Reads the fields "label" and "margin". A label p in [0, 1] gives the expected
  loss p·loss(chosen, rejected) + (1 − p)·loss(rejected, chosen). A tie of
  scores counts as wrong.
  """
  chosen, rejected, pairs = _scores(stats, batch)
  margin = sides(per.field(batch, "margin"))[0].astype(chosen.dtype)
  p = pairs.label.astype(chosen.dtype)

  def loss(a, b):
    return bradley_terry(a, b, margin=margin[..., None])

  found = expected(loss, chosen, rejected, p[..., None]).mean(-1)
  difference = jax.lax.stop_gradient((chosen - rejected).mean(-1))
  right = (difference > 0).astype(chosen.dtype)
  there = per.present(batch)
  scores = _heads(stats, batch).mean(-1)
  return Terms(
    loss={"bt": term(found, pairs.present, pairs.weights)},
    metrics={
      "accuracy": term(right, pairs.present),
      "margin": term(difference, pairs.present),
      "mean_reward": term(jax.lax.stop_gradient(scores), there),
    },
  )


def centre(stats: Stats, batch: Batch) -> Terms:
  """The mean over pairs of `off_centre`; its weight beside `bt` is 0.01."""
  chosen, rejected, pairs = _scores(stats, batch)
  found = off_centre(chosen, rejected).mean(-1)
  return Terms({"centre": term(found, pairs.present, pairs.weights)}, {})


def _heads(stats: Stats, batch: Batch) -> Float[Array, "B S k"]:
  """Scores, 0 where there is no completion."""
  score = stats["score"]
  heads = score if score.ndim == 3 else score[..., None]
  return jnp.where(per.present(batch)[..., None], heads, 0.0)


def _scores(stats: Stats, batch: Batch):
  return (*sides(_heads(stats, batch)), pairs_of(batch))
