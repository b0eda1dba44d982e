"""Contrastive objectives without a reference: CPO, SimPO.

c and r are log π of the chosen and of the rejected completion: sums over its
tokens, or means where a kind says so, in nats. The preference is the mean over
pairs, as in `losses.dpo` with its labels; beside it stands the term `nll`,
α·(−log π) of the chosen completions, a mean over their tokens; α = 0 leaves
the preference alone.
"""

from collections.abc import Mapping

import jax
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.pairs import chosen_tokens, expected, pairs_of, reports, sides
from alignjax.ops.preference import check
from alignjax.types import Batch, Terms

needs = ("logp", "correct", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]
Pair = Float[Array, "*p"]


def contrast(c: Pair, r: Pair, *, beta: float, label_smoothing: float) -> Pair:
  """−(1 − ε) log σ(x) − ε log σ(−x), x = β(c − r) (CPO, Xu et al. 2024)."""
  x, e = beta * (c - r), label_smoothing
  return -(1 - e) * log_sigmoid(x) - e * log_sigmoid(-x)


def calibration(c: Pair, r: Pair, *, beta: float) -> Pair:
  """max(0, 1 − β(c − r)) (SLiC-HF, Zhao et al. 2023)."""
  return jax.nn.relu(1 - beta * (c - r))


def square(c: Pair, r: Pair, *, beta: float) -> Pair:
  """(c − r − 1/(2β))²: IPO (Azar et al. 2023) without a reference."""
  return (c - r - 1 / (2 * beta)) ** 2


def margin(c: Pair, r: Pair, *, beta: float, gamma: float) -> Pair:
  """−log σ(β(c − r) − γ) (SimPO, Meng et al. 2024, equation 6)."""
  return -log_sigmoid(beta * (c - r) - gamma)


def sigmoid(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  label_smoothing: float,
  alpha: float,
) -> Terms:
  """`contrast` of sums: CPO; α = 1 in the paper."""
  check(label_smoothing=label_smoothing)

  def loss(c, r):
    return contrast(c, r, beta=beta, label_smoothing=label_smoothing)

  return _terms("sigmoid", loss, stats, batch, beta, alpha, per.sums)


def hinge(stats: Stats, batch: Batch, *, beta: float, alpha: float) -> Terms:
  """`calibration` of sums."""

  def loss(c, r):
    return calibration(c, r, beta=beta)

  return _terms("hinge", loss, stats, batch, beta, alpha, per.sums)


def ipo(stats: Stats, batch: Batch, *, beta: float, alpha: float) -> Terms:
  """`square` of means."""

  def loss(c, r):
    return square(c, r, beta=beta)

  return _terms("ipo", loss, stats, batch, beta, alpha, per.means)


def simpo(
  stats: Stats, batch: Batch, *, beta: float, gamma: float, alpha: float
) -> Terms:
  """`margin` of means; α = 0 is SimPO, α > 0 CPO-SimPO."""
  check(gamma=gamma)

  def loss(c, r):
    return margin(c, r, beta=beta, gamma=gamma)

  return _terms("simpo", loss, stats, batch, beta, alpha, per.means)


def _terms(name, loss, stats, batch, beta, alpha, over):
  check(beta=beta, alpha=alpha)
  logp = over(stats["logp"], batch.completions, per.size_of(batch))
  pairs = pairs_of(batch)
  found = expected(loss, *sides(logp), pairs.label.astype(logp.dtype))
  nll = term(-stats["logp"], chosen_tokens(batch.completions), batch.weights)
  return Terms(
    loss={
      name: term(found, pairs.present, pairs.weights),
      "nll": nll._replace(sum=alpha * nll.sum),
    },
    metrics=reports(logp, beta * logp, stats, batch),
  )
