"""Experience: samples laid out as a batch, and all that is known of them.

A rollout is data that read the parameters once. It is laid out like any other
batch, one completion a row, and its fields are what the losses of PPO and its
kin read.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops.masked import term
from alignjax.optim import merge
from alignjax.sample import Prompts, Samples
from alignjax.step import Annotate, Stats
from alignjax.totals import ratio
from alignjax.types import Batch


def laid(prompts: Prompts, samples: Samples) -> Batch:
  """Prompts [B, P] and their samples [B, T] as rows of P + T tokens.

  Position t predicts the sampled token t, from the token before it. One more
  position, the state after the last token, is listed where T has room, with
  completion 0: a value is asked for there, but no token. Field "valued" [B, T]
  is 1 for all of these.
  """
  B, T = samples.tokens.shape
  n, length = prompts.lengths[:, None], samples.lengths[:, None]
  at = jnp.arange(prompts.tokens.shape[1] + T)[None]
  there = at < n + length
  answer = jnp.take_along_axis(
    samples.tokens, jnp.clip(at - n, 0, T - 1), axis=1
  )
  question = jnp.pad(prompts.tokens, ((0, 0), (0, T)))
  tokens = jnp.where(at < n, question, answer)
  t = jnp.arange(T)[None]
  trained, valued = t < length, t <= length
  return Batch(
    tokens=jnp.where(there, tokens, 0),
    positions=jnp.where(there, at, 0),
    documents=there.astype(jnp.int32),
    where=jnp.where(valued, n + t - 1, 0),
    targets=jnp.where(trained, samples.tokens, 0),
    completions=trained.astype(jnp.int32),
    weights=trained.astype(jnp.float32),
    ends=n + length - 1,
    fields={"valued": valued.astype(jnp.float32)},
  )


def rows(batch: Batch, indices: jax.Array) -> Batch:
  """Some rows of a batch, in that order."""
  return jax.tree.map(lambda x: jnp.take(x, indices, axis=0), batch)


def estimated(
  estimate: Callable[..., dict[str, jax.Array]], samples: int
) -> Callable[[Batch, jax.Array, jax.Array], Batch]:
  """(batch, scores, coefficient) → the batch with the fields of an estimator.

  estimate: of `ops.advantages`. samples: of a prompt; they stand together.
  """

  def finish(batch, scores, coefficient):
    found = estimate(batch, scores, coefficient, samples)
    return batch._replace(fields={**batch.fields, **found})

  return finish


def paired(batch: Batch, scores: Float[Array, "B"], samples: int) -> Batch:
  """A row for each prompt: its best completion, and after it its worst.

  batch: of completions, `samples` of a prompt together. As two documents of
  one row, chosen and rejected of `ops.pairs`, with "label" 1 and all fields of
  tokens. Where all samples score the same there is no pair: nothing of that row
  is trained.
  """
  groups = scores.reshape(-1, samples)
  first = samples * jnp.arange(groups.shape[0])
  one = rows(batch, first + groups.argmax(1))
  two = rows(batch, first + groups.argmin(1))
  there = (groups.max(1) > groups.min(1))[:, None]
  L, T = batch.tokens.shape[1], batch.targets.shape[1]

  def beside(a, b):
    return jnp.concatenate([a, b], axis=1)

  fields = {
    k: beside(x, two.fields[k])
    for k, x in one.fields.items()
    if x.shape[1:] == (T,)
  }
  label = jnp.broadcast_to(jnp.float32([1, 0]), (*groups.shape[:1], 2))
  return Batch(
    tokens=beside(one.tokens, two.tokens),
    positions=beside(one.positions, two.positions),
    documents=beside(one.documents, 2 * two.documents),
    where=beside(one.where, L + two.where),
    targets=beside(one.targets, two.targets),
    completions=there * beside(one.completions, 2 * two.completions),
    weights=there * beside(one.weights, two.weights),
    ends=there * beside(one.ends, L + two.ends),
    fields=fields | {"label": label},
  )


def joined(sampled: Batch, other: Batch) -> Batch:
  """Rows of other data after those of completions, as one batch.

  The field "mixed" [B, T] is 1 in their rows; other fields are 0 there.
  """

  def stacked(a, b, size=0):
    n = max(size, a.shape[1], b.shape[1])
    return jnp.concatenate(
      [jnp.pad(x, ((0, 0), (0, n - x.shape[1]))) for x in (a, b)]
    )

  def beside(x):
    return jnp.zeros((other.tokens.shape[0], x.shape[1]), x.dtype)

  names = ("tokens", "positions", "documents")
  names += ("where", "targets", "completions", "weights")
  made = {k: stacked(getattr(sampled, k), getattr(other, k)) for k in names}
  B, T = made["targets"].shape
  fields = {
    k: stacked(x, beside(x), 0 if k == "label" else T)
    for k, x in sampled.fields.items()
  }
  row = jnp.arange(B)[:, None] >= sampled.tokens.shape[0]
  fields["mixed"] = jnp.broadcast_to(row, (B, T)).astype(jnp.float32)
  ends = stacked(sampled.ends, beside(sampled.ends))
  return Batch(**made, ends=ends, fields=fields)


def make_experience(
  stats: Stats,
  refer: Annotate,
  finish: Callable[[Batch, jax.Array, jax.Array], Batch],
  control: Callable[[jax.Array, jax.Array], jax.Array],
  *,
  values: bool,
  samples: int,
) -> Callable:
  """(state, batch, log-probabilities as sampled, scores) → what is known.

  Pure, to be jitted: → (control, batch, KL to the reference in nats a
  completion [B], metrics). The batch has the fields that losses read:
  "old/logp", "old/value" (where `values`), what `refer` adds ("reference/logp")
  and what `finish` makes of it. control is the `State.control` of the next
  rollout: the KL's coefficient, and the mean length of the first completions.

  finish: (batch, scores, coefficient) → batch: `ops.advantages` or `paired`.
  control: (coefficient, KL in nats a completion) → coefficient.
  samples: of a prompt; they stand together.
  """

  def experience(state, batch, sampled, scores):
    params = merge(state.params, state.frozen)
    tokens, valued = batch.completions > 0, batch.fields["valued"] > 0
    needs = ("logp", "entropy") + ("value",) * values
    found = stats(params, batch, needs)
    more = {"old/logp": jnp.where(tokens, found["logp"], 0.0)}
    if values:
      more["old/value"] = jnp.where(valued, found["value"], 0.0)
    batch = refer(state, batch._replace(fields={**batch.fields, **more}))
    coefficient = state.control["kl"]
    logp, reference = more["old/logp"], batch.fields["reference/logp"]
    kl = jnp.where(tokens, logp - reference, 0.0).sum(1)
    gap = jnp.where(tokens, jnp.abs(logp - sampled), 0.0).max()
    metrics = {
      "objective/kl_coef": coefficient,
      "objective/entropy": ratio(term(found["entropy"], tokens)),
      "rollout/logp_gap": gap,
    }
    if samples > 1:
      groups = scores.reshape(-1, samples)
      equal = (groups == groups[:, :1]).all(1)
      metrics["rollout/equal_groups"] = equal.mean()
    length = tokens.sum(1).mean()
    first = state.control["length"]
    first = jnp.where(first > 0, first, length)
    metrics["rollout/length_change"] = length / first
    metrics["rollout/score_std"] = scores.std()
    # Not the state: what a jitted function returns is copied.
    known = {"kl": control(coefficient, kl.mean()), "length": first}
    return known, finish(batch, scores, coefficient), kl, metrics

  return experience


def adaptive(
  *, target: float, horizon: float, rows: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """β ← β·(1 + clip(KL/target − 1, ± 0.2)·rows/horizon) (Ziegler et al. 2019,
  section 2.2). target: nats a completion; 0: β stays. rows: of a rollout."""

  def control(coefficient, kl):
    if not target:
      return coefficient
    error = jnp.clip(kl / target - 1, -0.2, 0.2)
    return coefficient * (1 + error * rows / horizon)

  return control
