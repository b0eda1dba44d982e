"""Supervised fine-tuning: negative log-likelihood of the trained tokens."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops.masked import term
from alignjax.ops.pairs import chosen_tokens
from alignjax.types import Batch, Terms

needs = ("logp", "correct")


def nll(logp: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """−log p of each token, in nats (Ouyang et al. 2022, section 3.5)."""
  return -logp


def dynamic(logp: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """−sg(p) log p of each token (dynamic fine-tuning, Wu et al. 2025).

  sg stops the gradient, so a token's gradient is p times that of `nll`: what
  the model holds for unlikely pulls less.
  """
  return -jax.lax.stop_gradient(jnp.exp(logp)) * logp


def loss(stats: Mapping[str, Float[Array, "B T"]], batch: Batch) -> Terms:
  """Σ w·(−log p) over trained tokens; weight: Σ w, their number where w = 1."""
  return _terms({"nll": nll(stats["logp"])}, stats, batch)


def chosen(stats: Mapping[str, Float[Array, "B T"]], batch: Batch) -> Terms:
  """`loss` over the chosen sides of pairs alone: an anchor beside others."""
  chosen = chosen_tokens(batch.completions)
  only = batch._replace(completions=jnp.where(chosen, batch.completions, 0))
  return loss(stats, only)


def dft(stats: Mapping[str, Float[Array, "B T"]], batch: Batch) -> Terms:
  """`loss` with `dynamic` in the place of `nll`; `nll` becomes a metric."""
  # Where nothing is trained p may be anything, and 0 · ∞ would be a gradient.
  logp = jnp.where(batch.completions > 0, stats["logp"], 0.0)
  found = _terms({"dft": dynamic(logp)}, stats, batch)
  plain = _terms({"nll": nll(stats["logp"])}, stats, batch)
  return found._replace(metrics=found.metrics | plain.loss)


def _terms(losses: dict, stats: Mapping, batch: Batch) -> Terms:
  mask = batch.completions > 0
  return Terms(
    loss={k: term(x, mask, batch.weights) for k, x in losses.items()},
    metrics={"mean_token_accuracy": term(stats["correct"], mask)},
  )
