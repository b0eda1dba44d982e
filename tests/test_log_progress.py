"""What a run says while it goes: plain lines, or a bar on a terminal."""

import io

import pytest
from test_log import open_log

from alignjax.log import progress as progress_file


def test_plain_lines_off_a_terminal(tmp_path, monkeypatch):
  clock = iter([100.0, 102.0, 104.0, 106.0, 108.0])
  stream = io.StringIO()
  with open_log(tmp_path, stream=stream) as log:
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: next(clock))
    log.progress(1, {"loss": 2.5, "tokens_per_s": 312.4, "lr": 0.1})
    log.progress(2, {"loss": 2.4, "tokens_per_s": 310.0})  # too soon
    log.progress(3, {"loss": 2.3})  # too soon
    log.progress(4, {"loss": 2.31449, "tokens_per_s": 310.0})
    log.message("checkpoint written")
    log.progress(20, {"loss": 1.0})  # too soon, and the last
    monkeypatch.undo()
  assert stream.getvalue().splitlines() == [
    "step 1/20  loss 2.5000  tokens/s 312",
    "step 4/20  loss 2.3145  tokens/s 310  eta 0:32",  # 16 steps of 2 s
    "checkpoint written",
    "step 20/20  loss 1.0000  eta 0:00",
  ]


@pytest.mark.parametrize(
  "seconds, said",
  [
    (0.0, "0:00"),
    (83.0, "1:23"),
    (59.6, "1:00"),
    (3599.7, "1:00:00"),
    (90061.0, "25:01:01"),
  ],
)
def test_time_left_reads_as_a_clock(seconds, said):
  assert progress_file._clock(seconds) == said


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_terminal_gets_a_bar_and_messages_above_it(tmp_path, monkeypatch):
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "100")
  stream = Terminal()
  with open_log(tmp_path, stream=stream) as log:
    log.progress(1, {"loss": 2.5, "tokens_per_s": 312.4})
    log.message("[bold]read as it is[/bold]")
    log.progress(20, {"loss": 1.0})
  drawn = stream.getvalue()
  assert "step 20/20" in drawn and "loss 1.0000" in drawn and "\x1b[" in drawn
  assert "[bold]read as it is[/bold]" in drawn


def test_rows_are_counted_in_lines_off_a_terminal(monkeypatch):
  clock = iter([100.0, 102.0, 106.0, 106.0, 107.0, 120.0, 120.0])
  monkeypatch.setattr(progress_file.time, "monotonic", lambda: next(clock))
  stream = io.StringIO()
  with progress_file.Counting(stream, "tokenising") as count:
    count("data.train", 10)  # too soon
    count("data.train", 12000)
    count("data.eval", 3)  # too soon
    count("data.eval", 9)
  assert stream.getvalue().splitlines() == [
    "tokenising data.train: 12,000 rows",
    "tokenising data.eval: 9 rows",
  ]


def test_rows_are_counted_on_a_terminal():
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  stream = Terminal()
  with progress_file.Counting(stream, "tokenising") as count:
    count("data.train", 1234)
  assert "tokenising data.train" in stream.getvalue()
  assert "1,234 rows" in stream.getvalue()
