"""Objectives of single completions, each desirable or not.

z = log π(y|x) − log ref(y|x), a sum over tokens, in nats. Field "label" [B, S]
is 1 for a desirable completion and 0 for an undesirable one; a label between
them is the probability that it is desirable.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.preference import check
from alignjax.ops.ratios import log_ratios
from alignjax.types import Batch, Term, Terms

needs = ("logp", "correct", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]
One = Float[Array, "*s"]  # a number for each completion


def gain(z: One, *, beta: float, kl: Float[Array, ""] | float) -> One:
  """1 − σ(β(z − kl)): falls as a desirable completion gains on the average.

  KTO (Ethayarajh et al. 2024, equation 8).
  """
  return sigmoid(-beta * (z - kl))


def loss_of(z: One, *, beta: float, kl: Float[Array, ""] | float) -> One:
  """1 − σ(β(kl − z)), of an undesirable completion (ibid.)."""
  return sigmoid(-beta * (kl - z))


def _unmatched(stats: Stats, batch: Batch) -> dict[str, Term]:
  """Σ log π − log ref over the completions of other prompts; their number.

  Their mean estimates KL(π ‖ ref), in nats per completion. These completions
  are marked by 1 in the field "kl" [B, S].
  """
  _, z = log_ratios(stats, batch, reference_free=False)
  others = per.present(batch) & (per.field(batch, "kl") > 0)
  return {"kl": term(z, others)}


def kto(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  desirable_weight: float,
  undesirable_weight: float,
) -> Terms:
  """The mean over completions of λ_D·`gain` or λ_U·`loss_of`, by their label.

  kl = max(0, mean of z over the completions that field "kl" [B, S] marks by 1),
  without gradient: each prompt with another row's completion, which takes part
  in the forward pass and not in the mean of the loss. Whoever shows the loss a
  part of the batch gives the mean of the whole as the field "whole/kl"
  (`kto.first` says what it is of); without it the batch at hand is the whole.
  """
  if "whole/kl" in batch.fields:
    mean = batch.fields["whole/kl"]
  else:
    total = _unmatched(stats, batch)["kl"]
    mean = total.sum / jnp.maximum(total.weight, 1.0)
  kl = jax.lax.stop_gradient(jnp.maximum(mean, 0.0))

  def loss(z, label):
    good = desirable_weight * gain(z, beta=beta, kl=kl)
    bad = undesirable_weight * loss_of(z, beta=beta, kl=kl)
    return label * good + (1 - label) * bad

  check(
    desirable_weight=desirable_weight, undesirable_weight=undesirable_weight
  )
  found = _terms("kto", loss, stats, batch, beta)
  one = jnp.ones_like(kl)
  return found._replace(metrics=found.metrics | {"kl": Term(kl, one)})


kto.first = _unmatched


def apo_zero_unpaired(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  desirable_weight: float,
  undesirable_weight: float,
) -> Terms:
  """λ_D·(1 − σ(βz)) or λ_U·σ(βz): `kto` against kl = 0.

  APO-zero of single completions (D'Oosterlinck et al. 2024).
  """

  def loss(z, label):
    good = desirable_weight * gain(z, beta=beta, kl=0.0)
    bad = undesirable_weight * loss_of(z, beta=beta, kl=0.0)
    return label * good + (1 - label) * bad

  check(
    desirable_weight=desirable_weight, undesirable_weight=undesirable_weight
  )
  return _terms("apo_zero_unpaired", loss, stats, batch, beta)


def _judged(batch: Batch) -> Bool[Array, "B S"]:
  """Which completions are judged: those that are not another prompt's."""
  there = per.present(batch)
  return there & ~(batch.fields["kl"] > 0) if "kl" in batch.fields else there


def _terms(name, loss, stats, batch, beta) -> Terms:
  check(beta=beta)
  logp, z = log_ratios(stats, batch, reference_free=False)
  judged = _judged(batch)
  label = per.field(batch, "label").astype(z.dtype)
  weights = per.means(batch.weights, batch.completions, per.size_of(batch))
  trained = per.spread(judged.astype(z.dtype), batch.completions) > 0
  metrics = {
    "mean_token_accuracy": term(stats["correct"], trained),
    "entropy": term(stats["entropy"], trained),
  }
  reports = {"rewards": beta * z, "logps": logp}
  for side, mask in {"chosen": label > 0.5, "rejected": label <= 0.5}.items():
    for kind, x in reports.items():
      x = jax.lax.stop_gradient(x)
      metrics[f"{kind}/{side}"] = term(x, judged & mask)
  return Terms({name: term(loss(z, label), judged, weights)}, metrics)
