"""Alignment by optimal transport: sorted log-ratios of a batch are compared.

These couple the rows of a batch: the loss of a batch is not the sum of those
of its parts, so gradients cannot be accumulated over microbatches. Sorting
breaks the pairs up, so neither labels nor weights of pairs are read, and rows
that have some are refused.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jax.nn import log_sigmoid
from jaxtyping import Array, Bool, Float

from alignjax.ops.masked import term
from alignjax.ops.pairs import pairs_present, reports, sides
from alignjax.ops.preference import check
from alignjax.ops.ratios import log_ratios
from alignjax.types import Batch, Terms

needs = ("logp", "correct", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]


def dominance(
  above: Float[Array, "*p"], below: Float[Array, "*p"], mask: Bool[Array, "*p"]
) -> Float[Array, "n"]:
  """sort(above) − sort(below) over the entries where mask, then zeros.

  All entries are at least 0 where the distribution of `above` dominates that
  of `below` in the first order (Melnyk et al. 2024).
  """

  def ordered(x):
    return jnp.sort(jnp.where(mask, x, jnp.inf).ravel())

  there = jnp.arange(mask.size) < mask.sum()
  return jnp.where(there, ordered(above) - ordered(below), 0.0)


def aot(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  label_smoothing: float,
  reference_free: bool,
) -> Terms:
  """δ = sort(lp_c − lp_r) − sort(ref_c − ref_r); −log σ(βδ), ε as in DPO.

  Paired AOT (Melnyk et al. 2024): the margins of the policy shall dominate
  those of the reference. Couples the rows of a batch.
  """
  logp, ratio = log_ratios(stats, batch, reference_free=reference_free)
  (c, r), (ref_c, ref_r) = sides(logp), sides(logp - ratio)
  delta = dominance(c - r, ref_c - ref_r, pairs_present(batch))
  return _terms("aot", delta, logp, ratio, stats, batch, beta, label_smoothing)


def aot_unpaired(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  label_smoothing: float,
  reference_free: bool,
) -> Terms:
  """δ = sort(u) − sort(v); −log σ(βδ), ε as in DPO.

  Unpaired AOT (Melnyk et al. 2024): the rewards of chosen completions shall
  dominate those of rejected ones. Couples the rows of a batch.
  """
  logp, ratio = log_ratios(stats, batch, reference_free=reference_free)
  u, v = sides(ratio)
  delta = dominance(u, v, pairs_present(batch))
  return _terms(
    "aot_unpaired", delta, logp, ratio, stats, batch, beta, label_smoothing
  )


for _one in (aot, aot_unpaired):
  _one.couples_rows, _one.reads_labels = True, False


def _terms(name, delta, logp, ratio, stats, batch, beta, e):
  check(beta=beta, label_smoothing=e)
  x = beta * delta
  found = -(1 - e) * log_sigmoid(x) - e * log_sigmoid(-x)
  there = jnp.arange(delta.size) < pairs_present(batch).sum()
  return Terms(
    loss={name: term(found, there)},
    metrics=reports(logp, beta * ratio, stats, batch),
  )
