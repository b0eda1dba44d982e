"""Pairs on a mesh, in microbatches: the losses and weights of one device."""

import json

import jax
import numpy as np
import pytest

from alignjax import build, optim
from alignjax.train import Run
from configs import dpo

STEPS = 3


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  file = tmp_path_factory.mktemp("rows") / "pairs.jsonl"
  rows = [
    {"prompt": f"{i}?", "chosen": "yes" * (i % 4 + 1), "rejected": f"no {i}"}
    for i in range(11)
  ]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


def trained(pairs, folder, mesh, accumulate):
  """(metrics of each step, parameters) of DPO and an anchor, prompts shared."""
  config = dpo.get_config("tiny")
  config.loss.anchor = dict(name="sft", kind="chosen", weight=0.2)
  values = {
    "mesh": mesh,
    "train.accumulate": accumulate,
    "data.layout": "shared",
    "data.train.path": pairs,
    "data.train.limit": 0,
    "data.eval.path": "",
    "data.max_length": 64,
    "optim.warmup": 1,
    "model.chunk": 16,
  }
  config.update_from_flattened_dict(values)
  place = build.placement(config)
  model = build.model(config, place)
  objectives = build.objectives(config)
  run = Run(config, place, model.lm, objectives)
  data = build.data(config, model.tokenizer, model.lm.config, place)
  data = build.with_reference(
    data, config, place, model.lm, model.params, folder
  )
  state = run.init(*optim.split(model.params, config.optim.frozen))
  found = []
  for step in range(STEPS):
    state, metrics = run.train_step(state, run.put(data.train, step))
    found.append({k: float(v) for k, v in metrics.items()})
  return found, jax.device_get(state.params)


def test_a_mesh_and_microbatches_are_one_device(pairs, tmp_path):
  alone, expected = trained(pairs, tmp_path / "one", (1, 1, 1), 1)
  found, params = trained(pairs, tmp_path / "eight", (2, 2, 2), 2)
  for a, b in zip(alone, found):
    assert a.keys() == b.keys()
    # Rounding decides who is right where policy and reference are equal.
    for name in a.keys() - {"rewards/accuracies"}:
      np.testing.assert_allclose(b[name], a[name], 1e-3, 2e-5, err_msg=name)
    assert abs(a["loss"] - b["loss"]) < 2e-5
  assert alone[0]["main/sigmoid"] == pytest.approx(np.log(2), rel=1e-5)
  assert alone[-1]["rewards/margins"] > 0.01
  gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), expected, params)
  assert max(jax.tree.leaves(gaps)) < 2e-4
