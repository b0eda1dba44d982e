"""Two real processes train as one does, and go on where the other stopped."""

import json
import shutil

import numpy as np
import pytest
from hosts import run_hosts

from alignjax.log import read_metrics

CODE = """
import json, os, signal
from pathlib import Path
from alignjax import train
from alignjax.log import RunLog, NoLog
from configs import sft

folder, steps, stop = Path(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
config = sft.get_config("tiny")
config.mesh = (2, 2, 1)
config.data.max_length = 96
config.data.eval.limit = 24
config.data.workers = 1
config.train.steps, config.train.eval_every = steps, 4
config.train.neftune = 5.0
config.checkpoint.every = 5
config.sample.count, config.sample.every = 1, 0
config.sample.max_tokens = 4
config.model.chunk = 8
config.log.tensorboard = False

class Told(NoLog):
  def write(self, step, values):
    if step == stop:
      os.kill(os.getpid(), signal.SIGTERM)

if stop and host == hosts - 1:  # the last host alone is told to stop
  if host:
    train.NoLog = Told
  else:
    write = RunLog.write
    def told(self, step, values):
      write(self, step, values)
      Told.write(self, step, values)
    RunLog.write = told

put = train.Run.put
seen = []
def watched(self, batches, step):
  found = put(self, batches, step)
  for shard in found.tokens.addressable_shards:
    rows = shard.index[0].indices(found.tokens.shape[0])
    seen.append([step, rows[0], int(shard.data.sum())])
  return found
train.Run.put = watched
try:
  train.train(config, folder)
  status = 0
except train.Stopped as error:
  status = error.code
print(json.dumps({"status": status, "seen": seen}))
"""

STEPS = 8


def go(root, folder, hosts, stop=0):
  out = run_hosts(
    root, CODE, hosts, 4 // hosts, (folder, STEPS, stop), timeout=300
  )
  return [json.loads(text.splitlines()[-1]) for text in out]


def rows_of(found):
  """(step, first row, sum of tokens) of every shard on any host."""
  return sorted({tuple(x) for host in found for x in host["seen"]})


def close(one, other):
  for name in ("metrics", "evaluations"):
    a, b = (read_metrics(folder / f"{name}.jsonl") for folder in (one, other))
    assert [r["step"] for r in a] == [r["step"] for r in b]
    for x, y in zip(a, b):
      np.testing.assert_allclose(x["loss"], y["loss"], atol=2e-5)


@pytest.fixture(scope="module")
def one(root, tmp_path_factory):
  folder = tmp_path_factory.mktemp("one")
  return folder, go(root, folder, 1)


@pytest.fixture(scope="module")
def stopped_by_two(root, tmp_path_factory):
  """Two processes; the one that keeps no log is told to stop at step 4."""
  folder = tmp_path_factory.mktemp("two")
  return folder, go(root, folder, 2, stop=4)


def test_a_signal_to_one_host_stops_all_at_one_step(stopped_by_two):
  folder, found = stopped_by_two
  assert [host["status"] for host in found] == [75, 75]
  assert read_metrics(folder / "metrics.jsonl")[-1]["step"] == 4
  steps = [p.name for p in (folder / "checkpoints").iterdir()]
  assert steps == ["4"]


def test_two_hosts_make_the_batches_of_one(one, stopped_by_two):
  alone, both = rows_of(one[1]), rows_of(stopped_by_two[1])
  assert len({x[1] for x in both}) == 4  # shards of a batch
  last = max(step for step, *_ in both)
  assert both == [x for x in alone if x[0] <= last]


def test_one_host_goes_on_where_two_stopped(
  root, one, stopped_by_two, tmp_path
):
  folder = tmp_path / "run"
  shutil.copytree(stopped_by_two[0], folder)
  assert go(root, folder, 1)[0]["status"] == 0
  close(one[0], folder)


def test_two_hosts_go_on_where_one_was(root, one, tmp_path):
  """As after a kill behind step 5: its logs say more than its checkpoints."""
  folder = tmp_path / "run"
  shutil.copytree(one[0], folder)
  shutil.rmtree(folder / "checkpoints" / str(STEPS))
  found = go(root, folder, 2)
  assert [host["status"] for host in found] == [0, 0]
  steps = {step for step, *_ in rows_of(found)}  # and held-out batches 0, 1
  assert steps == {0, 1, 5, 6, 7}
  close(one[0], folder)
  samples = [read_metrics(f / "samples.jsonl") for f in (one[0], folder)]
  assert samples[0] == samples[1]
