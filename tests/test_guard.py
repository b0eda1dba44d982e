"""Steps that are not finite, and spikes: skipped or stopped at, and told."""

import json
import math
import os
import signal

import jax
import numpy as np
import pytest

from alignjax import build
from alignjax.log import RunLog, read_metrics
from alignjax.ops import spikes
from alignjax.train import Stopped, loop, train

LOSS = """
import jax.numpy as jnp
from alignjax.losses import sft

needs = sft.needs

def loss(stats, batch):
  terms = sft.loss(stats, batch)
  nll = terms.loss["nll"]
  factor = jnp.where((batch.tokens == ord("~")).any(), jnp.nan, 1.0)
  factor *= jnp.where((batch.tokens == ord("^")).any(), 100.0, 1.0)
  return terms._replace(loss={"nll": nll._replace(sum=nll.sum * factor)})
"""
STEPS, BATCH, ROWS = 14, 4, 48
CLOCKS = ("wall_s", "step_s", "tokens_per_s")


@pytest.fixture(scope="module")
def setting(tiny, tmp_path_factory):
  """(marks, values) → a config whose rows of some steps are marked."""
  folder = tmp_path_factory.mktemp("guarded")
  (folder / "marked").mkdir()
  (folder / "marked" / "loss.py").write_text(LOSS)

  def get(marks, **values):
    file = folder / f"{len(list(folder.iterdir()))}.jsonl"
    config = tiny(
      **{
        "mesh": (1, 1, 1),
        "train__steps": STEPS,
        "train__batch": BATCH,
        "train__eval_every": 0,
        "checkpoint__every": 4,
        "data__max_length": 96,
        "model__chunk": 8,
        "sample__count": 0,
        "data__train__path": str(file),
        "data__eval__path": "",
        "loss__main__name": "marked.loss",
      }
      | values
    )
    signs = ["?"] * ROWS
    for sign, rows in marks.items():
      for row in rows:
        signs[row] = sign
    lines = [
      json.dumps({"prompt": f"Is {i:02} even{sign}", "completion": "yes"})
      for i, sign in enumerate(signs)
    ]
    file.write_text("\n".join(lines))
    return config

  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(folder))
    yield get


@pytest.fixture(scope="module")
def batches(setting):
  """Indices of the rows of each step's batch; 12 steps are an epoch."""
  config = setting({})
  place = build.placement(config)
  lm, tokenizer = build.outline(config, place)
  loader = build.data(config, tokenizer, lm.config, place).train
  return [[row for _, row in loader.indices(i)] for i in range(STEPS)]


def rows_of(folder, name="metrics"):
  found = read_metrics(folder / f"{name}.jsonl")
  return [{k: v for k, v in r.items() if k not in CLOCKS} for r in found]


@pytest.fixture(scope="module")
def skipped(setting, batches, tmp_path_factory):
  """(config, folder) of a run that skips steps 6 and 9."""
  folder = tmp_path_factory.mktemp("skipped")
  marks = {"~": [batches[5][1], batches[8][0]]}
  config = setting(marks, train__nonfinite="skip")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "PATIENCE", 1)  # those that are not in a row are fine
    train(config, folder)
  return config, folder


def test_a_step_that_is_not_finite_is_skipped_and_told(skipped, batches):
  config, folder = skipped
  file = config.data.train.path
  events = read_metrics(folder / "events.jsonl")
  assert [e["step"] for e in events] == [6, 9]
  for event in events:
    assert event["kind"] == "nonfinite" and event["loss"] is None
    expected = [f"{file}:{row + 1}" for row in batches[event["step"] - 1]]
    assert event["rows"] == expected
  metrics = rows_of(folder)
  assert [row["step"] for row in metrics] == list(range(1, STEPS + 1))
  bad = [row["step"] for row in metrics if "nonfinite" in row]
  assert bad == [6, 9]
  # The schedule is of updates that were made.
  assert metrics[5]["lr"] == metrics[6]["lr"] != metrics[7]["lr"]
  page = (folder / "report.html").read_text()
  assert "Skipped, not finite</dt><dd>2</dd>" in page and "at step 6, 9" in page
  assert "Rows not finite" not in page


def test_a_stopped_run_may_go_on_by_skipping(skipped, tmp_path, monkeypatch):
  """As its message says; and stopped by a signal after it, it is the same."""
  config, whole = skipped
  stops = config.copy_and_resolve_references()
  stops.train.nonfinite = "stop"
  with pytest.raises(FloatingPointError) as error:
    train(stops, tmp_path)
  lines = str(error.value).splitlines()
  assert len(lines) <= 5
  assert lines[0].startswith("Step 6: loss nan") and "not applied" in lines[0]
  assert f"{config.data.train.path}:" in lines[1]
  assert "begins after step 4" in lines[2]
  assert "train.nonfinite=skip" in lines[3]
  assert "--resume=fresh-optimizer" in lines[3]
  assert [row["step"] for row in rows_of(tmp_path)] == [1, 2, 3, 4, 5]
  assert rows_of(tmp_path, "events") == rows_of(whole, "events")[:1]
  write = RunLog.write

  def told(self, step, values):
    write(self, step, values)
    if step == 7:
      os.kill(os.getpid(), signal.SIGTERM)

  with monkeypatch.context() as patch:
    patch.setattr(RunLog, "write", told)
    with pytest.raises(Stopped):
      train(config, tmp_path)
  train(config, tmp_path)
  for name in ("metrics", "events"):
    assert rows_of(tmp_path, name) == rows_of(whole, name)
  one, other = (build.trained(folder).params for folder in (tmp_path, whole))
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_skipping_has_an_end(setting, tmp_path):
  config = setting({"~": range(ROWS)}, train__nonfinite="skip")
  with pytest.raises(FloatingPointError) as error:
    train(config, tmp_path)
  lines = str(error.value).splitlines()
  assert lines[0].startswith(f"Step {loop.PATIENCE + 1}: ")
  assert lines[0].endswith("11 in a row.") and "=skip" not in str(error.value)
  assert len(read_metrics(tmp_path / "events.jsonl")) == loop.PATIENCE + 1
  assert len(lines) <= 5


def test_a_spike_stops_a_run_or_is_skipped(
  setting, batches, tmp_path, monkeypatch
):
  monkeypatch.setattr(spikes, "WINDOW", 8)  # of the state that is made
  config = setting({"^": [batches[10][2]]}, train__spike="stop")
  with pytest.raises(FloatingPointError) as error:
    train(config, tmp_path)
  text = str(error.value)
  assert text.startswith("Step 11: loss ") and "mean + 6σ" in text
  assert "begins after step 8" in text and "train.spike=skip" in text
  skips = config.copy_and_resolve_references()
  skips.train.spike = "skip"
  train(skips, tmp_path)
  (event,) = read_metrics(tmp_path / "events.jsonl")
  assert (event["step"], event["kind"]) == (11, "spike")
  assert len(event["rows"]) == BATCH and math.isfinite(event["loss"])
  assert [r["step"] for r in rows_of(tmp_path)] == list(range(1, STEPS + 1))
  off = config.copy_and_resolve_references()
  off.train.spike = "off"
  with pytest.raises(ValueError, match="train.spike = 'skip or stop'"):
    train(off, tmp_path)


@pytest.mark.parametrize(
  "values, said",
  [
    (dict(train__nonfinite="ignore"), "train.nonfinite.*stop, skip"),
    (dict(train__spike="on"), "train.spike.*off, skip, stop"),
    (dict(train__neftune=-1.0), "train.neftune = -1.0"),
    (dict(train__neftune=math.nan), "train.neftune = nan"),
    (dict(train__eval_every=-1), "train.eval_every = -1"),
    (dict(sample__every=-1), "sample.every = -1"),
    (dict(sample__count=-1), "sample.count = -1"),
    (dict(checkpoint__every=-1), "checkpoint.every = -1"),
    (dict(checkpoint__keep_every=-1), "checkpoint.keep_every = -1"),
    (dict(checkpoint__keep=0), "checkpoint.keep = 0"),
    (dict(checkpoint__on_error="go"), "checkpoint.on_error = 'go'"),
    (dict(optim__name="adam"), "optim.name = 'adam'.*adamw"),
    (dict(optim__schedule="step"), "optim.schedule = 'step'"),
    (dict(optim__frozen=("nothing",)), "optim.frozen: 'nothing'"),
    (dict(optim__no_decay=("nothing",)), "optim.no_decay: 'nothing'"),
    (dict(resume="weights"), "weights-only, fresh-optimizer"),
  ],
)
def test_wrong_rules_are_refused_before_anything_is_read(
  tiny, tmp_path, monkeypatch, values, said
):
  def read(*_, **__):
    raise AssertionError("data or weights are read first")

  monkeypatch.setattr(build, "data", read)
  monkeypatch.setattr(build, "model", read)
  resume = values.pop("resume", "")
  with pytest.raises(ValueError, match=said) as error:
    train(tiny(**values), tmp_path / "run", resume=resume)
  assert len(str(error.value).splitlines()) <= 5
  assert not (tmp_path / "run").exists()
