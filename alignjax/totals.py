"""What losses add up to: their terms, weights and total, from statistics."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import linear
from alignjax.ops.readout import STATS
from alignjax.types import Batch, Term, Terms


class Objective(NamedTuple):
  """One entry of `config.loss`: weight · loss(stats, batch).

  first: what the loss must know of the whole batch before it can be taken of a
    part: (stats, batch) → name → Term, whose ratio is the field "whole/name".
  """

  weight: float
  needs: tuple[str, ...]
  loss: Callable[[Mapping[str, jax.Array], Batch], Terms]
  first: Callable[[Mapping, Batch], dict[str, Term]] | None = None


def needed(objectives: Mapping[str, Objective]) -> tuple[str, ...]:
  """The union of what the losses read."""
  return tuple(sorted({n for o in objectives.values() for n in o.needs}))


def blanks(
  objectives: Mapping[str, Objective], batch: Batch
) -> dict[str, jax.Array]:
  """Statistics that are all 0, for what losses say without a model."""
  tokens = jnp.zeros(batch.targets.shape, jnp.float32)
  blank = dict.fromkeys(needed(objectives), tokens)
  if "score" in blank:  # of each completion
    blank["score"] = jnp.zeros(batch.ends.shape, jnp.float32)
  return blank


def weights_of(
  objectives: Mapping[str, Objective], batch: Batch
) -> dict[str, dict[str, Float[Array, ""]]]:
  """The weight of each term over the batch; no model is run."""
  blank = blanks(objectives, batch)
  return {
    label: {n: t.weight for n, t in o.loss(blank, batch).loss.items()}
    for label, o in objectives.items()
  }


def ratio(term: Term) -> Float[Array, ""]:
  """sum / weight; 0 where there is nothing to weigh."""
  return term.sum / jnp.where(term.weight > 0, term.weight, 1.0)


def terms_of(
  found: Mapping,
  objectives: Mapping[str, Objective],
  batch: Batch,
) -> dict[str, Terms]:
  """All terms of one batch or microbatch, by label, from its statistics."""
  return {label: o.loss(found, batch) for label, o in objectives.items()}


def total_of(
  terms: Mapping[str, Terms],
  objectives: Mapping[str, Objective],
  weights: Mapping[str, Mapping[str, jax.Array]],
) -> Float[Array, ""]:
  """What is minimised: each sum over the weight of the whole batch."""
  total = jnp.float32(0)
  for label, parts in terms.items():
    for name, term in parts.loss.items():
      whole = Term(term.sum, weights[label][name])
      total += objectives[label].weight * ratio(whole)
  return total


def slopes_of(
  objectives: Mapping[str, Objective], batch: Batch, weights: Mapping
) -> dict[str, Float[Array, "B T"]] | None:
  """The gradient of the total by the statistics, where it is known before them.

  As of likelihood: its slope is a token's weight, whatever the model says. None
  for all other losses.
  """
  if not set(needed(objectives)) <= set(STATS):
    return None

  def total(found):
    return total_of(terms_of(found, objectives, batch), objectives, weights)

  return linear.slopes(total, blanks(objectives, batch))


def metrics_of(
  objectives: Mapping[str, Objective], terms: Mapping[str, Terms]
) -> dict[str, Float[Array, ""]]:
  """loss, each label's terms `label/name`, and metrics, from summed terms.

  A metric keeps its bare name unless an earlier loss reports it too.
  """
  out = {"loss": jnp.float32(0)}
  for label in objectives:  # not `terms`: jax sorts the keys of a dictionary
    parts = terms[label]
    for name, term in parts.loss.items():
      out["loss"] += objectives[label].weight * ratio(term)
      out[f"{label}/{name}"] = ratio(term)
    for name, term in parts.metrics.items():
      out[f"{label}/{name}" if name in out else name] = ratio(term)
  return out
