import json
import math

import jax
import numpy as np
import pytest
from compilations import Compilations

import alignjax
from alignjax import build, cli, optim
from alignjax import train as train_file
from alignjax.log import RunLog, read_metrics
from alignjax.train import Run, train

STEPS = 10
SETTINGS = dict(
  mesh=(2, 2, 2),
  train__steps=STEPS,
  train__eval_every=0,
  checkpoint__every=5,
  data__max_length=96,
  data__eval__limit=24,
  model__chunk=8,
  sample__count=1,
  sample__every=0,
  sample__max_tokens=4,
)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
  """(folder, run, compilations) of ten steps in one go, with a trace."""
  folder = tmp_path_factory.mktemp("whole")
  made = []
  with Compilations() as seen, pytest.MonkeyPatch.context() as patch:
    patch.setattr(train_file, "Run", lambda *a: made.append(Run(*a)) or made[0])
    config = tiny(**SETTINGS, log__tensorboard=True)
    report = train(config, folder, profile=True)
  assert report == folder / "report.html"
  return folder, made[0], seen.counts()


def test_a_row_a_step(whole):
  rows = read_metrics(whole[0] / "metrics.jsonl")
  assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
  wanted = "loss grad_norm lr tokens tokens_per_s main/nll mean_token_accuracy"
  for row in rows:
    assert set(wanted.split()) < set(row) and "skipped" not in row
    assert all(math.isfinite(row[name]) for name in wanted.split())
    assert row["loss"] == row["main/nll"]
    assert row["tokens_per_s"] == row["tokens"] / row["step_s"]
  assert rows[0]["lr"] == pytest.approx(1e-3 / 5)
  assert rows[-1]["epoch"] == STEPS * 8 / 136
  assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_folder_tells_the_run(whole):
  folder, run, _ = whole
  config = json.loads((folder / "config.json").read_text())
  assert config["mesh"] == [2, 2, 2] and config["optim"]["lr"] == 1e-3
  facts = json.loads((folder / "run.json").read_text())
  assert facts["mesh"] == {"data": 2, "fsdp": 2, "tensor": 2}
  assert facts["parameters"] == {"trained": 759_936, "frozen": 0}
  assert "136 rows, 120 dropped" in facts["data"][0]
  held = read_metrics(folder / "evaluations.jsonl")
  assert [row["step"] for row in held] == [0, STEPS]
  assert held[1]["loss"] < held[0]["loss"]
  samples = read_metrics(folder / "samples.jsonl")
  assert [s["step"] for s in samples] == [0, STEPS]
  assert samples[0]["prompt"] and samples[0]["reference"]
  assert "<svg" in (folder / "report.html").read_text()
  assert list((folder / "tensorboard").iterdir())
  assert list((folder / "profile").rglob("*.xplane.pb"))
  names = sorted(p.name for p in (folder / "checkpoints").iterdir())
  assert names == ["10", "5"]


def test_a_step_is_compiled_once(whole):
  assert whole[2] == {"train_step": 1, "eval_step": 1}


def test_a_resumed_run_is_the_run_in_one_go(whole, tiny, tmp_path, monkeypatch):
  """Killed after six steps, with a checkpoint at five."""
  config = tiny(**SETTINGS)
  write = RunLog.write

  def killed(self, step, values):
    write(self, step, values)
    if step == 6:
      raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(RunLog, "write", killed)
    with pytest.raises(KeyboardInterrupt):
      train(config, tmp_path)
  assert len(read_metrics(tmp_path / "metrics.jsonl")) == 6
  with open(tmp_path / "metrics.jsonl", "a") as file:
    file.write('{"step": 7, "lo')  # a line cut short by the crash
  with Compilations() as seen:
    train(config, tmp_path)
  assert seen.counts()["train_step"] == 1
  rows, expected = (
    read_metrics(folder / "metrics.jsonl") for folder in (tmp_path, whole[0])
  )
  assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
  for row, other in zip(rows, expected):
    for name in ("loss", "grad_norm", "lr", "tokens", "epoch"):
      assert row[name] == other[name], (row["step"], name)
  one, other = (build.trained(f).params for f in (tmp_path, whole[0]))
  jax.tree.map(np.testing.assert_array_equal, one, other)
  held, other = (
    read_metrics(f / "evaluations.jsonl")[-1] for f in (tmp_path, whole[0])
  )
  assert held["loss"] == other["loss"]


def test_a_finished_run_is_left_alone(whole, tiny):
  folder = whole[0]
  before = (folder / "metrics.jsonl").read_text()
  assert train(tiny(**SETTINGS), folder) == folder / "report.html"
  assert (folder / "metrics.jsonl").read_text() == before


def test_a_folder_of_another_run_is_refused(whole, tiny):
  folder = whole[0]
  before = (folder / "metrics.jsonl").read_text()
  with pytest.raises(ValueError, match="train.steps = 10; .* says 12") as error:
    train(tiny(**SETTINGS | {"train__steps": 12}), folder)
  assert "--workdir" in str(error.value)
  assert (folder / "metrics.jsonl").read_text() == before
  assert (
    json.loads((folder / "config.json").read_text())["train"]["steps"] == 10
  )


def test_a_run_is_exported_and_loaded(whole, tmp_path, capsys):
  folder, run, _ = whole
  out = tmp_path / "model"
  argv = ["export", "--workdir", str(folder), "--out", str(out)]
  assert cli.main(argv) == 0, capsys.readouterr().err
  lm, params, tokenizer = alignjax.load(str(out))
  trained = build.trained(folder)
  jax.tree.map(np.testing.assert_array_equal, params, trained.params)
  assert tokenizer("a")["input_ids"] == [97]
  assert lm.config.windows == run.lm.config.windows


class One:
  """One batch of several."""

  def __init__(self, batches, i):
    self.batches, self.i, self.size = batches, i, batches.size

  def __len__(self):
    return 1

  def batch(self, step, rows):
    return self.batches.batch(self.i, rows)


def test_held_out_loss_is_weighted_by_tokens(whole, tiny):
  _, run, _ = whole
  config = tiny(**SETTINGS)
  model = build.model(config, run.place)
  data = build.data(config, model.tokenizer, model.lm.config, run.place)
  state = run.init(*optim.split(model.params, ()))
  assert len(data.heldout) == 2
  one, two = (
    run.evaluate(state, One(data.heldout, i))["loss"] for i in range(2)
  )
  n, m = ((b.completions > 0).sum() for b in data.heldout)
  both = run.evaluate(state, data.heldout)["loss"]
  assert run.evaluate(state, data.heldout, lambda: True) is None
  assert both == pytest.approx((n * one + m * two) / (n + m), rel=1e-6)
  assert n != m and one != two


def test_frozen_weights_have_no_gradient_and_no_moments(tiny):
  config = tiny(
    **SETTINGS | {"mesh": (1, 2, 1)},
    optim__frozen=("embed", "layers/0/attention/.*"),
    optim__lr_factors=((".*norm.*", 0.0),),
  )
  place = build.placement(config)
  model = build.model(config, place)
  data = build.data(config, model.tokenizer, model.lm.config, place)
  run = Run(config, place, model.lm, build.objectives(config))
  before = jax.device_get(optim.flatten_dict(model.params, sep="/"))
  state = run.init(*optim.split(model.params, config.optim.frozen))
  moment = next(m for m in state.moments if hasattr(m, "mu"))
  trained = set(optim.flatten_dict(state.params, sep="/"))
  assert set(optim.flatten_dict(moment.mu, sep="/")) == trained
  assert not any("attention/" in p or p == "embed" for p in trained)
  state, _ = run.train_step(state, run.put(data.train, 0))
  after = optim.flatten_dict(optim.merge(state.params, state.frozen), sep="/")
  assert set(after) == set(before)
  for path, x in after.items():
    moved = "mlp/" in path
    assert np.array_equal(x, before[path]) != moved, path
