"""Every experiment is built and stepped once at its tiny size."""

import importlib
import json
import math
from pathlib import Path

import commands
import jax
import pytest

from alignjax import build, cli, optim
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.train import Run
from configs import common

FOLDER = Path(common.__file__).parent
EVERY = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "common")
# Configs that train nothing: they ask a model, or have it write rows.
WRITE = {
  "self_instruct": {"method.seeds": commands.seeds},
  "guideline": {"method.guideline": commands.guideline},
  "best_of": {},
  "ai_feedback": {},
}
NAMES = [name for name in EVERY if name not in ("evaluate", *WRITE)]


def get(name, words):
  config = importlib.import_module(f"configs.{name}").get_config(words)
  return config.lock()


def test_there_are_configs():
  assert {"sft", "quickstart"} <= set(NAMES)


@pytest.mark.parametrize(
  "name, words", [*((name, "tiny") for name in NAMES), ("dpo", "tiny,moving")]
)
def test_a_config_takes_a_step(name, words, tmp_path):
  config = get(name, words)
  config.mesh = (1, 1, 1)
  place = build.placement(config)
  model = build.model(config, place)
  objectives = build.objectives(config)
  lm = build.taught(model.lm, config, place, model.tokenizer, objectives)
  run = Run(config, place, lm, objectives)
  data = run.data(model.tokenizer, tmp_path)
  if run.asks_before and build.reads_reference(objectives):
    data = build.with_reference(data, config, place, lm, model.params, tmp_path)
  trained, frozen = optim.split(model.params, config.optim.frozen)
  frozen |= build.teacher_weights(lm, config, place, data)
  state = run.init(trained, frozen)
  prompts = build.prompts(config, model.tokenizer, data.template)
  assert bool(prompts) == bool(config.sample.count)
  state, batch, told = run.feed(data.train)(state, 0)
  state, metrics = run.train_step(state, batch)
  assert int(state.step) == 1 and float(metrics["skipped"]) == 0
  assert (told is not None) == bool(config.rollout)
  if told is not None:  # nothing is right yet, and nothing was to be expected
    assert told.metrics["rollout/logp_gap"] < 1e-5
    if config.rollout.pairs:
      assert float(metrics["loss"]) == pytest.approx(math.log(2), abs=1e-4)
      return
    assert float(metrics["val/ratio_gap"]) < 1e-5
    assert float(metrics["policy/approxkl_avg"]) < 1e-9
    return
  assert 0 < float(metrics["loss"]) < 26  # 1/(4β²) of ipo, the largest


@pytest.mark.parametrize("name", WRITE)
def test_a_config_has_a_model_write(name, tmp_path, capsys):
  words = []
  for key, make in WRITE[name].items():
    make(tmp_path / "given.jsonl")
    words.append(f"--config.{key}={tmp_path}/given.jsonl")
  if name in ("self_instruct", "guideline"):
    words.append("--config.method.examples=1")
  config = f"{FOLDER / name}.py:tiny"
  command = ["instruct", "generate", "--config", config, "--config.rows=8"]
  command += ["--workdir", str(tmp_path / "out"), "--config.mesh=1,1,1"]
  assert cli.main([*command, *words]) == 0, capsys.readouterr().err
  found = json.loads((tmp_path / "out" / "summary.json").read_text())
  assert found["used"]["writer"]["requests"] > 0
  assert found["rows"] + sum(found["rejected"].values()) > 0
  # Again: nothing is asked twice.
  assert cli.main([*command, *words]) == 0
  found = json.loads((tmp_path / "out" / "summary.json").read_text())
  assert found["used"]["writer"]["new"] == 0


@pytest.mark.parametrize("name", EVERY)
def test_a_config_says_what_it_is(name):
  module = importlib.import_module(f"configs.{name}")
  assert "Expected" in module.__doc__
  full = module.get_config()
  tiny = get(name, "tiny")
  assert full.keys() == tiny.keys()  # tiny adds no key
  assert name not in NAMES or tiny.train.steps * tiny.train.batch <= 2600
  with pytest.raises(ValueError, match="'tinny' is unknown.*tiny"):
    module.get_config("tinny")


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimizer_has_its_options_in_the_config(tiny, name):
  config = tiny(optim__name=name)
  shapes = LM(preset("tiny")).shapes()
  moments = jax.eval_shape(build.optimizer(config, shapes).init, shapes)
  assert jax.tree.leaves(moments)


def test_no_key_is_dead(root):
  """Every key of the shared blocks is read somewhere in the package."""
  source = "".join(p.read_text() for p in (root / "alignjax").rglob("*.py"))
  blocks = common.base().to_dict()
  optimizers = set(optim.OPTIMIZERS)  # their options are read by name
  for block, keys in blocks.items():
    assert f".{block}" in source, block
    for key in keys if isinstance(keys, dict) else ():
      if block == "optim" and key in optimizers:
        continue
      assert f".{key}" in source or f'"{key}"' in source, f"{block}.{key}"
