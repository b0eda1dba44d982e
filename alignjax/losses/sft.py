"""Supervised fine-tuning: negative log-likelihood of the trained tokens."""

from collections.abc import Mapping

from jaxtyping import Array, Float

from alignjax.ops.masked import term
from alignjax.types import Batch, Terms

needs = ("logp", "correct")


def nll(logp: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """−log p of each token, in nats (Ouyang et al. 2022, section 3.5)."""
  return -logp


def loss(stats: Mapping[str, Float[Array, "B T"]], batch: Batch) -> Terms:
  """Σ −log p over trained tokens; weight: the number of trained tokens."""
  mask = batch.completions > 0
  return Terms(
    loss={"nll": term(nll(stats["logp"]), mask)},
    metrics={
      "mean_token_accuracy": term(stats["correct"], mask),
    },
  )
