"""Rollouts as a source of batches: prompts, order, and runs that go on."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import build
from alignjax.experience import adaptive
from alignjax.rollout import Plan, order
from alignjax.train import Run, Stopped, train
from alignjax.train.signals import Signals
from configs import grpo, ppo


def small(module, **changes):
  config = module.get_config("tiny")
  config.mesh, config.data.train.limit = (1, 1, 1), 16
  config.data.eval.limit, config.sample.count = 3, 0
  config.sample.every, config.log.tensorboard = 0, False
  config.train.batch, config.rollout.max_tokens = 8, 6
  config.train.steps = config.train.eval_every = 4
  config.checkpoint.every, config.optim.lr = 4, 1e-3
  config.optim.warmup = 0
  for key, value in changes.items():
    block, _, name = key.partition("__")
    config[block][name] = value
  return config


def test_an_epoch_takes_every_completion_once():
  plan = Plan(batch=4, minibatches=3, epochs=2, samples=2)
  assert (plan.rows, plan.updates) == (12, 6)
  found = order(plan, 7, 1)
  assert found.shape == (6, 4)
  for epoch in (found[:3], found[3:]):
    assert sorted(epoch.ravel()) == list(range(12))
  assert (found[:3] != found[3:]).any()
  np.testing.assert_array_equal(found, order(plan, 7, 1))
  assert (found != order(plan, 7, 2)).any()


def test_the_coefficient_is_steered_by_at_most_a_fifth():
  control = adaptive(target=2.0, horizon=100.0, rows=10)
  for kl, factor in ((2.0, 1.0), (2.2, 1.01), (8.0, 1.02), (0.0, 0.98)):
    found = float(control(jnp.float32(0.5), jnp.float32(kl)))
    assert found == pytest.approx(0.5 * factor, rel=1e-5)
  assert float(adaptive(target=0.0, horizon=1.0, rows=9)(jnp.ones(()), 9)) == 1


@pytest.fixture(scope="module")
def rolled(tmp_path_factory):
  config = small(grpo, rollout__samples=4, rollout__minibatches=2)
  objectives = build.objectives(config)
  place = build.placement(config)
  model = build.model(config, place)
  run = Run(config, place, model.lm, objectives)
  data = run.data(model.tokenizer, tmp_path_factory.mktemp("data"))
  state = run.init(model.params, {})
  return run, data, state


def test_samples_of_a_prompt_stand_together_and_differ(rolled):
  _, data, state = rolled
  state, batch, told = data.train(state, 0)
  assert len(told.table) == 16 and batch.tokens.shape[0] == 8
  prompts = [row["prompt"] for row in told.table]
  for i in range(0, 16, 4):
    assert len(set(prompts[i : i + 4])) == 1
    assert len({row["completion"] for row in told.table[i : i + 4]}) > 1
  assert len(set(prompts)) == 4
  assert told.metrics["rollout/logp_gap"] < 1e-5
  assert told.metrics["objective/kl"] == pytest.approx(0, abs=1e-5)
  asked = {data.train.questions[i].origin for i in data.train.indices(0)}
  assert set(data.train.origins(0)) | set(data.train.origins(1)) == asked
  assert data.train.epochs(4) == {"epoch": 8 / 16}


def test_a_rollout_is_a_function_of_seed_number_and_weights(rolled):
  _, data, state = rolled
  tables = [data.train(state, step)[2].table for step in (0, 0, 2)]
  assert tables[0] == tables[1] != tables[2]


def test_held_out_prompts_are_counted_once(rolled):
  _, data, state = rolled
  found = data.heldout.evaluate(state)
  told = data.heldout(state, 0)[2].table[: len(data.heldout.questions)]
  assert len(told) == 3
  scores = [row["score"] for row in told]
  assert found["objective/scores"] == pytest.approx(np.mean(scores))


def test_the_inside_of_a_rollout_cannot_be_begun_with(rolled, tmp_path):
  run, _, state = rolled
  source = run.data(build.models.tokenizer(run.config), tmp_path).train
  with pytest.raises(ValueError, match="inside of a rollout"):
    source(state, 1)


def test_a_run_goes_on_bitwise(tmp_path):
  """PPO, two epochs of two minibatches; critic, moments and the coefficient."""
  changes = dict(
    rollout__epochs=2, rollout__minibatches=2, rollout__kl_target=0.5
  )
  whole = small(ppo, **changes)
  whole.train.steps, whole.rollout.kl_horizon = 8, 20.0
  train(whole, tmp_path / "whole")
  parts = small(ppo, **changes)
  parts.train.steps, parts.rollout.kl_horizon = 8, 20.0
  shutil.copytree(tmp_path / "whole", tmp_path / "parts")
  # As a kill after the first rollout leaves it.
  shutil.rmtree(tmp_path / "parts" / "checkpoints" / "8")
  train(parts, tmp_path / "parts")

  def lines(name):
    text = (tmp_path / name / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    times = ("step_s", "wall_s", "tokens_per_s")
    return [{k: v for k, v in r.items() if k not in times} for r in rows]

  assert lines("parts") == lines("whole")
  found = lines("whole")
  assert [r["step"] for r in found] == list(range(1, 9))
  assert found[0]["val/ratio_gap"] < 1e-5
  assert found[4]["val/ratio_gap"] < 1e-5  # a new rollout
  assert found[3]["val/ratio_gap"] > 1e-5
  assert found[4]["objective/kl_coef"] != found[0]["objective/kl_coef"]


def test_a_run_stops_between_rollouts(tmp_path, monkeypatch):
  """Nobody asks inside of one, of four steps."""
  config = small(ppo, rollout__epochs=4)
  config.train.steps = 8
  asked = iter([False, True])
  monkeypatch.setattr(Signals, "agreed", lambda self: next(asked))
  with pytest.raises(Stopped) as stopped:
    train(config, tmp_path)
  assert stopped.value.step == 4
  assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"]


@pytest.mark.parametrize(
  "changes, words",
  [
    (dict(rollout__samples=3), "no whole groups of rollout.samples = 3"),
    (dict(rollout__epochs=3), "train.steps = 4 is no multiple of the 3 steps"),
    (dict(rollout__epochs=0), "rollout.epochs = 0; it must be at least 1"),
  ],
)
def test_plans_that_do_not_come_out(changes, words):
  with pytest.raises(ValueError, match=words):
    build.rollouts.plan(small(ppo, **changes))


def test_completions_wait_for_slots(rolled, tmp_path):
  """Of held-out prompts there are fewer than slots."""
  run, data, state = rolled
  run.config.rollout.slots = 5
  again = run.data(build.models.tokenizer(run.config), tmp_path)
  run.config.rollout.slots = 0
  for kind in ("train", "heldout"):
    one, other = (getattr(d, kind)(state, 0)[2] for d in (data, again))
    drop = lambda told: [  # noqa: E731
      {k: v for k, v in row.items() if k != "kl"} for row in told.table
    ]
    assert drop(one) == drop(other)


@pytest.mark.parametrize(
  "slots, mesh, words",
  [
    (-1, (1, 1, 1), "-1; it must be a multiple of 1, .*\n.* the 8 completions"),
    (9, (1, 1, 1), "9; it must be a multiple of 1, .*\n.* the 8 completions"),
    (6, (2, 2, 2), "6; it must be a multiple of 4, over which"),
  ],
)
def test_slots_that_cannot_be(slots, mesh, words):
  config = small(ppo, rollout__slots=slots)
  config.mesh = mesh
  with pytest.raises(ValueError, match=f"rollout.slots = {words}"):
    build.rollouts.slots(config, build.placement(config))
