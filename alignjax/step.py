"""The train step: the only gradient, the only donation.

`stats` runs the model once for all losses; the losses are arithmetic on its
statistics; each of their sums is divided by the weight of the whole batch,
known from the masks before anything is differentiated. So k microbatches give
the gradient of one batch, whatever the masks and the mesh.

What other weights of the state say of a batch (a teacher, a reference that
moves) `annotate` adds to it as fields, before the gradient.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from alignjax.ops import spikes
from alignjax.ops.microbatches import microbatches, summed
from alignjax.optim import VALUES, Schedule, cast, merge, values_alone
from alignjax.totals import (
  Objective,
  metrics_of,
  needed,
  ratio,
  slopes_of,
  terms_of,
  total_of,
  weights_of,
)
from alignjax.types import Batch, Terms

# params, batch, needs, a key a row → per-token statistics [B, T]
Stats = Callable[..., Mapping[str, jax.Array]]
# state, batch → the batch with more fields
Annotate = Callable[["State", Batch], Batch]


class Moving(NamedTuple):
  """A reference that follows: ref ← α·θ + (1 − α)·ref after every N updates.

  TR-DPO (Gorbatovski et al. 2024): 0 < α < 1 is its soft update, α = 1 its
  hard one.
  """

  every: int
  alpha: float


class State(NamedTuple):
  """All that training changes, and the weights it only reads.

  step: updates made. data: batches taken, which is the whole state of the data;
    more than `step` where updates were skipped.
  params: what is trained. frozen: takes part in the forward pass and is an
    argument of the step, never closed over, never differentiated.
  history: loss and gradient norm of the last updates, a ring.
  reference: what `params` are compared with where it moves, or completions are
    sampled; {} elsewhere.
  control: numbers that a rollout sets for the next one, by name; {} elsewhere.
  """

  step: Int[Array, ""]
  data: Int[Array, ""]
  params: dict
  frozen: dict
  moments: optax.OptState
  history: Float[Array, "2 128"]
  reference: dict
  control: dict


def init(
  params: dict,
  frozen: dict,
  optimizer: optax.GradientTransformation,
  *,
  refers: bool = False,
  control: Mapping[str, float] | None = None,
) -> State:
  """The state before the first step.

  refers: it keeps a reference: θ at first, without what says values.
  """
  zero = jnp.int32(0)
  history = jnp.zeros((2, spikes.WINDOW), jnp.float32)
  # Buffers of its own: those of `params` are donated.
  policy = {k: x for k, x in params.items() if k not in VALUES}
  reference = jax.tree.map(jnp.copy, policy) if refers else {}
  moments = optimizer.init(params)
  control = {k: jnp.float32(x) for k, x in (control or {}).items()}
  return State(zero, zero, params, frozen, moments, history, reference, control)


def as_it_is(state: State, batch: Batch) -> Batch:
  """No more fields."""
  del state
  return batch


def moved(state: State, moving: Moving | None) -> State:
  """The state with the reference that its own updates call for."""
  if moving is None:
    return state

  def one(new, old):
    mixed = moving.alpha * new + (1 - moving.alpha) * old
    return jnp.where(state.step % moving.every == 0, mixed, old)

  reference = jax.tree.map(one, state.params, state.reference)
  return state._replace(reference=reference)


def make_train_step(
  stats: Stats,
  objectives: Mapping[str, Objective],
  optimizer: optax.GradientTransformation,
  schedule: Schedule,
  accumulate: int,
  *,
  skip_spikes: bool = False,
  seed: int | None = None,
  annotate: Annotate = as_it_is,
  moving: Moving | None = None,
  warmup: int = 0,
  ahead: bool = False,
  branch: bool = False,
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
  """(state, batch) → (state, metrics); pure, to be jitted by the caller.

  A loss or gradient that is not finite takes the batch and leaves all else as
  it was, and the metric `skipped` is 1; so does a spike of loss or gradient
  norm (above mean + 6σ of the last 128 updates) where `skip_spikes`.
  Metrics are float32 scalars; `tokens` counts the tokens that are not padding.
  seed: where given, `stats` gets a key a row, of (seed, batch, row).
  annotate: of a microbatch at a time; nothing is differentiated in it.
  warmup: the first updates, in which nothing is trained but what says values.
  ahead: `stats` takes `slopes`, where these are known before.
  branch: whether an update is skipped by a branch, made in the state's own
    memory, or by a choice between two states (`kernels.branches`).
  """

  def value(params, frozen, batch, keys, weights):
    known = ahead and slopes_of(objectives, batch, weights)
    more = {"slopes": known} if known else {}
    given = merge(params, frozen), batch, needed(objectives), *keys
    terms = terms_of(stats(*given, **more), objectives, batch)
    return total_of(terms, objectives, weights), terms

  def gradient(state, batch):
    known = annotate(state, batch)  # not run where its masks alone are read
    weights = weights_of(objectives, known)
    grad = jax.grad(value, has_aux=True)
    keys = ()
    if seed is not None:
      key = jax.random.fold_in(jax.random.key(seed), state.data)
      keys = (jax.random.split(key, batch.tokens.shape[0]),)
    if accumulate == 1:
      return grad(state.params, state.frozen, known, keys, weights)

    parts = microbatches((batch, keys), accumulate)
    whole = known_first(state, parts)

    def one(part, keys):
      part = annotate(state, part)
      part = part._replace(fields=part.fields | whole)
      return grad(state.params, state.frozen, part, keys, weights)

    return summed(one, parts)

  def known_first(state, parts):
    """Fields of what losses must know of all parts; a forward pass of its own.

    Nothing where no loss asks.
    """
    firsts = [o.first for o in objectives.values() if o.first is not None]
    if not firsts:
      return {}

    def one(part, keys):
      part = annotate(state, part)
      params = merge(state.params, state.frozen)
      found = stats(params, part, needed(objectives), *keys)
      return [first(found, part) for first in firsts]

    terms = {k: t for found in summed(one, parts) for k, t in found.items()}
    return {f"whole/{k}": ratio(term) for k, term in terms.items()}

  def train_step(state, batch):
    grads, terms = gradient(state, batch)
    if warmup:
      grads = values_alone(grads, state.step < warmup)
    metrics = metrics_of(objectives, terms)
    norm = optax.global_norm(cast(grads, "float32"))
    values = jnp.stack([metrics["loss"], norm])
    good = jnp.isfinite(values).all()
    seen = state.history, state.step
    if skip_spikes:
      good &= ~spikes.stands_out(values, *seen)
    lr = schedule(state.step)

    def updated(state, grads):
      updates, moments = optimizer.update(grads, state.moments, state.params)
      if warmup:  # weights that decay too
        updates = values_alone(updates, state.step < warmup)
      updates = jax.tree.map(lambda x: (lr * x).astype(x.dtype), updates)
      made = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        moments=moments,
        history=spikes.remember(values, *seen),
      )
      return moved(made, moving)

    bare = state._replace(frozen={})
    if branch:
      after = jax.lax.cond(good, updated, lambda state, _: state, bare, grads)
    else:
      made = updated(bare, grads)
      after = jax.tree.map(lambda a, b: jnp.where(good, a, b), made, bare)
    metrics |= {
      "grad_norm": norm,
      "lr": lr,
      "skipped": ~good,
      "tokens": (batch.documents > 0).sum(),
    }
    metrics = {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}
    return after._replace(data=state.data + 1, frozen=state.frozen), metrics

  return train_step


def make_eval_step(
  stats: Stats,
  objectives: Mapping[str, Objective],
  annotate: Annotate = as_it_is,
) -> Callable[[State, Batch], dict[str, Terms]]:
  """(state, batch) → the batch's summed terms; forward only."""

  def eval_step(state, batch):
    batch = annotate(state, batch)
    params = merge(state.params, state.frozen)
    found = stats(params, batch, needed(objectives))
    return terms_of(found, objectives, batch)

  return eval_step
