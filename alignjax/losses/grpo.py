"""Clipped objectives of sampled groups: no critic, one advantage a completion.

Fields of the batch, made in the rollout: "old/logp" and "advantages" of each
token [B, T] (`ops.returns.grouped`); for `kl` also "reference/logp".
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops import returns
from alignjax.ops.policy import (
  advantages,
  change,
  clipped,
  of_sequences,
  of_tokens,
  reports,
)
from alignjax.types import Batch, Terms

needs = ("logp", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]


def grpo(
  stats: Stats, batch: Batch, *, low: float, high: float, cap: float
) -> Terms:
  """`clipped`, the mean over completions of their means over tokens.

  GRPO (Shao et al. 2024, equation 3). cap: ρ is at most that where A < 0, which
  no clip bounds there (Ye et al. 2020, dual clip); inf for none.
  """
  found, metrics = _clipped(stats, batch, low, high, cap)
  return Terms({"grpo": of_sequences(found, batch)}, metrics)


def dapo(
  stats: Stats, batch: Batch, *, low: float, high: float, cap: float
) -> Terms:
  """`grpo`, its mean over all tokens of the batch (DAPO, Yu et al. 2025)."""
  found, metrics = _clipped(stats, batch, low, high, cap)
  return Terms({"dapo": of_tokens(found, batch)}, metrics)


def dr_grpo(
  stats: Stats,
  batch: Batch,
  *,
  low: float,
  high: float,
  cap: float,
  max_tokens: int,
) -> Terms:
  """`grpo`, its sum over completions · max_tokens (Dr. GRPO, Liu et al. 2025).

  max_tokens: the longest completion there may be; a constant, so that a long
  answer's tokens count as much as a short one's.
  """
  found, metrics = _clipped(stats, batch, low, high, cap)
  rows = per.present(batch).sum().astype(found.dtype)
  total = of_tokens(found, batch)
  return Terms({"dr_grpo": total._replace(weight=rows * max_tokens)}, metrics)


def gspo(stats: Stats, batch: Batch, *, low: float, high: float) -> Terms:
  """`clipped` of ρ = e^(mean over tokens), the mean over completions.

  GSPO (Zheng et al. 2025, equations 5 and 7); low and high are near 3e-4.
  """
  size = per.size_of(batch)
  moved = per.means(change(stats, batch), batch.completions, size)
  advantage = per.means(advantages(batch), batch.completions, size)
  found = clipped(jnp.exp(moved), advantage, low=low, high=high)
  there = per.present(batch)
  metrics = reports(moved, advantage, there, low=low, high=high)
  metrics["policy/entropy_avg"] = of_tokens(stats["entropy"], batch)
  spread = per.spread(found, batch.completions)
  return Terms({"gspo": of_sequences(spread, batch)}, metrics)


def cispo(stats: Stats, batch: Batch, *, high: float) -> Terms:
  """−sg(min(ρ, high))·A·log π, the mean over all tokens.

  CISPO (MiniMax 2025, equation 4): a clipped ratio weighs a token, and never
  takes its gradient away.
  """
  moved, advantage = change(stats, batch), advantages(batch)
  ratio = jax.lax.stop_gradient(jnp.minimum(jnp.exp(moved), high))
  found = -ratio * advantage * stats["logp"]
  metrics = reports(
    moved, advantage, batch.completions > 0, low=jnp.inf, high=high - 1
  )
  metrics["policy/entropy_avg"] = of_tokens(stats["entropy"], batch)
  return Terms({"cispo": of_tokens(found, batch)}, metrics)


def kl(stats: Stats, batch: Batch, *, over: str, corrected: bool) -> Terms:
  """KL(π ‖ ref) by k3, as a term beside the others; its weight is β.

  over: "sequences" or "tokens", as the objective beside it. corrected: times ρ,
  through which the gradient runs, so that it is that of the KL although the
  tokens were drawn from π_old (DeepSeek-V3.2 2025, section 3.1).
  """
  reduced = {"sequences": of_sequences, "tokens": of_tokens}
  if over not in reduced:
    raise ValueError(
      f"over = {over!r} is unknown; one of {', '.join(reduced)}."
    )
  reference = per.field(batch, "reference/logp")
  mask = batch.completions > 0
  logp = jnp.where(mask, stats["logp"], reference)
  found = returns.kl(logp, reference, kind="k3")
  plain = jax.lax.stop_gradient(found)
  if corrected:
    found = found * jnp.exp(change(stats, batch))
  return Terms(
    {"kl": reduced[over](found, batch)},
    {"policy/kl_avg": of_tokens(plain, batch)},
  )


kl.needs = ("logp",)


def _clipped(stats: Stats, batch: Batch, low: float, high: float, cap: float):
  """`clipped` of tokens with ρ ≤ cap, and its reports."""
  moved, advantage = change(stats, batch), advantages(batch)
  ratio = jnp.exp(moved)
  bounded = jnp.minimum(ratio, cap)
  held = jnp.clip(ratio, 1 - low, 1 + high)
  found = -jnp.minimum(bounded * advantage, held * advantage)
  metrics = reports(moved, advantage, batch.completions > 0, low=low, high=high)
  metrics["policy/entropy_avg"] = of_tokens(stats["entropy"], batch)
  return found, metrics
