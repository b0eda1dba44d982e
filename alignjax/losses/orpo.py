"""Odds-ratio preference: likelihood of the chosen side, odds of both."""

from collections.abc import Mapping

import jax.numpy as jnp
from jax.nn import log_sigmoid
from jaxtyping import Array, Bool, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.pairs import chosen_tokens, expected, pairs_of, reports, sides
from alignjax.ops.preference import check
from alignjax.types import Batch, Term, Terms

needs = ("logp", "correct", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]
Pair = Float[Array, "*p"]


def log_odds(logp: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """log(p/(1 − p)) of p = e^logp, logp a mean over tokens, in nats.

  Odds of the geometric mean of a completion's token probabilities (ORPO, Hong
  et al. 2024). Above log p = −1e-6 it is that of −1e-6: p = 1 has no odds.
  """
  logp = jnp.minimum(logp, -1e-6)
  return logp - jnp.log(-jnp.expm1(logp))


def odds_ratio(c: Pair, r: Pair) -> Pair:
  """−log σ(log_odds(c) − log_odds(r)), c and r means over tokens (ibid.)."""
  return -log_sigmoid(log_odds(c) - log_odds(r))


def loss(stats: Stats, batch: Batch, *, beta: float) -> Terms:
  """−log π of the chosen tokens, their mean, + β · the mean `odds_ratio`.

  The mean of the second term is over pairs, with labels as in `losses.dpo`.
  """
  return _terms(stats, batch, beta, chosen_tokens(batch.completions))


def with_prompt(stats: Stats, batch: Batch, *, beta: float) -> Terms:
  """`loss`, its first term over prompt and chosen completion.

  As the authors train. The batch lists the tokens of the prompts among its
  predicted ones, with completion 0, and its field "prompt" [B, T] is 1 there
  (data.train_on = "all").
  """
  asked = per.field(batch, "prompt") > 0
  return _terms(stats, batch, beta, asked | chosen_tokens(batch.completions))


def _terms(
  stats: Stats, batch: Batch, beta: float, imitated: Bool[Array, "B T"]
) -> Terms:
  check(beta=beta)
  size = per.size_of(batch)
  logp = per.means(stats["logp"], batch.completions, size)
  pairs = pairs_of(batch)
  found = expected(odds_ratio, *sides(logp), pairs.label.astype(logp.dtype))
  odds = term(found, pairs.present, pairs.weights)
  chosen, rejected = sides(log_odds(logp))
  return Terms(
    loss={
      "nll": term(-stats["logp"], imitated, batch.weights),
      "odds_ratio": Term(beta * odds.sum, odds.weight),
    },
    metrics={
      "log_odds": term(chosen - rejected, pairs.present),
      **reports(logp, beta * logp, stats, batch),
    },
  )
