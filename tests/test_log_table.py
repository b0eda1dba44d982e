"""A rollout in the log: its line, the table of three rows, the rows kept."""

import io

import pytest
from test_log import open_log
from test_log_progress import Terminal

from alignjax.log import NoLog, read_metrics
from alignjax.log.table import KEPT, line, plain, ranked, spread, three

METRICS = {
  "objective/scores": 0.4123,
  "objective/kl": 0.83,
  "completions/mean_length": 14.2,
  "completions/clipped_ratio": 0.031,
  "loss": 1.0,
}
SAID = "score 0.412, KL 0.83 nats, 14.2 tokens, 3 % cut"


def rows(*scores, **changes):
  return [
    {
      "prompt": f"question {i}",
      "completion": f"answer {i}",
      "score": score,
      "kl": 0.5 * i,
      "tokens": 10 + i,
      "stopped": True,
      **changes,
    }
    for i, score in enumerate(scores)
  ]


def test_a_line_says_what_is_there():
  assert line(METRICS) == SAID
  assert line({"objective/kl": -1e-9}) == "KL 0.00 nats"
  assert line({"objective/scores": None, "loss": 1.0}) == ""


def test_rows_are_kept_evenly_over_the_scores():
  found = spread(rows(*range(64)), KEPT)
  assert [r["score"] for r in found] == [63, 54, 45, 36, 27, 18, 9, 0]
  assert spread(rows(1, 3, 2), KEPT) == ranked(rows(1, 3, 2))
  assert spread(rows(1, 3, 2), 1)[0]["score"] == 3
  assert spread([], KEPT) == []
  # What is equal stays as it stands.
  found = spread(rows(*[1.0] * 16), KEPT)
  assert [r["tokens"] for r in found] == [10, 12, 14, 16, 18, 20, 22, 25]


def test_the_best_the_median_and_the_worst():
  assert plain(three(rows(0.5, -2.0, 1.25, 0.75))).splitlines() == [
    "        score    KL  tokens  prompt               completion",
    "best     1.25  1.00      12  question 2           answer 2",
    "median   0.75  1.50      13  question 3           answer 3",
    "worst      -2  0.50      11  question 1           answer 1",
  ]
  lines = plain(three(rows(1.0))).splitlines()
  assert [x.split()[0] for x in lines[1:]] == ["best", "median", "worst"]


@pytest.mark.parametrize(
  "text, shown",
  [
    ("word " * 99, "word word word word word word"),
    ("漢字" * 99, "漢字漢字漢字漢字漢字漢字"),
    ("a\n\x1b[2Jb\u202e\ud800", r"a\n\x1b[2Jb\u202e\ud800"),
    ("[bold]it[/bold]", "[bold]it[/bold]"),
  ],
)
def test_a_text_is_one_line_that_fits(text, shown):
  *_, last = plain(three(rows(1.0, completion=text, prompt="p"))).splitlines()
  assert last.partition("  p  ")[2].strip().startswith(shown)
  wide = sum(2 if c in "漢字" else 1 for c in last)
  assert wide <= 80 and "\x1b" not in last


def test_a_rollout_is_told_and_kept(tmp_path):
  stream = io.StringIO()
  table = rows(*range(20))
  with open_log(tmp_path, stream=stream) as log:
    log.rollout(1, METRICS, table, drawn=True)
    log.rollout(5, METRICS, table, drawn=False)
  said = stream.getvalue().splitlines()
  drawn = plain(three(table)).splitlines()
  assert said == [f"step 1: {SAID}", *drawn, f"step 5: {SAID}"]
  kept = read_metrics(tmp_path / "samples.jsonl")
  assert len(kept) == 2 * KEPT
  own = {"step": 1, "name": "rollouts"}
  assert kept[:KEPT] == [own | row for row in spread(table, KEPT)]
  NoLog().rollout(1, METRICS, table, drawn=True)


def test_rows_of_rollouts_are_not_taken_for_answers(tmp_path):
  """A resumed run asks again what a kill left without an answer."""
  with open_log(tmp_path) as log:
    log.rollout(4, METRICS, rows(1.0, 2.0), drawn=False)
    log.text(4, "answers", rows(1.0))
  with open_log(tmp_path, start_step=4) as log:
    assert log.kept["samples"][4] == 1
  assert len(read_metrics(tmp_path / "samples.jsonl")) == 3


def test_on_a_narrow_terminal_the_table_is_narrow(tmp_path, monkeypatch):
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "60")
  stream = Terminal()
  with open_log(tmp_path, stream=stream) as log:
    log.rollout(1, METRICS, rows(1.0, completion="x" * 99), drawn=True)
  (best,) = (x for x in stream.getvalue().splitlines() if x.startswith("best"))
  assert len(best) == 60 and best.endswith("…")
