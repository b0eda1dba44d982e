"""The train step: the only gradient, the only donation.

`stats` runs the model once for all losses; the losses are arithmetic on its
statistics; each of their sums is divided by the weight of the whole batch,
known from the masks before anything is differentiated. So k microbatches give
the gradient of one batch, whatever the masks and the mesh.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from alignjax.optim import Schedule, merge
from alignjax.types import Batch, Term, Terms

# params, batch, needs → per-token statistics [B, T]
Stats = Callable[[dict, Batch, Sequence[str]], Mapping[str, jax.Array]]


class Objective(NamedTuple):
  """One entry of `config.loss`: weight · loss(stats, batch)."""

  weight: float
  needs: tuple[str, ...]
  loss: Callable[[Mapping[str, jax.Array], Batch], Terms]


class State(NamedTuple):
  """All that training changes, and the weights it only reads.

  params is what is trained; `frozen` takes part in the forward pass and is an
  argument of the step, never closed over, never differentiated.
  """

  step: Int[Array, ""]
  params: dict
  frozen: dict
  moments: optax.OptState


def init(
  params: dict, frozen: dict, optimizer: optax.GradientTransformation
) -> State:
  """The state before the first step."""
  return State(jnp.int32(0), params, frozen, optimizer.init(params))


def needed(objectives: Mapping[str, Objective]) -> tuple[str, ...]:
  """The union of what the losses read."""
  return tuple(sorted({n for o in objectives.values() for n in o.needs}))


def weights_of(
  objectives: Mapping[str, Objective], batch: Batch
) -> dict[str, dict[str, Float[Array, ""]]]:
  """The weight of each term over the batch; no model is run."""
  zeros = jnp.zeros(batch.targets.shape, jnp.float32)
  blank = {name: zeros for name in needed(objectives)}
  return {
    label: {n: t.weight for n, t in o.loss(blank, batch).loss.items()}
    for label, o in objectives.items()
  }


def ratio(term: Term) -> Float[Array, ""]:
  """sum / weight; 0 where there is nothing to weigh."""
  return term.sum / jnp.where(term.weight > 0, term.weight, 1.0)


def terms_of(
  stats: Stats,
  objectives: Mapping[str, Objective],
  params: dict,
  batch: Batch,
) -> dict[str, Terms]:
  """All terms of one batch or microbatch, by label; one forward pass."""
  found = stats(params, batch, needed(objectives))
  return {label: o.loss(found, batch) for label, o in objectives.items()}


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


def microbatches(batch: Batch, k: int) -> Batch:
  """[B, …] → [k, B/k, …]; microbatch i takes rows i, i + k, i + 2k, …

  So every device keeps its own rows.
  """

  def one(x):
    return x.reshape(x.shape[0] // k, k, *x.shape[1:]).swapaxes(0, 1)

  return jax.tree.map(one, batch)


def make_train_step(
  stats: Stats,
  objectives: Mapping[str, Objective],
  optimizer: optax.GradientTransformation,
  schedule: Schedule,
  accumulate: int,
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
  """(state, batch) → (state, metrics); pure, to be jitted by the caller.

  A loss or gradient that is not finite leaves the state as it was and sets the
  metric `skipped` to 1. Metrics are float32 scalars; `tokens` counts the
  tokens that are not padding.
  """

  def value(params, frozen, batch, weights):
    terms = terms_of(stats, objectives, merge(params, frozen), batch)
    total = jnp.float32(0)
    for label, parts in terms.items():
      for name, term in parts.loss.items():
        whole = Term(term.sum, weights[label][name])
        total += objectives[label].weight * ratio(whole)
    return total, terms

  def gradient(state, batch):
    weights = weights_of(objectives, batch)
    grad = jax.grad(value, has_aux=True)
    if accumulate == 1:
      return grad(state.params, state.frozen, batch, weights)

    def body(carry, micro):
      new = grad(state.params, state.frozen, micro, weights)
      return jax.tree.map(jnp.add, carry, new), None

    parts = microbatches(batch, accumulate)
    shapes = jax.eval_shape(
      grad,
      state.params,
      state.frozen,
      jax.tree.map(lambda x: x[0], parts),
      weights,
    )
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(body, zeros, parts)[0]

  def train_step(state, batch):
    grads, terms = gradient(state, batch)
    metrics = metrics_of(objectives, terms)
    norm = optax.global_norm(grads)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
    updates, moments = optimizer.update(grads, state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    new = (state.step + 1, params, moments)
    old = (state.step, state.params, state.moments)
    step, params, moments = jax.tree.map(
      lambda a, b: jnp.where(finite, a, b), new, old
    )
    metrics |= {
      "grad_norm": norm,
      "lr": schedule(state.step),
      "skipped": 1.0 - finite,
      "tokens": (batch.documents > 0).sum(),
    }
    metrics = {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}
    return State(step, params, state.frozen, moments), metrics

  return train_step


def make_eval_step(
  stats: Stats, objectives: Mapping[str, Objective]
) -> Callable[[State, Batch], dict[str, Terms]]:
  """(state, batch) → the batch's summed terms; forward only."""

  def eval_step(state, batch):
    params = merge(state.params, state.frozen)
    return terms_of(stats, objectives, params, batch)

  return eval_step
