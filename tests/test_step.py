from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alignjax import optim, step, totals
from alignjax.losses import sft
from alignjax.models.lm import LM
from alignjax.ops.masked import term
from alignjax.types import Batch, Terms

SFT = totals.Objective(1.0, sft.needs, sft.loss)


def rows_loss(stats, batch, *, power):
  """Mean entropyᵖ of each row's first trained token, over rows."""
  return Terms(
    loss={
      "first": term(
        stats["entropy"][:, 0] ** power, batch.completions[:, 0] > 0
      )
    },
    metrics={
      "mean_token_accuracy": term(
        jnp.zeros_like(stats["entropy"]), batch.completions > 0
      )
    },
  )


ROWS = totals.Objective(0.5, ("entropy",), partial(rows_loss, power=2))


def table_stats(params, batch, needs):
  """A model so small that it can be done by hand: logits by last token."""
  logits = jnp.take_along_axis(batch.tokens, batch.where, 1)
  logp = jax.nn.log_softmax(params["table"] * params["scale"])[logits]
  chosen = jnp.take_along_axis(logp, batch.targets[..., None], -1)[..., 0]
  entropy = -(jnp.exp(logp) * logp).sum(-1)
  everything = {"logp": chosen, "entropy": entropy, "correct": chosen * 0}
  return {n: everything[n] for n in needs}


@pytest.fixture(scope="module")
def two_rows():
  """Three trained tokens in the first row, one in the second."""
  return Batch(
    tokens=jnp.array([[0, 1, 0, 1], [1, 0, 0, 0]]),
    positions=jnp.array([[0, 1, 2, 3], [0, 1, 0, 0]]),
    documents=jnp.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
    where=jnp.array([[0, 1, 2], [0, 0, 0]]),
    targets=jnp.array([[1, 0, 1], [0, 0, 0]]),
    completions=jnp.array([[1, 1, 1], [1, 0, 0]]),
    weights=jnp.array([[1.0, 1, 1], [1, 0, 0]]),
  )


def table():
  return {"table": jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))}


def sgd(rate=1.0):
  return optax.scale(-1.0), lambda at: jnp.float32(rate)


def run(stats, objectives, params, frozen, batch, accumulate=1, **options):
  optimizer, schedule = sgd()
  train_step = step.make_train_step(
    stats, objectives, optimizer, schedule, accumulate, **options
  )
  state = step.init(params, frozen, optimizer)
  return state, *jax.jit(train_step)(state, batch)


def test_a_step_by_hand(two_rows):
  frozen = {"scale": jnp.float32(1.0)}
  before, after, metrics = run(
    table_stats, {"main": SFT}, table(), frozen, two_rows
  )
  # After 0: 1 and 1 (½ each). After 1: 0 twice (¼ each).
  nll = (2 * np.log(2) + 2 * np.log(4)) / 4
  np.testing.assert_allclose(metrics["loss"], nll, rtol=1e-6)
  # d nll / d logits = p − onehot, summed and divided by four tokens.
  gradient = np.array([[0.5, -0.5], [0.25 - 1, 0.75]]) * 2 / 4
  moved = before.params["table"] - after.params["table"]
  np.testing.assert_allclose(moved, gradient, atol=1e-6)
  norm = np.sqrt((gradient**2).sum())
  np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-5)
  expected = {"lr": 1.0, "skipped": 0.0, "tokens": 6.0, "main/nll": nll}
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-6)
  assert int(after.step) == 1
  assert all(m.dtype == jnp.float32 and m.shape == () for m in metrics.values())


def test_only_what_is_trained_has_a_gradient_and_moments(two_rows):
  params, frozen = table(), {"scale": jnp.float32(1.0)}
  optimizer = optax.scale_by_adam()
  make = partial(step.make_train_step, table_stats, {"main": SFT}, optimizer)
  train_step = make(lambda at: jnp.float32(1), 1)
  state = step.init(params, frozen, optimizer)
  moments = jax.tree.leaves(state.moments)
  assert sorted(x.shape for x in moments) == [(), (2, 2), (2, 2)]
  after, metrics = jax.jit(train_step)(state, two_rows)
  assert float(after.frozen["scale"]) == 1.0
  assert list(after.params) == ["table"]
  table_alone = run(table_stats, {"main": SFT}, params, frozen, two_rows)[2]
  assert metrics["grad_norm"] == table_alone["grad_norm"]


def test_objectives_are_weighed_and_named(two_rows):
  objectives = {"main": SFT, "calm": ROWS}
  assert totals.needed(objectives) == ("correct", "entropy", "logp")
  weights = totals.weights_of(objectives, two_rows)
  assert weights == {"main": {"nll": 4.0}, "calm": {"first": 2.0}}
  params, frozen = table(), {"scale": jnp.float32(1.0)}
  _, _, metrics = run(table_stats, objectives, params, frozen, two_rows)
  quarter = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
  calm = (np.log(2) ** 2 + quarter**2) / 2
  np.testing.assert_allclose(metrics["calm/first"], calm, rtol=1e-5)
  whole = metrics["main/nll"] + 0.5 * metrics["calm/first"]
  np.testing.assert_allclose(metrics["loss"], whole, rtol=1e-6)
  # Both report an accuracy: the second one under its label.
  assert {"mean_token_accuracy", "calm/mean_token_accuracy"} <= set(metrics)


def test_a_ratio_over_nothing_is_zero():
  found = totals.ratio(term(jnp.full(2, jnp.nan), jnp.zeros(2, bool)))
  assert float(found) == 0.0


def test_microbatches_give_the_gradient_of_one_batch(small, draw, ragged):
  """Two objectives, one over tokens and one over rows, on ragged masks."""
  lm = LM(small.replace(depth=1, windows=(4,)), chunk=4, remat="none")
  params = draw(lm)
  batch = jax.tree.map(jnp.asarray, ragged)
  per_row = (ragged.completions > 0).sum(1)
  assert len(set(per_row)) > 3  # ragged: averages of averages would be wrong
  objectives = {"main": SFT, "calm": ROWS}
  before, whole, metrics = run(lm.stats, objectives, params, {}, batch)
  gradients = jax.tree.map(jnp.subtract, before.params, whole.params)
  largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradients))
  assert largest > 1e-2
  for k in (2, 4, 8):
    _, after, found = run(lm.stats, objectives, params, {}, batch, k)
    for name in metrics:
      np.testing.assert_allclose(
        found[name], metrics[name], rtol=1e-6, err_msg=f"{name}, {k}"
      )
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=0),
      after.params,
      whole.params,
    )


def test_padding_changes_neither_loss_nor_gradient(small, draw, ragged):
  """Tokens, targets and places under the padding are turned to others."""
  lm = LM(small.replace(depth=1, windows=(4,)), chunk=4, remat="none")
  params = draw(lm)
  padding, unused = ragged.documents == 0, ragged.completions == 0
  dirty = ragged._replace(
    tokens=np.where(padding, 17, ragged.tokens),
    targets=np.where(unused, 23, ragged.targets),
    where=np.where(unused, 15, ragged.where),
  )
  optimizer, schedule = sgd()
  args = lm.stats, {"main": SFT, "calm": ROWS}, optimizer, schedule, 1
  train_step = jax.jit(step.make_train_step(*args))
  state = step.init(params, {}, optimizer)
  clean_after, clean = train_step(state, ragged)
  after, found = train_step(state, dirty)
  for name in clean:
    np.testing.assert_allclose(found[name], clean[name], rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    after.params,
    clean_after.params,
  )


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("branch", [False, True])
@pytest.mark.parametrize("cause", ["parameter", "loss", "gradient"])
def test_what_is_not_finite_leaves_the_state_as_it_was(
  two_rows, cause, accumulate, branch
):
  params, frozen = table(), {"scale": jnp.float32(1.0)}
  if cause == "parameter":
    params["table"] = params["table"].at[0, 0].set(jnp.inf)

  def bad(stats, batch):
    terms = sft.loss(stats, batch)
    value = terms.loss["nll"]
    if cause == "loss":
      value = value._replace(sum=value.sum + jnp.nan)
    if cause == "gradient":  # finite, but √0 has an infinite slope
      zero = value.sum - jax.lax.stop_gradient(value.sum)
      value = value._replace(sum=value.sum + jnp.sqrt(zero))
    return terms._replace(loss={"nll": value})

  objectives = {"main": totals.Objective(1.0, sft.needs, bad)}
  before, after, metrics = run(
    table_stats, objectives, params, frozen, two_rows, accumulate, branch=branch
  )
  assert float(metrics["skipped"]) == 1.0
  assert np.isfinite(metrics["loss"]) == (cause == "gradient")
  assert jax.tree.structure(before) == jax.tree.structure(after)
  assert int(after.data) == 1  # the batch is taken all the same
  after = after._replace(data=before.data)
  jax.tree.map(np.testing.assert_array_equal, before, after)


def test_an_eval_step_sums_and_does_not_divide(two_rows):
  params, frozen = optim.split(
    table() | {"scale": jnp.float32(1.0)}, ("scale",)
  )
  state = step.init(params, frozen, optax.sgd(1.0))
  terms = step.make_eval_step(table_stats, {"main": SFT})(state, two_rows)
  nll = terms["main"].loss["nll"]
  np.testing.assert_allclose(nll.sum, 2 * np.log(2) + 2 * np.log(4), rtol=1e-6)
  assert float(nll.weight) == 4.0


def test_a_spike_is_skipped_and_forgotten(two_rows):
  """128 steps at a loss, then one far above it, then the loss again."""
  params, frozen = table(), {"scale": jnp.float32(1.0)}
  optimizer = optax.scale(0.0)

  def loss(stats, batch):
    terms = sft.loss(stats, batch)
    value = terms.loss["nll"]
    return terms._replace(
      loss={"nll": value._replace(sum=value.sum * batch.weights[0, 0])}
    )

  objectives = {"main": totals.Objective(1.0, sft.needs, loss)}
  train_step = jax.jit(
    step.make_train_step(
      table_stats,
      objectives,
      optimizer,
      lambda at: jnp.float32(1),
      1,
      skip_spikes=True,
    )
  )

  def batch(factor):
    weights = two_rows.weights.at[0, 0].set(factor)
    return two_rows._replace(weights=weights)

  state = step.init(params, frozen, optimizer)
  state, metrics = train_step(state, batch(50.0))  # nothing to compare with
  assert float(metrics["skipped"]) == 0
  state = step.init(params, frozen, optimizer)
  for i in range(128):
    state, metrics = train_step(state, batch(1 + 0.1 * (i % 2)))
    assert float(metrics["skipped"]) == 0
  full = state
  state, metrics = train_step(state, batch(50.0))
  assert float(metrics["skipped"]) == 1
  assert (int(state.step), int(state.data)) == (128, 129)
  np.testing.assert_array_equal(state.history, full.history)
  state, metrics = train_step(state, batch(1.05))
  assert float(metrics["skipped"]) == 0 and int(state.step) == 129


def test_keys_are_of_the_batch_and_the_row(two_rows):
  """A row's key is its own, and microbatches keep it."""
  seen = []

  def stats(params, batch, needs, keys):
    draw = jax.vmap(lambda k: jax.random.uniform(k, (3,)))(keys)
    jax.debug.callback(lambda x: seen.append(np.sort(x[:, 0])), draw)
    found = table_stats(params, batch, needs)
    return found | {"correct": jax.lax.stop_gradient(draw)}

  params, frozen = table(), {"scale": jnp.float32(1.0)}
  found = []
  for k in (1, 2):
    args = stats, {"main": SFT}, params, frozen, two_rows, k
    _, after, metrics = run(*args, seed=3)
    found.append(float(metrics["mean_token_accuracy"]))
  np.testing.assert_allclose(*found, rtol=1e-6)
  jax.effects_barrier()
  rows = np.concatenate([x for x in seen if len(x) == 1])
  assert set(rows) == set(next(x for x in seen if len(x) == 2))
  other = run(stats, {"main": SFT}, params, frozen, two_rows, seed=4)[2]
  assert float(other["mean_token_accuracy"]) != found[0]
  optimizer, schedule = sgd()
  train_step = step.make_train_step(
    stats, {"main": SFT}, optimizer, schedule, 1, seed=3
  )
  state = step.init(params, frozen, optimizer)
  _, metrics = train_step(state._replace(data=jnp.int32(1)), two_rows)
  assert float(metrics["mean_token_accuracy"]) != found[0]


def test_a_branch_and_a_choice_update_alike(two_rows):
  objectives = {"main": SFT}
  given = (
    table_stats,
    objectives,
    table(),
    {"scale": jnp.float32(1.0)},
    two_rows,
  )
  found = [run(*given, branch=branch)[1:] for branch in (False, True)]
  jax.tree.map(np.testing.assert_array_equal, *found)
