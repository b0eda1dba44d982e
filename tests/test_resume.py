"""Where a run begins again, by mode; and what is refused."""

import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath

from alignjax import build, step
from alignjax.log import RunLog, read_metrics
from alignjax.train import Stopped, start, train

STEPS = 8
SETTINGS = dict(
  mesh=(2, 1, 1),
  train__steps=STEPS,
  train__eval_every=4,
  train__neftune=5.0,
  optim__warmup=2,
  checkpoint__every=4,
  data__max_length=96,
  data__eval__limit=8,
  model__chunk=8,
  sample__count=2,
  sample__every=4,
  sample__max_tokens=4,
)
CLOCKS = ("wall_s", "step_s", "tokens_per_s")


def rows(folder, name):
  return [
    {k: v for k, v in row.items() if k not in CLOCKS}
    for row in read_metrics(folder / f"{name}.jsonl")
  ]


def same(one, other):
  """Curves, evaluations, samples and weights are bitwise the same."""
  for name in ("metrics", "evaluations", "samples"):
    assert rows(one, name) == rows(other, name), name
  a, b = (build.trained(folder).params for folder in (one, other))
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  train(tiny(**SETTINGS), folder)
  return folder


def stop_at(config, folder, method, at):
  """SIGTERM to this process when a method of the log is called at a step."""
  plain = getattr(RunLog, method)

  def struck(self, step, *arguments):
    plain(self, step, *arguments)
    if step == at:
      os.kill(os.getpid(), signal.SIGTERM)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(RunLog, method, struck)
    with pytest.raises(Stopped) as error:
      train(config, folder)
  assert error.value.code == 75
  assert error.value.step == at


@pytest.fixture(scope="module")
def stopped(tiny, tmp_path_factory):
  """A run that was stopped between evaluation and samples of step 4."""
  folder = tmp_path_factory.mktemp("stopped")
  stop_at(tiny(**SETTINGS), folder, "evaluation", 4)
  return folder


@pytest.fixture
def copy(stopped, tmp_path):
  """The stopped run, to go on with."""
  return shutil.copytree(stopped, tmp_path / "run")


def test_a_signal_in_an_evaluation_loses_nothing(whole, tiny, copy):
  assert [r["step"] for r in rows(copy, "samples")] == [0, 0]
  train(tiny(**SETTINGS), copy)
  same(whole, copy)


@pytest.mark.parametrize("at", [STEPS - 1, STEPS])
def test_a_signal_at_a_step_loses_nothing(whole, tiny, tmp_path, at):
  """At the last one, too: what is left to look at is looked at later."""
  stop_at(tiny(**SETTINGS), tmp_path, "write", at)
  held = [r["step"] for r in rows(tmp_path, "evaluations")]
  assert held == [0, 4] and not (tmp_path / "report.html").exists()
  train(tiny(**SETTINGS), tmp_path, profile=True)  # too short for a trace
  same(whole, tmp_path)
  (before,) = json.loads((tmp_path / "run.json").read_text())["earlier"]
  assert before["first_step"] == 0


def test_samples_that_a_kill_cut_short_are_completed(whole, tiny, tmp_path):
  folder = shutil.copytree(whole, tmp_path / "run")
  file = folder / "samples.jsonl"
  lines = file.read_bytes().splitlines(True)
  file.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
  train(tiny(**SETTINGS), folder)
  same(whole, folder)


def test_fewer_steps_than_are_done_are_refused():
  state = step.init({}, {}, optax.identity())._replace(data=jnp.int32(10))
  assert start.first_step(state, 10) == 10
  with pytest.raises(ValueError, match="train.steps = 9, .* step 10") as error:
    start.first_step(state, 9)
  assert "10 or more, or another --workdir" in str(error.value)


def test_older_runs_are_numbered_and_kept(tmp_path):
  folder = epath.Path(tmp_path / "checkpoints")
  assert start._older(folder) is None
  for number in (1, 2):
    (folder / "8").mkdir(parents=True)
    for name in start.FILES:
      (tmp_path / name).write_text(f"{number}")
    aside = start._move(folder, start._older(folder), tmp_path)
    assert aside.name == f"checkpoints.before-{number}"
    assert (aside / "8").exists() and not folder.exists()
    kept = tmp_path / f"run.before-{number}.json"
    assert kept.read_text() == str(number)
    assert not (tmp_path / "metrics.jsonl").exists()
  for name in ("old", "3.bak", "1-old"):  # renamed by someone
    (tmp_path / f"checkpoints.before-{name}").mkdir()
  (tmp_path / "checkpoints.before-10").mkdir()
  assert start._older(folder).name == "checkpoints.before-10"


def test_what_differs_is_named(whole, tiny):
  for change, named in [
    ({"optim__lr": 2e-3}, "optim.lr = 0.001"),
    ({"train__steps": 9}, "train.steps = 8"),
    ({"data__train__limit": 99}, "data.train"),
    ({"data__train_on": "last"}, "data.train_on"),
    ({"seed": 1}, "seed = 0"),
  ]:
    with pytest.raises(ValueError) as error:
      train(tiny(**SETTINGS | change), whole)
    assert named in str(error.value), str(error.value)
    assert "--workdir" in str(error.value)
    assert len(str(error.value).splitlines()) <= 5


def test_what_changes_no_number_may_differ(whole, tiny):
  before = (whole / "metrics.jsonl").read_text()
  train(tiny(**SETTINGS | {"mesh": (1, 2, 1), "checkpoint__keep": 3}), whole)
  assert (whole / "metrics.jsonl").read_text() == before


def test_weights_only_begins_a_new_run_and_keeps_the_old_one(
  whole, tiny, copy, monkeypatch
):
  old = (copy / "metrics.jsonl").read_bytes()
  changes = {"optim__lr": 1e-4, "train__steps": 4, "data__train__limit": 99}
  config = tiny(**SETTINGS | changes)
  with monkeypatch.context() as patch:
    patch.setattr(RunLog, "write", _killed)  # before a checkpoint of its own
    with pytest.raises(KeyboardInterrupt):
      train(config, copy, resume="weights-only")
  with pytest.raises(FileNotFoundError, match="--resume=weights-only"):
    train(config, copy)
  train(config, copy, resume="weights-only")
  found = rows(copy, "metrics")
  assert [row["step"] for row in found] == [1, 2, 3, 4]
  assert found[0]["lr"] < 1e-4
  assert (copy / "metrics.before-1.jsonl").read_bytes() == old
  config_before = json.loads((copy / "config.before-1.json").read_text())
  assert config_before["train"]["steps"] == STEPS
  # Given once more it goes on, here: finds the run finished.
  before = (copy / "metrics.jsonl").read_text()
  train(config, copy, resume="weights-only")
  assert (copy / "metrics.jsonl").read_text() == before
  first = rows(copy, "evaluations")[0]
  last = [r for r in rows(whole, "evaluations") if r["step"] == 4]
  assert first["step"] == 0
  np.testing.assert_allclose(first["loss"], last[0]["loss"], rtol=1e-6)


def _killed(self, step, values):
  raise KeyboardInterrupt


def test_a_fresh_optimizer_keeps_place_and_weights(whole, tiny, copy):
  other = tiny(**SETTINGS | {"optim__name": "lion", "optim__lr": 1e-4})
  with pytest.raises(ValueError, match="optim.lr"):
    train(other, copy)
  data = tiny(**SETTINGS | {"data__train__limit": 99})
  with pytest.raises(ValueError, match="data.train"):
    train(data, copy, resume="fresh-optimizer")
  train(other, copy, resume="fresh-optimizer")
  found, expected = (rows(f, "metrics") for f in (copy, whole))
  assert [r["step"] for r in found] == list(range(1, STEPS + 1))
  cut = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
  assert cut == 4
  # The same rows, another rate.
  assert [r["tokens"] for r in found] == [r["tokens"] for r in expected]
  assert found[cut]["lr"] < expected[cut]["lr"]


def test_resume_without_a_checkpoint_is_refused(tiny, tmp_path):
  for mode in ("weights-only", "fresh-optimizer"):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
      train(tiny(**SETTINGS), tmp_path, resume=mode)
  with pytest.raises(ValueError, match="weights-only, fresh-optimizer"):
    train(tiny(**SETTINGS), tmp_path, resume="weights")
