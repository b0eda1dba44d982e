"""Pairs of completions: their sides, labels and weights.

Odd completions of a row are chosen, the even one after each is its rejected.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.types import Batch, Term


def sides(x: Array) -> tuple[Array, Array]:
  """[B, S, …] → (chosen, rejected), each [B, P, …] with P = S / 2.

  Raises:
    ValueError: S is odd.
  """
  if x.shape[1] % 2:
    raise ValueError(
      f"Rows have {x.shape[1]} completions; pairs need an even number: chosen, "
      "rejected, chosen, rejected …"
    )
  return x[:, 0::2], x[:, 1::2]


def chosen_tokens(completions: Int[Array, "B T"]) -> Bool[Array, "B T"]:
  """Whether a token belongs to a chosen completion."""
  return completions % 2 == 1


def expected(
  loss: Callable[[Array, Array], Array],
  chosen: Float[Array, "*b"],
  rejected: Float[Array, "*b"],
  p: Float[Array, "*#b"],
) -> Float[Array, "*b"]:
  """p·loss(chosen, rejected) + (1 − p)·loss(rejected, chosen).

  The expected loss where the chosen side is the preferred one with probability
  p. A side of probability 0 is not evaluated, so it cannot overflow.
  """

  def one(p, a, b):
    return p * loss(jnp.where(p > 0, a, 0.0), jnp.where(p > 0, b, 0.0))

  return one(p, chosen, rejected) + one(1 - p, rejected, chosen)


class Pairs(NamedTuple):
  """Which pairs a batch holds, what each counts, and p(chosen is preferred)."""

  present: Bool[Array, "B P"]
  weights: Float[Array, "B P"]
  label: Float[Array, "B P"]


def pairs_present(batch: Batch) -> Bool[Array, "B P"]:
  """Whether both sides of a pair are there."""
  chosen, rejected = sides(per.present(batch))
  return chosen & rejected


def pairs_of(batch: Batch) -> Pairs:
  """The pairs of a batch.

  weights: what the tokens of the chosen side count, their mean.
  """
  size = per.size_of(batch)
  weights = per.means(batch.weights, batch.completions, size)
  label = sides(per.field(batch, "label"))[0]
  return Pairs(pairs_present(batch), sides(weights)[0], label)


def reports(
  logps: Float[Array, "B S"],
  rewards: Float[Array, "B S"],
  stats: Mapping[str, Float[Array, "B T"]],
  batch: Batch,
) -> dict[str, Term]:
  """What every loss of pairs reports: means over pairs, and over tokens.

  A tie of rewards counts as wrong. At the start, where policy and reference are
  equal, accuracy says nothing: 0, or the last bits of two programs.
  """
  present = pairs_present(batch)
  trained = batch.completions > 0
  chosen, rejected = sides(jax.lax.stop_gradient(rewards))
  of_pairs = {
    "rewards/chosen": chosen,
    "rewards/rejected": rejected,
    "rewards/accuracies": (chosen > rejected).astype(chosen.dtype),
    "rewards/margins": chosen - rejected,
  }
  logps = sides(jax.lax.stop_gradient(logps))
  of_pairs |= dict(zip(("logps/chosen", "logps/rejected"), logps))
  return {name: term(x, present) for name, x in of_pairs.items()} | {
    "mean_token_accuracy": term(stats["correct"], trained),
    "entropy": term(stats["entropy"], trained),
  }
