"""Rollouts that mean nothing are refused: value, rule, remedy."""

import pytest
from tiny_rollouts import small

from alignjax import build
from alignjax.train import train
from configs import common, grpo, online_dpo, ppo

NONE = common.source("", "")


@pytest.mark.parametrize(
  "module, changes, words",
  [
    (ppo, dict(rollout__kl_stop=-1.0), "kl_stop = -1.0; it must be 0"),
    (ppo, dict(critic__warmup=-1), "critic.warmup = -1 rollouts"),
    (ppo, dict(reference__path="x"), "reference.path = 'x' has no effect"),
    (ppo, dict(rollout__temperature=0.0), "a greedy answer explores nothing"),
    (ppo, dict(train__batch=6, train__accumulate=4), "Use a multiple of 4"),
    (ppo, dict(train__batch=800), "A rollout asks 800 prompts, and there are"),
    (online_dpo, dict(rollout__samples=1), "a pair needs two completions"),
    (online_dpo, dict(rollout__advantage=dict(name="gae")), "pairs are ranked"),
    (grpo, dict(rollout__samples=1), "samples = 1: 1 scores in groups of 1: a"),
    (
      grpo,
      dict(rollout__advantage=dict(name="group", scale="std")),
      "scale = 'std' is unknown; one of group, none",
    ),
    (grpo, dict(rollout__pairs=True), "cannot be taken of pairs of them"),
    (
      online_dpo,
      dict(rollout__pairs=False),
      "cannot be taken of completions that were sampled",
    ),
    (ppo, dict(rollout__mix=dict(batch=2, data=NONE)), "Give both, or neither"),
    (
      ppo,
      dict(loss__ptx=dict(name="sft", weight=1.0, rows="mixed")),
      "or mixed where rollout.mix gives rows",
    ),
    (
      ppo,
      dict(loss__ptx=dict(name="sft", weight=1.0, rows="all")),
      "loss.ptx.rows = 'all'; it must be sampled, or mixed",
    ),
  ],
)
def test_rollouts_that_mean_nothing(module, changes, words, tmp_path):
  config = small(module)
  for key, value in changes.items():
    block, _, name = key.partition("__")
    config[block][name] = value
  with pytest.raises(ValueError, match=words):
    train(config, tmp_path)


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
