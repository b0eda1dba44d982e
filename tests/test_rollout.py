"""Rollouts as a source of batches: prompts, order, and runs that go on."""

import itertools
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_rollouts import small

from alignjax import build
from alignjax.build.questions import questions
from alignjax.data.templates import load_template
from alignjax.experience import adaptive
from alignjax.rollout import Plan, order
from alignjax.train import Run, Stopped, train
from alignjax.train.signals import Signals
from configs import grpo, online_dpo, ppo


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
  found = data.heldout.answer(state, lambda: False)
  assert len(found.table) == 3
  scores = [row["score"] for row in found.table]
  assert found.metrics["objective/scores"] == pytest.approx(np.mean(scores))
  assert data.heldout.answer(state, lambda: True) is None


def test_more_held_out_prompts_than_a_rollout_has_room_for(rolled):
  """16 questions to the training rollouts' four, each four times."""
  _, data, state = rolled
  found = data.train.answer(state, lambda: False)
  prompts = [row["prompt"] for row in found.table]
  assert len(prompts) == 64
  asked = sorted(q.messages[-1]["content"] for q in data.train.questions)
  assert sorted(prompts) == sorted(asked * 4)


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
  # Before the evaluation, and after it.
  asked = itertools.chain([False, False], itertools.repeat(True))
  monkeypatch.setattr(Signals, "agreed", lambda self: next(asked))
  with pytest.raises(Stopped) as stopped:
    train(config, tmp_path)
  assert stopped.value.step == 4
  assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"]


def metrics_of(folder):
  lines = (folder / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_a_rollout_is_left_when_the_policy_has_moved(tmp_path):
  """The second update moves it too far; the third and fourth are left out."""
  config = small(ppo, rollout__epochs=4, rollout__kl_stop=1e-6)
  config.train.steps, config.optim.lr = 8, 1e-2
  train(config, tmp_path)
  assert [row["step"] for row in metrics_of(tmp_path)] == [1, 2, 5, 6]
  events = [
    json.loads(line)
    for line in (tmp_path / "events.jsonl").read_text().splitlines()
  ]
  passed = [e for e in events if e["kind"] == "kl_stop"]
  assert [e["step"] for e in passed] == [3, 7]
  assert all(e["policy/approxkl_avg"] > 1e-6 for e in passed)
  assert all(e["passed"] == 2 for e in passed)
  names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
  assert names == ["4", "8"]


def test_a_critic_may_go_first(tmp_path):
  """One rollout of two updates; then the policy moves too."""
  config = small(ppo, rollout__epochs=2, critic__warmup=1)
  train(config, tmp_path)
  rows = metrics_of(tmp_path)
  gaps = [row["val/ratio_gap"] for row in rows]
  assert max(gaps[:3]) < 1e-5 < gaps[3]
  assert rows[2]["objective/kl"] == pytest.approx(0, abs=1e-4)
  assert rows[1]["value/value"] != rows[0]["value/value"]


def test_other_rows_are_trained_beside(tmp_path):
  config = small(ppo, "ptx", rollout__epochs=2)
  config.rollout.mix.batch = 4
  train(config, tmp_path)
  rows = metrics_of(tmp_path)
  assert rows[0]["ptx/nll"] == pytest.approx(5.5, abs=0.5)  # log 264
  assert rows[-1]["ptx/nll"] < rows[0]["ptx/nll"]
  assert rows[0]["val/ratio_gap"] < 1e-5 < rows[1]["val/ratio_gap"]
  assert rows[0]["loss"] == pytest.approx(
    rows[0]["policy/policy"]
    + 0.1 * rows[0]["value/value"]
    + 0.5 * rows[0]["ptx/nll"],
    abs=1e-5,
  )


def test_pairs_are_sampled_and_learnt(tmp_path):
  config = small(online_dpo)
  train(config, tmp_path)
  rows = metrics_of(tmp_path)
  assert len(rows) == 4
  assert rows[0]["loss"] == pytest.approx(np.log(2), abs=1e-4)
  assert rows[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
  assert rows[-1]["objective/kl"] > rows[0]["objective/kl"]


def test_the_mean_length_is_told_against_that_of_the_first_rollout(rolled):
  _, data, state = rolled
  after, _, told = data.train(state, 0)
  assert told.metrics["rollout/length_change"] == 1
  assert float(after.control["length"]) == pytest.approx(
    told.metrics["completions/mean_length"]
  )
  known = after._replace(control=after.control | {"length": jnp.float32(3)})
  _, _, told = data.train(known, 2)
  assert told.metrics["rollout/length_change"] == pytest.approx(
    told.metrics["completions/mean_length"] / 3
  )


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


def test_rows_may_have_a_prompt_alone(tmp_path):
  file = tmp_path / "prompts.jsonl"
  rows = [{"prompt": f"Say {k} in a word.", "solution": k} for k in range(8)]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  config = small(grpo)
  config.data.train.path = config.data.eval.path = str(file)
  place = build.placement(config)
  lm, tokenizer = build.outline(config, place)
  template = load_template(None, tokenizer)
  found, line = questions(
    config, config.data.train, "data.train", tokenizer, template, lm.config
  )
  assert "8 prompts" in line
  assert found[0].row == {"solution": 0}
  assert found[0].messages == ({"role": "user", "content": "Say 0 in a word."},)
