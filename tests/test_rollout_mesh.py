"""Rollouts on a mesh of eight devices are those of one; adapters too."""

import json

import jax
import numpy as np
import pytest

from alignjax import build
from alignjax.train import train
from configs import grpo, online_dpo, ppo


def letters(prompts, completions, rows):
  """A reward that tells answers apart."""
  return [float(sum(c.isascii() for c in text)) for text in completions]


CLOCKS = ("step_s", "wall_s", "tokens_per_s")


def experiment(module, words, mesh, **rollout):
  config = module.get_config(",".join(("tiny", *words)))
  config.mesh, config.data.train.limit = mesh, 16
  config.data.eval.limit, config.sample.count = 8, 0
  config.data.max_length = 256
  config.sample.every, config.log.tensorboard = 0, False
  config.train.batch, config.optim.lr = 8, 1e-3
  if module is grpo:
    # Where all answers score the same, a gradient is rounding, and Adam's first
    # steps go by its sign.
    config.reward = dict(task=dict(name=f"{__name__}.letters", weight=0.1))
    config.optim.lr = 1e-4
  config.rollout.update(max_tokens=6, **rollout)
  config.train.steps = config.train.eval_every = 4
  config.checkpoint.every, config.optim.warmup = 4, 0
  config.model.chunk = 8
  return config


def run(folder, *arguments, **options):
  """(rows of metrics, completions, parameters) of a run."""
  train(experiment(*arguments, **options), folder)
  rows, samples = (
    [json.loads(x) for x in (folder / f"{name}.jsonl").read_text().splitlines()]
    for name in ("metrics", "samples")
  )
  rows = [{k: v for k, v in r.items() if k not in CLOCKS} for r in rows]
  texts = [r["completion"] for r in samples if r["name"] == "rollouts"]
  return rows, texts, build.trained(folder).params


CASES = {
  "ppo": (ppo, (), dict(epochs=2, kl_target=0.5)),
  "ppo-lora-ptx": (ppo, ("lora", "ptx"), dict(epochs=2)),
  "grpo": (grpo, (), dict(samples=4, minibatches=2)),
  "online_dpo": (online_dpo, (), dict(samples=2)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mesh_changes_no_sample(tmp_path, name):
  module, words, options = CASES[name]
  one, texts, params = run(
    tmp_path / "one", module, words, (1, 1, 1), **options
  )
  assert all(np.isfinite(r["loss"]) for r in one) and len(one) == 4
  moved = jax.tree.map(lambda x: float(np.abs(x).max()), params)
  assert max(jax.tree.leaves(moved)) > 0
  found, same, _ = run(tmp_path / "all", module, words, (2, 2, 2), **options)
  assert same == texts
  for row, other in zip(found, one):
    assert row.keys() == other.keys()
    for key, x in row.items():
      np.testing.assert_allclose(x, other[key], rtol=2e-3, atol=2e-5)
