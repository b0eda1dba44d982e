"""REINFORCE with the other samples as baseline, its ratio clipped.

Fields as in `losses.grpo`; the advantage is `ops.returns.left_out` of scores
from which the KL was taken.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.policy import advantages, change, clipped, of_tokens, reports
from alignjax.types import Batch, Terms

needs = ("logp", "entropy")


def loss(
  stats: Mapping[str, Float[Array, "B T"]],
  batch: Batch,
  *,
  low: float,
  high: float,
) -> Terms:
  """`clipped` of ρ = e^(sum over tokens), the mean over completions.

  RLOO (Ahmadian et al. 2024); on the first update of a rollout its gradient is
  that of REINFORCE.
  """
  size, there = per.size_of(batch), per.present(batch)
  moved = per.sums(change(stats, batch), batch.completions, size)
  advantage = per.means(advantages(batch), batch.completions, size)
  found = clipped(jnp.exp(moved), advantage, low=low, high=high)
  metrics = reports(moved, advantage, there, low=low, high=high)
  metrics["policy/entropy_avg"] = of_tokens(stats["entropy"], batch)
  return Terms({"rloo": term(found, there)}, metrics)
