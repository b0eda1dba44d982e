import json
import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import cli
from alignjax import train as train_file
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.pretrained import export

WRONG = {
  "no config file": (
    dict(config="configs/none.py"),
    ["No config file", "none.py", "get_config()"],
  ),
  "unknown word": (
    dict(config="configs/sft.py:tinny"),
    ["'tinny' is unknown", "tiny, replicated_kv"],
  ),
  "missing data file": (
    {"data.train.path": "{tmp}/none.jsonl"},
    ["no such file or folder", "none.jsonl"],
  ),
  "unknown loss": (
    {"loss.main.name": "stf"},
    ["loss.main: no loss 'stf'", "sft"],
  ),
  "misspelt field": (
    {"optim.lrr": "1"},
    ["no key optim.lrr", "Did you mean config.optim.lr?", "warmup"],
  ),
  "not a number": ({"optim.lr": "abc"}, ["--config.optim.lr=abc"]),
  "bad JSON": (
    {"data.train.path": "{tmp}/bad.jsonl"},
    ["bad.jsonl:2: bad JSON", "one whole JSON object"],
  ),
  "empty completion": (
    {"data.train.path": "{tmp}/empty.jsonl"},
    ["empty.jsonl:1: empty completion", "write the answer"],
  ),
  "no trained token": (
    {"data.train.path": "{tmp}/untrained.jsonl"},
    ["untrained.jsonl:1: the last turn is 'user'", "add the answer"],
  ),
  "all too long": (
    {"data.train.path": "{tmp}/long.jsonl"},
    ["No rows are left to train on", "1 dropped: longer than 256 tokens"],
  ),
  "too long": (
    {"data.train.path": "{tmp}/long.jsonl", "data.too_long": "error"},
    ["long.jsonl:1: 4", "the limit is 256", "truncate"],
  ),
  "another vocabulary": (
    {"model.path": "{tmp}/model", "model.preset": ""},
    ["vocabulary", "200", "tokenizer"],
  ),
  "mesh that does not divide": (
    {"mesh": "3,1,1"},
    ["mesh = (3, 1, 1) needs 3 devices and 8 are here", "--config.mesh="],
  ),
  "heads that do not divide": (
    {"mesh": "1,1,8"},
    ["attention/key/kernel", "replicated_kv"],
  ),
  "rows that do not divide": (
    {"train.batch": "12"},
    ["train.batch = 12", "Use a multiple of 8"],
  ),
  "rule that matches nothing": (
    dict(config="{tmp}/rule.py"),
    ["rule 'layerz/.*' matches no parameter", "paths look like embed"],
  ),
  "unknown optimizer": ({"optim.name": "adam"}, ["one of adamw, adafactor"]),
  "no steps": ({"train.steps": "0"}, ["train.steps = 0"]),
}

RULE = """
from configs import sft

def get_config():
  c = sft.get_config("tiny")
  c.sharding.params = (("layerz/.*", ()), *c.sharding.params)
  return c
"""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory, root):
  """A folder of wrong inputs."""
  folder = tmp_path_factory.mktemp("wrong")
  pair = {"prompt": "a", "completion": "b"}
  rows = {
    "bad": json.dumps(pair) + '\n{"prompt": "a" "b"}',
    "empty": json.dumps(pair | {"completion": " "}),
    "untrained": json.dumps({"messages": [{"role": "user", "content": "a"}]}),
    "long": json.dumps(pair | {"prompt": "x" * 400}),
  }
  for name, text in rows.items():
    (folder / f"{name}.jsonl").write_text(text + "\n")
  (folder / "rule.py").write_text(RULE)
  _save_model(folder / "model")
  return folder


def _save_model(folder):
  """A model of 200 words beside a tokenizer of 260."""
  lm = LM(preset("tiny").replace(vocab=200, depth=1, windows=()))
  params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), lm.shapes())
  export(folder, lm, params, byte_tokenizer(), dtype="float32")


def zeros(lm, key, init=LM.init):
  """Parameters that compile in no time: no case here gets as far as a step."""
  shapes = jax.eval_shape(partial(init, lm), key)
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


@pytest.fixture
def run(root, monkeypatch, capsys):
  """A function of arguments: (status, standard output, standard error)."""
  monkeypatch.chdir(root)
  monkeypatch.setattr(sys, "path", list(sys.path))
  monkeypatch.setattr(LM, "init", zeros)

  def main(*argv):
    status = cli.main(list(argv))
    return status, *capsys.readouterr()

  return main


def arguments(wrong, workdir, case):
  values = {k: v.format(tmp=wrong) for k, v in WRONG[case][0].items()}
  config = values.pop("config", "configs/sft.py:tiny")
  changes = [f"--config.{k}={v}" for k, v in values.items()]
  return ["train", "--config", config, "--workdir", str(workdir), *changes]


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gives_one_clear_message(run, wrong, tmp_path, case):
  status, out, err = run(*arguments(wrong, tmp_path / "run", case))
  assert status == 1 and out == ""
  lines = err.strip().splitlines()
  assert 1 <= len(lines) <= 5, err
  assert lines[0].startswith("error: ")
  assert "Traceback" not in err and "\\n" not in err
  for words in WRONG[case][1]:
    assert words in err
  assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_debug_shows_the_traceback(run, wrong, tmp_path):
  argv = arguments(wrong, tmp_path, "unknown loss")
  status, _, err = run(*argv, "--debug")
  assert status == 1 and "Traceback" in err and "training.py" in err
  assert "no loss 'stf'" in err


@pytest.mark.parametrize(
  "argv, status, words",
  [
    ([], 2, "usage: alignjax COMMAND"),
    (["trian"], 2, "no command 'trian'; one of train, plan, data, instruct"),
    (["train"], 1, "train needs --config FILE"),
    (["train", "--config"], 1, "train needs --config FILE"),
    (["train", "--config=configs/sft.py:tiny"], 1, "needs --workdir DIR"),
    (
      ["train", "--config", "configs/sft.py:tiny", "stray"],
      1,
      "'stray' is not an option of train",
    ),
    (
      ["train", "--config", "configs/sft.py:tiny", "--wrokdir=x"],
      1,
      "Unknown command line flag 'wrokdir'",
    ),
    (["export", "--workdir", "none", "--out", "x"], 1, "is not a run"),
    (["generate", "--model", "none/here/x", "--prompt", "a"], 1, "none/here"),
  ],
)
def test_commands_used_wrongly(run, argv, status, words):
  found, out, err = run(*argv)
  assert found == status
  assert words in out + err
  assert "Traceback" not in err


def test_what_nobody_meant_says_its_kind(run, monkeypatch):
  def broken(argv):
    raise ZeroDivisionError("by zero\n" * 9)

  monkeypatch.setitem(cli.COMMANDS, "train", broken)
  status, _, err = run("train")
  assert status == 1 and err.startswith("error (ZeroDivisionError): by zero")
  assert len(err.strip().splitlines()) == 5 and "--debug" in err


def test_overrides_reach_the_config(run, monkeypatch, tmp_path):
  seen = {}

  def train(config, workdir, *, profile, resume):
    seen.update(config=config, workdir=workdir, profile=profile, resume=resume)
    return workdir / "report.html"

  monkeypatch.setattr(train_file, "train", train)
  status, out, _ = run(
    "train",
    "--config=configs/sft.py:tiny,replicated_kv",
    f"--workdir={tmp_path}",
    "--config.mesh=2,2,2",
    "--config.optim.lr=3e-4",
    "--config.train.steps",
    "7",
    "--config.log.tensorboard=false",
    "--profile",
    "--resume=weights-only",
  )
  assert status == 0 and out.strip() == str(tmp_path / "report.html")
  config = seen["config"]
  assert config.mesh == (2, 2, 2) and config.optim.lr == 3e-4
  assert config.train.steps == 7 and config.log.tensorboard is False
  assert config.sharding.activations["key"][2] is None
  assert seen["profile"] is True and seen["workdir"] == tmp_path
  assert seen["resume"] == "weights-only"
  assert config.is_locked


def process(root, code):
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.run(
    [sys.executable, "-c", code],
    cwd=root,
    env=environment | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )


def test_help_does_not_import_jax(root):
  code = """
import sys
from alignjax import cli
for argv in (["--help"], ["train", "--help"]):
  assert cli.main(argv) == 0
for argv in (["generate", "--help"], ["export", "--help"], ["score", "-h"]):
  try:
    cli.main(argv)
  except SystemExit as e:
    assert e.code == 0
print("jax" in sys.modules, "transformers" in sys.modules)
"""
  found = process(root, code)
  assert found.returncode == 0, found.stderr
  assert found.stdout.splitlines()[-1] == "False False"
  for words in ("alignjax train --config FILE", "alignjax generate", "--out"):
    assert words in found.stdout


def test_a_real_process_exits_with_one_message(root, tmp_path):
  found = subprocess.run(
    [sys.executable, "-m", "alignjax.cli", "train"]
    + ["--config", "configs/sft.py:tiny", "--workdir", str(tmp_path)]
    + ["--config.optim.lrr=1"],
    cwd=root,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 1 and found.stdout == ""
  assert found.stderr.startswith("error: The config has no key optim.lrr")
  assert len(found.stderr.strip().splitlines()) == 2
