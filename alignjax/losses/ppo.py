"""Proximal policy optimisation with a critic (Schulman et al. 2017).

Fields of the batch, made in the rollout: "old/logp" and "advantages" of each
token [B, T]; for the critic "old/value", "returns" and "valued" (1 where a
value is trained: the tokens, and the state after the last one). Advantages are
whitened there, never here.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops.completions import field
from alignjax.ops.masked import term
from alignjax.ops.policy import advantages, change, clipped, of_tokens, reports
from alignjax.types import Batch, Terms

needs = ("logp", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]
Token = Float[Array, "*b"]  # a number for each token


def squared(
  value: Token, old: Token, returns: Token, *, clip: float
) -> tuple[Token, Token]:
  """½·max((V − R)², (clip(V, V_old ± clip) − R)²); 1 where the clip is larger.

  As in OpenAI's baselines (Huang et al. 2022, "The 37 implementation details
  of proximal policy optimization", detail 9).
  """
  bounded = jnp.clip(value, old - clip, old + clip)
  free, held = (value - returns) ** 2, (bounded - returns) ** 2
  return jnp.maximum(free, held) / 2, (held > free).astype(free.dtype)


def policy(stats: Stats, batch: Batch, *, clip: float) -> Terms:
  """The mean of `clipped` over the tokens."""
  moved, advantage = change(stats, batch), advantages(batch)
  found = clipped(jnp.exp(moved), advantage, low=clip, high=clip)
  mask = batch.completions > 0
  metrics = reports(moved, advantage, mask, low=clip, high=clip)
  metrics["policy/entropy_avg"] = of_tokens(stats["entropy"], batch)
  return Terms({"policy": of_tokens(found, batch)}, metrics)


def value(stats: Stats, batch: Batch, *, clip: float) -> Terms:
  """The mean of `squared` over the trained values; its weight is vf_coef."""
  mask = field(batch, "valued") > 0
  given = field(batch, "old/value"), field(batch, "returns")
  # 0 where no value is trained, so that its gradient is 0 too, and never NaN.
  found = (jnp.where(mask, x, 0.0) for x in (stats["value"], *given))
  values, old, returns = found
  found, held = squared(values, old, returns, clip=clip)
  return Terms(
    loss={"value": term(found, mask)},
    metrics={
      "val/clipfrac_avg": term(jax.lax.stop_gradient(held), mask),
      "val/mean": term(jax.lax.stop_gradient(values), mask),
    },
  )


value.needs = ("value",)


def entropy(stats: Stats, batch: Batch) -> Terms:
  """−H of the next token, in nats: a bonus, under a small weight."""
  return Terms({"entropy": of_tokens(-stats["entropy"], batch)}, {})


entropy.needs = ("entropy",)
