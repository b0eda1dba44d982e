"""A reference that moves: its weights, what it says, and runs that resume."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import Compilations
from test_step_whole import KTO, judged, table_stats

from alignjax import build, step
from alignjax.annotate import make_annotator, with_fields
from alignjax.train import Run
from configs import dpo

OBJECTIVES = {"main": build.objective("main", KTO)}
OPTIMIZER = optax.scale(-1.0)
ASK = make_annotator(table_stats, ("logp",))
START = {"logp": -jnp.linspace(0.5, 1.5, 8)}
BEHIND = {"logp": -jnp.linspace(1.0, 4.5, 8)}


def refer(state, batch):
  return with_fields(batch, ASK(state.reference, batch), "reference")


@functools.cache
def compiled(moving, accumulate, annotate):
  train_step = step.make_train_step(
    table_stats,
    OBJECTIVES,
    OPTIMIZER,
    lambda at: jnp.float32(1),
    accumulate,
    annotate=annotate,
    moving=moving,
  )
  return jax.jit(train_step)


def run(moving, batches, accumulate=1, annotate=refer, reference=None):
  """The states after each batch, and the last metrics.

  reference: where it is first, if not at the start.
  """
  train_step = compiled(moving, accumulate, annotate)
  state, seen = step.init(START, {}, OPTIMIZER, refers=moving is not None), []
  if reference is not None:
    state = state._replace(reference=reference)
  for batch in batches:
    state, metrics = train_step(state, batch)
    seen.append(state)
  return seen, metrics


def tables(states, name):
  return [np.asarray(getattr(state, name)["logp"]) for state in states]


def test_it_moves_by_hand_and_not_in_a_step_that_is_skipped():
  bad = judged()._replace(weights=jnp.full((4, 2), jnp.nan))
  batches = [judged(), judged(), bad, judged(), judged(), bad]
  states, _ = run(step.Moving(2, 0.25), batches)
  assert [int(s.step) for s in states] == [1, 2, 2, 3, 4, 4]
  one, two, three, four, five, six = tables(states, "reference")
  theta = tables(states, "params")
  assert np.abs(theta[1] - START["logp"]).max() > 0.01
  np.testing.assert_array_equal(one, START["logp"])
  np.testing.assert_allclose(two, 0.25 * theta[1] + 0.75 * one, rtol=1e-6)
  np.testing.assert_array_equal(three, two)
  np.testing.assert_array_equal(four, two)
  np.testing.assert_allclose(five, 0.25 * theta[4] + 0.75 * two, rtol=1e-6)
  np.testing.assert_array_equal(six, five)
  # α = 1 takes the weights as they are.
  states, _ = run(step.Moving(1, 1.0), [judged()] * 2)
  for pair in zip(tables(states, "reference"), tables(states, "params")):
    np.testing.assert_array_equal(*pair)


def test_one_that_has_not_moved_yet_is_the_one_made_before():
  known = with_fields(judged(), ASK(BEHIND, judged()), "reference")
  moving, batches = step.Moving(100, 0.6), [judged()] * 3
  late, found = run(moving, batches, reference=BEHIND)
  made, expected = run(None, [known] * 3, annotate=step.as_it_is)
  assert late[-1].params["logp"].shape == (8,) and made[-1].reference == {}
  np.testing.assert_allclose(
    tables(late, "params"), tables(made, "params"), rtol=1e-6
  )
  for name in expected:
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
  soon, _ = run(step.Moving(1, 0.5), batches, reference=BEHIND)
  gap = soon[-1].params["logp"] - late[-1].params["logp"]
  assert float(jnp.abs(gap).max()) > 1e-3


def test_parts_give_what_the_whole_batch_gives():
  """With what KTO must know of all parts first."""
  moving, batches = step.Moving(1, 0.5), [judged()] * 3
  whole, expected = run(moving, batches, reference=BEHIND)
  assert float(expected["kl"]) > 0.1
  parts, found = run(moving, batches, 4, reference=BEHIND)
  for name in ("params", "reference"):
    np.testing.assert_allclose(
      tables(parts, name), tables(whole, name), rtol=1e-6
    )
  for name in expected:
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_an_evaluation_asks_the_reference_of_its_state():
  states, _ = run(step.Moving(1, 0.5), [judged()] * 2)
  look = step.make_eval_step(table_stats, OBJECTIVES, refer)
  found = look(states[-1], judged())["main"]
  known = with_fields(
    judged(), ASK(states[-1].reference, judged()), "reference"
  )
  plain = step.make_eval_step(table_stats, OBJECTIVES)
  expected = plain(states[-1], known)["main"]
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def config_of(*words, **values):
  config = dpo.get_config(",".join(("tiny", *words)))
  config.update_from_flattened_dict(
    {k.replace("__", "."): v for k, v in values.items()}
  )
  return config.lock()


def moving_of(config):
  return build.moving(config, build.objectives(config))


def test_a_config_says_how_it_moves():
  assert moving_of(config_of()) is None
  assert moving_of(config_of("moving")) == (8, 0.6)
  assert moving_of(config_of("moving", "lora")) == (8, 1.0)
  assert moving_of(dpo.get_config("moving")) == (512, 0.6)


@pytest.mark.parametrize(
  "words, values, said",
  [
    (
      (),
      dict(reference__alpha=0.0),
      r"alpha = 0.0; every .* alpha in \(0, 1\]",
    ),
    (("moving",), dict(reference__alpha=1.5), "alpha = 1.5"),
    ((), dict(reference__every=-1), "every = -1"),
    (("moving",), dict(reference__path="x"), "starts as the model"),
    (("moving",), dict(loss__main__reference_free=True), "no loss reads"),
    (
      ("moving", "lora"),
      dict(reference__alpha=0.6),
      "product of mean factors .*alpha=1",
    ),
  ],
)
def test_what_has_no_meaning_or_effect_is_refused(words, values, said):
  with pytest.raises(ValueError, match=f"(?s){said}") as error:
    moving_of(config_of(*words, **values))
  assert len(str(error.value).splitlines()) <= 5


def test_it_lies_as_the_weights_do():
  config = config_of("moving", mesh=(2, 2, 2))
  place = build.placement(config)
  lm, _ = build.outline(config, place)
  where = Run(config, place, lm, build.objectives(config)).shardings
  assert where.reference == where.params
  assert not where.reference["embed"].is_fully_replicated


def test_a_stopped_run_goes_on_bitwise(tmp_path, draw):
  """After a step in which the reference did not move; beside a teacher, whose
  divergence is a second loss."""
  config = config_of(
    "moving",
    mesh=(1, 1, 1),
    model__remat="none",
    train__accumulate=2,
    reference__every=2,
    data__max_length=64,
    data__eval__path="",
    checkpoint__folder=str(tmp_path / "saved"),
  )
  with config.unlocked():
    config.loss.drawn = dict(name="distill", weight=1.0)
    config.teacher.preset = "tiny"
  place, objectives = build.placement(config), build.objectives(config)
  lm, tokenizer = build.outline(config, place)
  lm = build.taught(lm, config, place, tokenizer, objectives)
  data = build.data(config, tokenizer, lm.config, place)
  made = Run(config, place, lm, objectives)

  def fresh():
    weights = draw(lm), {"teacher": draw(lm.teacher.lm, seed=1)}
    laid = made.shardings.params, made.shardings.frozen
    return made.init(*jax.device_put(weights, laid))

  def go(state, first, last):
    for i in range(first, last):
      state, metrics = made.train_step(state, made.put(data.train, i))
    return state, metrics

  saved = build.checkpoints(config, tmp_path, print)
  with Compilations() as seen, contextlib.closing(saved):
    whole, expected = go(fresh(), 0, 5)
    stopped, _ = go(fresh(), 0, 3)
    saved.save(3, stopped, {})
    saved.wait()
    other, found = go(saved.restore(3, fresh()), 3, 5)
  jax.tree.map(np.testing.assert_array_equal, whole, other)
  assert found == expected and float(found["rewards/margins"]) != 0
  gap = whole.params["embed"] - whole.reference["embed"]
  assert float(jnp.abs(gap).max()) > 0
  assert seen.counts()["train_step"] == 1
