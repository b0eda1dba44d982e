"""A log on a disk that is full: rows wait, are told of, and hang nothing."""

import errno
import inspect
import io

import pytest
from test_log import open_log

from alignjax.log import NoLog, RunLog, read_metrics


class Full:
  """A file that takes some bytes and then no more, until there is room."""

  def __init__(self, file, room):
    self.file, self.room = file, room

  def write(self, data):
    if not self.room:
      raise OSError(errno.ENOSPC, "No space left on device")
    written = self.file.write(data[: self.room])
    self.room -= written
    return written

  def close(self):
    self.file.close()


def full(log, name, room):
  found = log._files[name]
  found._file = Full(found._file, room)
  return found._file


def test_rows_that_wait_are_written_once_and_in_order(tmp_path):
  stream = io.StringIO()
  with open_log(tmp_path, patient=True, stream=stream) as log:
    log.write(1, {"loss": 1.0})
    disk = full(log, "metrics", room=10)  # in the middle of a row
    for step in (2, 3, 4):
      log.write(step, {"loss": float(step)})
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1
    disk.room = 10**6
    log.write(5, {"loss": 5.0})
    disk.room = 0
    log.write(6, {"loss": 6.0})  # said again: it had been well between
    disk.room = 10**6  # written at the end
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert [(r["step"], r["loss"]) for r in rows] == [
    (s, float(s)) for s in range(1, 7)
  ]
  said = stream.getvalue().splitlines()
  assert len(said) == 2
  for line in said:
    assert "metrics.jsonl: No space left on device" in line
    assert line.endswith("its rows wait in memory")


def test_what_the_disk_never_takes_is_told(tmp_path):
  stream = io.StringIO()
  with open_log(tmp_path, patient=True, stream=stream) as log:
    full(log, "events", room=0)
    for step in (3, 4):
      log.event(step, "spike", {"loss": 1.0, "rows": ["a:1"]})
  first, last = stream.getvalue().splitlines()
  assert "wait in memory" in first
  assert last.endswith("No space left on device; 2 of its rows are lost")


def test_without_patience_it_is_an_error_with_the_way_out(tmp_path):
  with pytest.raises(OSError, match="(?s)metrics.*checkpoint.on_error=contin"):
    with open_log(tmp_path) as log:
      full(log, "metrics", room=3)
      log.write(1, {"loss": 1.0})
  with open_log(tmp_path) as log:  # the torn line is gone
    log.write(1, {"loss": 1.0})
  assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [1]


def test_events_on_a_full_disk_hang_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr("alignjax.log.events.FLUSH_EVERY_S", 0.0)
  stream = io.StringIO()
  with open_log(tmp_path, tensorboard=True, stream=stream) as log:
    writer = log._events._file._py_recordio_writer
    writer.close()
    writer._writer = open("/dev/full", "wb", buffering=0)
    for step in range(1, 40):
      log.write(step, {f"m{i}": 1.0 for i in range(5)})
      log.text(step, "answers", [{"prompt": "a", "completion": "b"}])
    writer._writer.close()
  said = stream.getvalue().splitlines()
  assert len(said) == 1 and "TensorBoard gets no more" in said[0]
  assert len(read_metrics(tmp_path / "metrics.jsonl")) == 39


def test_events_that_cannot_be_closed_are_told(tmp_path):
  stream = io.StringIO()
  with open_log(tmp_path, tensorboard=True, stream=stream) as log:
    writer = log._events._file._py_recordio_writer
    writer.close()
    writer._writer = open("/dev/full", "wb")
    log.write(1, {"loss": 1.0})
    raw = writer._writer.raw
  assert "TensorBoard gets no more" in stream.getvalue()
  raw.close()


def test_an_event_is_one_row_with_what_befell_the_step(tmp_path):
  with open_log(tmp_path) as log:
    found = {"loss": float("nan"), "grad_norm": 2.5, "rows": ["a:1", "b:2"]}
    log.event(7, "nonfinite", found)
  assert read_metrics(tmp_path / "events.jsonl") == [
    {"step": 7, "kind": "nonfinite", **found, "loss": None}
  ]


def test_rows_that_stay_are_counted(tmp_path):
  sample = {"prompt": "a", "completion": "b"}
  with open_log(tmp_path) as log:
    assert log.kept["samples"][4] == 0
    for step in (4, 8):
      log.evaluation(step, {"loss": 1.0})
      log.text(step, "fixed", [sample, sample])
  with open_log(tmp_path, start_step=4) as log:
    assert log.kept["samples"] == {4: 2} and log.kept["evaluations"] == {4: 1}
    assert log.kept["evaluations"][8] == 0


def test_no_log_has_every_method_of_a_log():
  def methods(kind):
    return {
      name: list(inspect.signature(f).parameters)
      for name, f in inspect.getmembers(kind, inspect.isfunction)
      if not name.startswith("_")
    }

  assert methods(NoLog) == methods(RunLog)
  assert {"__enter__", "__exit__"} <= vars(NoLog).keys()
  with NoLog() as log:
    assert log.kept["samples"][3] == 0
    log.write(1, {"loss": 1.0})
