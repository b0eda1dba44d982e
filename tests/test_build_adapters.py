"""A run's adapters on disk, and back onto the base they are of."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alignjax import build, cli, optim, pretrained, step
from alignjax.checkpoint import Checkpoints
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models import lora
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.sharding import Placement, make_mesh
from configs import reward


@pytest.fixture(scope="module")
def run(tmp_path_factory, draw):
  """(folder of a run of a reward model with adapters, its parameters)."""
  folder = tmp_path_factory.mktemp("run")
  small = preset("tiny").replace(width=16, depth=2, hidden=24, windows=())
  base = LM(small.replace(heads=2, kv_heads=1, head_size=8))
  pretrained.export(folder / "base", base, draw(base), byte_tokenizer())
  config = reward.get_config("tiny,lora")
  config.model.path, config.model.preset = str(folder / "base"), ""
  config.mesh, config.lora.rank = (1, 1, 1), 2
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  place = build.placement(config)
  lm, _ = build.outline(config, place)
  params = draw(lm, 1) | {k: x for k, x in draw(base).items() if k != "head"}
  params = jax.tree.map(jnp.asarray, params)
  state = step.init(*optim.split(params, config.optim.frozen), optax.trace(0.9))
  saved = Checkpoints(
    folder / "checkpoints", keep=1, keep_every=0, on_error="stop", say=print
  )
  saved.save(3, state, {})
  saved.close()
  return folder, lm, params


def change(folder, to, **values):
  """A run without checkpoints whose config says something else."""
  config = json.loads((folder / "config.json").read_text())
  for key, value in values.items():
    block, _, name = key.partition("__")
    config[block][name] = value
  to.mkdir()
  (to / "config.json").write_text(json.dumps(config))
  return to


def test_an_adapter_alone_is_exported(run, tmp_path, capsys):
  folder, lm, params = run
  out = tmp_path / "adapter"
  argv = ["export", "--workdir", str(folder), "--out", str(out)]
  assert cli.main([*argv, "--adapter-only"]) == 0, capsys.readouterr().err
  settings = json.loads((out / "adapter_config.json").read_text())
  assert settings["base_model_name_or_path"] == str(folder / "base")
  assert settings["modules_to_save"] == ["score"] and settings["r"] == 2
  assert sorted(f.name for f in out.iterdir()) == [
    "adapter_config.json",
    "adapter_model.safetensors",
  ]
  # With its base it is the model of the run.
  back, whole, _ = pretrained.load(folder / "base", adapter=out)
  assert back.config == lm.config and back.lora is None
  merged = lora.merge(params, lm.lora)
  np.testing.assert_array_equal(whole["score_head"], params["score_head"])
  jax.tree.map(np.testing.assert_array_equal, whole["layers"], merged["layers"])
  # On a mesh too, where each parameter lies by its rule.
  rules = reward.get_config().sharding.params
  place = Placement(make_mesh((2, 2, 1)), rules, {})
  _, laid, _ = pretrained.load(folder / "base", adapter=out, place=place.param)
  same = jax.tree.map(lambda x, s: x.sharding == s, laid, place.tree(laid))
  assert jax.tree.all(same)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
    laid,
    whole,
  )
  # And so it is, written as one folder.
  one = str(tmp_path / "whole")
  argv = ["export", "--model", str(folder / "base"), "--adapter", str(out)]
  assert cli.main([*argv, "--out", one]) == 0, capsys.readouterr().err
  _, same, _ = pretrained.load(one)
  jax.tree.map(np.testing.assert_array_equal, same, whole)


@pytest.mark.parametrize(
  "values, words",
  [
    (dict(lora__rank=0), "trained no adapters (lora.rank = 0)"),
    (dict(model__path="", model__preset="tiny"), "are of random weights"),
    (dict(optim__frozen=["embed"]), "trained final_norm, layers; an adapter"),
    (dict(model__adapter="a"), "its base is"),
    ({}, "holds no checkpoint yet"),
  ],
)
def test_runs_without_an_adapter_alone(run, tmp_path, capsys, values, words):
  folder = change(run[0], tmp_path / "run", **values)
  argv = ["export", "--workdir", str(folder), "--out", str(tmp_path / "out")]
  assert cli.main([*argv, "--adapter-only"]) == 1
  err = capsys.readouterr().err
  assert words in err and len(err.splitlines()) <= 5
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "argv, words",
  [
    (["--workdir=x", "--adapter=y"], "--adapter FOLDER is merged into --model"),
    (["--model=x", "--adapter-only"], "of a run, float32; --model has no"),
    (
      ["--workdir=x", "--adapter-only", "--dtype=bfloat16"],
      "--dtype bfloat16 has no effect",
    ),
    (["--workdir=x", "--adapter-only"], "x is not a run"),
  ],
)
def test_options_that_contradict_each_other(argv, words, capsys):
  assert cli.main(["export", "--out=out", *argv]) == 1
  assert words in capsys.readouterr().err


def test_a_run_begins_with_an_adapter(run, tmp_path, capsys):
  """Merged into the base, which is then trained, with adapters of its own."""
  folder, lm, _ = run
  out = tmp_path / "adapter"
  argv = ["export", "--workdir", str(folder), "--out", str(out)]
  assert cli.main([*argv, "--adapter-only"]) == 0, capsys.readouterr().err
  config = reward.get_config("tiny,lora")
  config.model.path, config.model.preset = str(folder / "base"), ""
  config.model.adapter, config.mesh = str(out), (1, 1, 1)
  place = build.placement(config)
  lm, _ = build.outline(config, place)
  found = build.weights(config, place, lm)
  _, whole, _ = pretrained.load(folder / "base", adapter=out)
  assert "lora" in found
  for name, x in whole.items():
    jax.tree.map(np.testing.assert_array_equal, found[name], x)
  config.model.path, config.model.preset = "", "tiny"
  with pytest.raises(ValueError, match="model.adapter = .* has no effect"):
    build.outline(config, place)


def test_training_leaves_a_calibration_out(tmp_path, draw):
  small = preset("tiny").replace(width=16, depth=1, hidden=24, windows=())
  small = small.replace(heads=2, kv_heads=1, head_size=8, scores=1)
  base = LM(small.replace(score_mean=(1.0,), score_std=(2.0,)))
  pretrained.export(tmp_path, base, draw(base), byte_tokenizer())
  config = reward.get_config("tiny")
  config.model.path, config.model.preset = str(tmp_path), ""
  config.mesh = (1, 1, 1)
  with pytest.warns(UserWarning, match="Calibrate what comes out"):
    lm, _ = build.outline(config, build.placement(config))
  assert lm.config == small
