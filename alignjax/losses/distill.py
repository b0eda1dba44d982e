"""Distillation: the student's distribution is drawn to a teacher's."""

from collections.abc import Mapping

from jaxtyping import Array, Float

from alignjax.ops.masked import term
from alignjax.types import Batch, Terms

needs = ("jsd", "logp", "correct")


def loss(stats: Mapping[str, Float[Array, "B T"]], batch: Batch) -> Terms:
  """Σ w·divergence over trained tokens; weight: Σ w, their number where w = 1.

  Generalised knowledge distillation (GKD, Agarwal et al. 2023). The divergence
  of a token, `ops.divergence.jsd`, is a sum over the vocabulary, in nats; it is
  computed where the student's logits are, so β is an option of the teacher.
  """
  mask = batch.completions > 0
  return Terms(
    loss={"jsd": term(stats["jsd"], mask, batch.weights)},
    metrics={
      "nll": term(-stats["logp"], mask, batch.weights),
      "mean_token_accuracy": term(stats["correct"], mask),
    },
  )
