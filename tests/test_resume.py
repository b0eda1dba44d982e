"""Where a run begins again, by mode; and what is refused."""

import json
import os
import signal

import jax
import numpy as np
import pytest

from alignjax import build
from alignjax.log import RunLog, read_metrics
from alignjax.train import Stopped, train

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
  sample__count=1,
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


def signal_at(monkeypatch, method, step):
  """SIGTERM to this process when a method of the log is called at a step."""
  plain = getattr(RunLog, method)

  def struck(self, at, *arguments):
    plain(self, at, *arguments)
    if at == step:
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(RunLog, method, struck)


@pytest.mark.parametrize(
  "method, step",
  [("write", 3), ("evaluation", 4), ("text", 4)],
)
def test_a_signal_loses_nothing(
  whole, tiny, tmp_path, monkeypatch, method, step
):
  with monkeypatch.context() as patch:
    signal_at(patch, method, step)
    with pytest.raises(Stopped) as error:
      train(tiny(**SETTINGS), tmp_path)
  assert error.value.code == 75
  assert error.value.step == step
  train(tiny(**SETTINGS), tmp_path)
  same(whole, tmp_path)


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
  whole, tiny, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    signal_at(patch, "write", 4)
    with pytest.raises(Stopped):
      train(tiny(**SETTINGS), tmp_path)
  old = rows(tmp_path, "metrics")
  changes = {"optim__lr": 1e-4, "train__steps": 4, "data__train__limit": 99}
  weights = build.trained(tmp_path).params
  with monkeypatch.context() as patch:
    patch.setattr(RunLog, "write", _killed)  # before a checkpoint of its own
    with pytest.raises(KeyboardInterrupt):
      train(tiny(**SETTINGS | changes), tmp_path, resume="weights-only")
  with pytest.raises(FileNotFoundError, match="--resume=weights-only"):
    train(tiny(**SETTINGS | changes), tmp_path)
  train(tiny(**SETTINGS | changes), tmp_path, resume="weights-only")
  steps = [row["step"] for row in rows(tmp_path, "metrics")]
  assert steps == [1, 2, 3, 4]
  assert rows(tmp_path, "metrics")[0]["lr"] < 1e-4
  kept = next(tmp_path.glob("metrics.before-*.jsonl"))
  assert [json.loads(x)["step"] for x in kept.read_text().splitlines()] == [
    row["step"] for row in old
  ]
  # Given once more it goes on, here: finds the run finished.
  before = (tmp_path / "metrics.jsonl").read_text()
  train(tiny(**SETTINGS | changes), tmp_path, resume="weights-only")
  assert (tmp_path / "metrics.jsonl").read_text() == before
  first = rows(tmp_path, "evaluations")[0]
  last = [r for r in rows(whole, "evaluations") if r["step"] == 4]
  assert first["step"] == 0
  np.testing.assert_allclose(first["loss"], last[0]["loss"], rtol=1e-6)
  assert jax.tree.structure(weights)


def _killed(self, step, values):
  raise KeyboardInterrupt


def test_a_fresh_optimizer_keeps_place_and_weights(
  whole, tiny, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    signal_at(patch, "write", 5)
    with pytest.raises(Stopped):
      train(tiny(**SETTINGS), tmp_path)
  other = tiny(**SETTINGS | {"optim__name": "lion", "optim__lr": 1e-4})
  with pytest.raises(ValueError, match="optim.lr"):
    train(other, tmp_path)
  data = tiny(**SETTINGS | {"data__train__limit": 99})
  with pytest.raises(ValueError, match="data.train"):
    train(data, tmp_path, resume="fresh-optimizer")
  train(other, tmp_path, resume="fresh-optimizer")
  found, expected = (rows(f, "metrics") for f in (tmp_path, whole))
  assert [r["step"] for r in found] == list(range(1, STEPS + 1))
  cut = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
  assert cut == 5
  # The same rows, another rate.
  assert [r["tokens"] for r in found] == [r["tokens"] for r in expected]
  assert found[cut]["lr"] < expected[cut]["lr"]


def test_resume_without_a_checkpoint_is_refused(tiny, tmp_path):
  for mode in ("weights-only", "fresh-optimizer"):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
      train(tiny(**SETTINGS), tmp_path, resume=mode)
  with pytest.raises(ValueError, match="weights-only, fresh-optimizer"):
    train(tiny(**SETTINGS), tmp_path, resume="weights")
