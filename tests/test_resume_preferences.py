"""Runs against a kept reference go on bitwise, and not against another one."""

import importlib
import json
import os
import shutil
import signal

import jax
import numpy as np
import pyarrow as pa
import pytest

from alignjax import build
from alignjax.log import RunLog, read_metrics
from alignjax.train import Stopped, train

STEPS, AT = 4, 2
SETTINGS = {
  "mesh": (2, 1, 1),
  "train.steps": STEPS,
  "train.batch": 4,
  "optim.warmup": 1,
  "checkpoint.every": 3,
  "data.max_length": 64,
  "data.eval.path": "",
  "data.train.limit": 0,
  "model.chunk": 16,
  "sample.count": 0,
  "log.tensorboard": False,
}
CLOCKS = ("wall_s", "step_s", "tokens_per_s")
NAMES = ("dpo", "kto")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  """A file of eleven pairs: batches of four cross epochs."""
  file = tmp_path_factory.mktemp("rows") / "pairs.jsonl"
  rows = [
    {"prompt": f"{i}?", "chosen": "yes" * (i % 4 + 1), "rejected": f"no {i}"}
    for i in range(11)
  ]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


@pytest.fixture(scope="module")
def config_of(pairs):
  def get(name, **more):
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config("tiny")
    more = {k.replace("__", "."): v for k, v in more.items()}
    config.update_from_flattened_dict(
      SETTINGS | {"data.train.path": pairs} | more
    )
    return config.lock()

  return get


@pytest.fixture(scope="module", params=NAMES)
def whole(request, config_of, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  train(config_of(request.param), folder)
  return request.param, folder


def rows(folder):
  return [
    {k: v for k, v in row.items() if k not in CLOCKS}
    for row in read_metrics(folder / "metrics.jsonl")
  ]


def test_a_stopped_run_goes_on_bitwise(whole, config_of, tmp_path):
  name, expected = whole
  plain = RunLog.write

  def struck(self, step, *arguments):
    plain(self, step, *arguments)
    if step == AT:
      os.kill(os.getpid(), signal.SIGTERM)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(RunLog, "write", struck)
    with pytest.raises(Stopped):
      train(config_of(name), tmp_path)
  kept = tmp_path / "data" / "reference" / "train.arrow"
  made = kept.stat().st_mtime_ns
  train(config_of(name), tmp_path)
  assert kept.stat().st_mtime_ns == made
  found = rows(tmp_path)
  assert found == rows(expected)
  assert [row["step"] for row in found] == [1, 2, 3, 4]
  # The first rewards are 0: policy and reference are equal.
  assert found[0]["rewards/chosen"] == 0 != found[-1]["rewards/chosen"]
  a, b = (build.trained(folder).params for folder in (expected, tmp_path))
  jax.tree.map(np.testing.assert_array_equal, a, b)


def refused(config, folder):
  with pytest.raises(ValueError) as error:
    train(config, folder)
  text = str(error.value)
  assert 2 <= len(text.splitlines()) <= 5
  assert "train.arrow" in text and "delete the file" in text
  return text


def test_a_reference_of_something_else_is_refused(
  whole, config_of, pairs, tmp_path
):
  name, expected = whole
  folder = shutil.copytree(expected, tmp_path / "run")
  text = refused(config_of(name, seed=1), folder)  # draws other weights
  assert "reference/logp was made with weights = " in text
  lines = open(pairs).readlines()
  fewer = tmp_path / "fewer.jsonl"
  fewer.write_text("".join(lines[:-1]))
  config = config_of(
    name, data__train__path=str(fewer), data__cache=str(tmp_path / "rows")
  )
  assert "reference/logp was made with rows = " in refused(config, folder)
  text = refused(config_of(name, data__layout="shared"), folder)
  assert "made with layout = apart; shared is wanted" in text
  file = folder / "data" / "reference" / "train.arrow"
  with pa.OSFile(str(file)) as disk:
    value = pa.ipc.open_file(disk).read_all()["reference/logp"][0].as_py()
  held = bytearray(file.read_bytes())
  held[held.find(np.float32(value).tobytes())] ^= 1
  file.write_bytes(held)
  assert "is not what was written" in refused(config_of(name), folder)
