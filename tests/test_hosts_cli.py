"""`--hosts` as it is typed: hosts that differ, and one that is lost."""

import os
import subprocess
import sys
import time

import pytest
from hosts import free_port

from alignjax.checkpoint.hosts import Meeting
from alignjax.cli import hosts as joined

OPTIONS = (
  "--config=configs/sft.py:tiny",
  "--config.mesh=2,1,1",
  "--config.data.max_length=96",
  "--config.data.workers=1",
  "--config.data.eval.limit=16",
  "--config.train.batch=8",
  "--config.train.steps=2000",
  "--config.train.eval_every=0",
  "--config.checkpoint.every=2",
  "--config.sample.count=0",
  "--config.model.chunk=8",
  "--config.log.tensorboard=False",
)


@pytest.fixture
def start(root, tmp_path):
  """Starts two hosts of a device each, the second with more options."""
  address = f"127.0.0.1:{free_port()}"
  begun = []

  def go(*second):
    flags = "--xla_force_host_platform_device_count=1"
    for host, more in ((0, ()), (1, second)):
      begun.append(
        subprocess.Popen(
          [sys.executable, "-c", "from alignjax.cli import main; exit(main())"]
          + ["train", f"--hosts={address},2,{host}"]
          + ["--workdir", str(tmp_path / "run"), *OPTIONS, *more],
          cwd=root,
          env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
          stdout=subprocess.DEVNULL,
          stderr=subprocess.PIPE,
          text=True,
        )
      )
    return begun

  yield go
  for process in begun:
    process.kill()
    process.wait()


def test_hosts_that_differ_are_refused(start, tmp_path):
  for process in start("--config.optim.lr=0.5", "--config.seed=7"):
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "config.optim.lr: host 1 has 0.5, host 0" in said, said
    assert "config.seed: host 1 has 7, host 0" in said
    assert "Traceback" not in said
  assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_host_ends_the_other(start, tmp_path, lost):
  both = start()
  while not list((tmp_path / "run").glob("checkpoints/[0-9]*")):
    assert all(process.poll() is None for process in both)
    time.sleep(0.05)
  both[lost].kill()
  since = time.monotonic()
  said = both[1 - lost].communicate(timeout=120)[1]
  assert time.monotonic() - since < 60
  if lost == 1:
    assert both[0].returncode == 75
    assert "was lost. The same command on all hosts" in said, said
  else:  # with it the keys are lost, and jax aborts the others
    assert both[1].returncode != 0


def test_what_is_no_host_is_refused():
  for given in ("all", "here,2,0", "here:1,2", "here:1,2,x"):
    with pytest.raises(ValueError, match="is not auto, or ADDRESS:PORT,N,I"):
      joined.join(given)
  with pytest.raises(ValueError, match="host 2 is not one of 0 to 1"):
    joined.join("here:1,2,2")


@pytest.mark.parametrize(
  "name, value, who",
  [
    ("SLURM_STEP_NUM_TASKS", "2", "SLURM started 2"),
    ("OMPI_COMM_WORLD_SIZE", "4", "Open MPI started 4"),
    ("TPU_WORKER_HOSTNAMES", "a,b,c", "This TPU started 3"),
  ],
)
def test_one_of_many_needs_hosts(monkeypatch, name, value, who):
  joined.join("")
  monkeypatch.setenv(name, value)
  with pytest.raises(ValueError, match=f"{who}[^-]*--hosts=auto"):
    joined.join("")


def test_agreement_names_what_differs(monkeypatch):
  meeting = Meeting("test")
  others = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 0, "b": 2}]
  monkeypatch.setattr(meeting, "share", lambda work: [work(), *others[1:]])
  with pytest.raises(ValueError, match="b: host 1 has 3, host 0 2") as error:
    meeting.agree(others[0])
  assert "a: host 2 has 0, host 0 1" in str(error.value)
  monkeypatch.setattr(meeting, "share", lambda work: [work(), others[0]])
  meeting.agree(others[0])
