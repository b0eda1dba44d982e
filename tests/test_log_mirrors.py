"""TensorBoard and Weights & Biases: views of the same rows."""

import builtins
import math
import struct
import sys

import pytest
from test_log import open_log

from alignjax.log import read_metrics


def events(folder):
  """Records of TensorBoard files: length, checksum, event, checksum."""
  from tensorboardX.proto.event_pb2 import Event

  for path in sorted(folder.iterdir()):
    data, at = path.read_bytes(), 0
    while at < len(data):
      (size,) = struct.unpack_from("<Q", data, at)
      yield Event.FromString(data[at + 12 : at + 12 + size])
      at += 12 + size + 4


def test_tensorboard_holds_the_same_scalars(tmp_path):
  with open_log(tmp_path, tensorboard=True) as log:
    log.write(1, {"loss": 2.5, "lr": math.nan})
    log.evaluation(1, {"loss": 0.75})
    log.text(1, "fixed", [{"prompt": "hello", "completion": "world"}])
  values = [
    (event.step, value)
    for event in events(tmp_path / "tensorboard")
    for value in event.summary.value
  ]
  scalars = {
    (s, v.tag, v.simple_value)
    for s, v in values
    if not v.metadata.plugin_data.content
  }
  assert {(1, "loss", 2.5), (1, "eval/loss", 0.75)} <= scalars
  assert "lr" not in {tag for _, tag, _ in scalars}  # a NaN draws nothing
  texts = [v.tensor.string_val[0] for _, v in values if v.tensor.string_val]
  assert len(texts) == 1 and b"hello" in texts[0] and b"world" in texts[0]


def test_tensorboard_hides_events_past_the_resumed_step(tmp_path):
  for start in (0, 5):
    with open_log(tmp_path, tensorboard=True, start_step=start) as log:
      log.write(start + 1, {"loss": 1.0})
  starts = [
    event.step
    for event in events(tmp_path / "tensorboard")
    if event.HasField("session_log")
  ]
  assert starts[-1] == 6


def test_missing_wandb_says_how_to_get_it_and_cuts_nothing(
  tmp_path, monkeypatch
):
  with open_log(tmp_path) as log:
    log.write(1, {"loss": 1.0})
  real = builtins.__import__

  def without(name, *rest):
    if name == "wandb":
      raise ImportError(name)
    return real(name, *rest)

  monkeypatch.setattr(builtins, "__import__", without)
  with pytest.raises(ImportError, match=r"pip install 'alignjax\[wandb\]'"):
    open_log(tmp_path, wandb={"project": "p"})
  assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_wandb_gets_the_arguments_and_the_rows(tmp_path, monkeypatch):
  class Run:
    calls = []

    def init(self, **arguments):
      self.calls.append(("init", arguments))
      return self

    def log(self, values, step):
      self.calls.append((step, values))

    def finish(self):
      self.calls.append("finish")

  monkeypatch.setitem(sys.modules, "wandb", Run())
  with open_log(tmp_path, wandb={"project": "p"}) as log:
    log.write(2, {"loss": 1.0})
  assert Run.calls == [
    ("init", {"dir": str(tmp_path), "project": "p"}),
    (2, {"loss": 1.0}),
    "finish",
  ]
