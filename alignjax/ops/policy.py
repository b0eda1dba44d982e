"""What clipped policy gradients have in common: ratios, clips, reductions.

ρ = e^(log π − log π_old) is the ratio of a token or of a completion. log π_old
is the field "old/logp" [B, T], made in the rollout, A the field "advantages".
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.types import Batch, Term

Stats = Mapping[str, Float[Array, "B T"]]
Ratio = Float[Array, "*b"]  # a number for each token or completion


def clipped(
  ratio: Ratio, advantage: Ratio, *, low: float, high: float
) -> Ratio:
  """−min(ρ·A, clip(ρ, 1 − low, 1 + high)·A) (Schulman et al. 2017, equation 7).

  high > low lets unlikely tokens grow (DAPO, Yu et al. 2025, equation 10).
  """
  bounded = jnp.clip(ratio, 1 - low, 1 + high)
  return -jnp.minimum(ratio * advantage, bounded * advantage)


def change(stats: Stats, batch: Batch) -> Float[Array, "B T"]:
  """log π − log π_old of each token, in nats; 0 where nothing is trained."""
  old = per.field(batch, "old/logp")
  return jnp.where(batch.completions > 0, stats["logp"] - old, 0.0)


def advantages(batch: Batch) -> Float[Array, "B T"]:
  """A of each token; 0 where nothing is trained."""
  found = per.field(batch, "advantages")
  return jnp.where(batch.completions > 0, found, 0.0)


def of_tokens(x: Float[Array, "B T"], batch: Batch) -> Term:
  """The mean over all tokens of the batch."""
  return term(x, batch.completions > 0)


def of_sequences(x: Float[Array, "B T"], batch: Batch) -> Term:
  """The mean over completions of the mean over their tokens."""
  means = per.means(x, batch.completions, per.size_of(batch))
  return term(means, per.present(batch))


def reports(
  change: Ratio, advantage: Ratio, mask: Array, *, low: float, high: float
) -> dict[str, Term]:
  """What every clipped objective reports: means over tokens or completions.

  change: log ρ, 0 where there is nothing. "val/ratio_gap" is the mean of
  |ρ − 1|: 0 on the first minibatch of a rollout.
  """
  change = jax.lax.stop_gradient(change)
  ratio = jnp.exp(change)
  below = (ratio < 1 - low) & (advantage < 0)
  above = (ratio > 1 + high) & (advantage > 0)
  found = {
    "policy/approxkl_avg": change**2 / 2,
    "policy/clipfrac_avg": (below | above).astype(ratio.dtype),
    "val/ratio": ratio,
    "val/ratio_gap": jnp.abs(ratio - 1),
  }
  return {name: term(x, mask) for name, x in found.items()}
