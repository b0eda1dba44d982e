"""Estimators of advantages: scores of a rollout → fields that the losses read.

A function takes the batch (fields "old/logp", and where it says so
"reference/logp" and "old/value"), the scores [B] of its rows' one completion
each, the coefficient of the KL, and how many samples of one prompt stand
together. Its keywords are options of `config.rollout.advantage`. Every row is
there at once: what is whitened is whitened over the rollout.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import returns
from alignjax.ops.completions import field
from alignjax.types import Batch

Scores = Float[Array, "B"]
Fields = dict[str, Float[Array, "B T"]]


def divergence(batch: Batch, *, kind: str) -> Float[Array, "B T"]:
  """`returns.kl` of old policy and reference; 0 where there is no token."""
  found = returns.kl(
    field(batch, "old/logp"), field(batch, "reference/logp"), kind=kind
  )
  return jnp.where(batch.completions > 0, found, 0.0)


def gae(
  batch: Batch,
  scores: Scores,
  coefficient: Float[Array, ""],
  samples: int,
  *,
  kl: str,
  gamma: float,
  lam: float,
  score_at: str,
  whiten_rewards: bool,
) -> Fields:
  """PPO's: KL of each token and the score at the end, by `returns.gae`.

  Reads "reference/logp", "old/value" and "valued"; gives "advantages", which
  are whitened over the tokens, and "returns", which are not.
  """
  del samples
  tokens, valued = batch.completions > 0, field(batch, "valued") > 0
  rewards = returns.rewards(
    divergence(batch, kind=kl),
    scores,
    tokens.sum(1),
    coefficient=coefficient,
    score_at=score_at,
  )
  if whiten_rewards:
    rewards = returns.whiten(rewards, valued, shift=False)
  values = jnp.where(valued, field(batch, "old/value"), 0.0)
  advantages, total = returns.gae(rewards, values, gamma=gamma, lam=lam)
  advantages = returns.whiten(advantages, tokens, shift=True)
  return {"advantages": advantages, "returns": total}


def group(
  batch: Batch,
  scores: Scores,
  coefficient: Float[Array, ""],
  samples: int,
  *,
  scale: str,
) -> Fields:
  """GRPO's: `returns.grouped`, the same for each token of a completion.

  The KL is not in it: it is a term of the loss (`losses.grpo.kl`).
  """
  del coefficient
  return _spread(returns.grouped(scores, samples=samples, scale=scale), batch)


def leave_one_out(
  batch: Batch,
  scores: Scores,
  coefficient: Float[Array, ""],
  samples: int,
) -> Fields:
  """RLOO's: `returns.left_out` of score − coefficient · Σ KL (k1)."""
  taken = scores - coefficient * divergence(batch, kind="k1").sum(1)
  return _spread(returns.left_out(taken, samples=samples), batch)


def reinforce(
  batch: Batch,
  scores: Scores,
  coefficient: Float[Array, ""],
  samples: int,
  *,
  kl: str,
) -> Fields:
  """REINFORCE++'s: what is still to come, whitened over all tokens.

  Σ_{t' ≥ t} −coefficient·KL_t', and the score; no critic and no groups (Hu et
  al. 2025, equations 8 and 9).
  """
  del samples
  tokens = batch.completions > 0
  rewards = returns.rewards(
    divergence(batch, kind=kl),
    scores,
    tokens.sum(1),
    coefficient=coefficient,
    score_at="last",
  )
  zero = jnp.zeros_like(rewards)
  found, _ = returns.gae(rewards, zero, gamma=1.0, lam=1.0)
  return {"advantages": returns.whiten(found, tokens, shift=True)}


def _spread(x: Scores, batch: Batch) -> Fields:
  return {"advantages": jnp.where(batch.completions > 0, x[:, None], 0.0)}
