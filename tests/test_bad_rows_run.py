"""Bad rows of a run: how many there may be, what is kept of them."""

import json

import pytest

from alignjax import build, train
from alignjax.data.bad import BadRow, BadRows, Record, write


def test_too_many_bad_rows_stop_the_run_by_kind():
  bad = BadRows("skip", 0.01)
  bad(BadRow("f:7", "NaN", "NaN is no JSON\nmore"))
  bad.check(99)  # one of a hundred
  for origin in ("f:8", "f:9"):
    bad(BadRow(origin, "NUL", "a NUL"))
  with pytest.raises(ValueError) as error:
    bad.check(97)
  assert str(error.value) == (
    "3 of 100 rows are bad, the limit is 1.00%: 2 NUL, 1 NaN\n"
    "the first: f:7: NaN is no JSON\n"
    "repair the rows, or raise data.bad_rows_limit"
  )


def test_rules_and_limits_are_checked():
  with pytest.raises(ValueError, match="'ignore'; legal: error, skip, quaran"):
    BadRows("ignore", 0.01)
  with pytest.raises(ValueError, match="bad_rows_limit = 5.0; .* from 0 to 1"):
    BadRows("skip", 5.0)


def test_records_are_written_as_lines(tmp_path):
  records = [Record("f:1", "NUL", "why\nso", "raw \ud800 é"), Record(*"abcd")]
  write(records, tmp_path / "bad_rows.jsonl")
  read_back = (tmp_path / "bad_rows.jsonl").read_text("ascii").splitlines()
  assert [Record(**json.loads(line)) for line in read_back] == records


def mixed(tmp_path):
  """One row of each fate: good, an empty answer, nothing left, not JSON."""
  path = tmp_path / "a.jsonl"
  turns = ("user", "b"), ("assistant", " "), ("user", "c"), ("assistant", "d")
  rows = [
    {"prompt": "1+1?", "completion": "2"},
    {"messages": [{"role": r, "content": text} for r, text in turns]},
    {"prompt": "x" * 300, "completion": "y"},
  ]
  path.write_text("\n".join([*map(json.dumps, rows), "{"]) + "\n")
  return str(path)


def test_a_run_counts_bad_rows_in_its_report_and_keeps_them(
  tiny, tmp_path, monkeypatch
):
  path = mixed(tmp_path)
  values = dict(
    mesh=(1, 1, 1),
    data__train__path=path,
    data__too_long="truncate",
    data__bad_rows_limit=0.75,
  )
  config = tiny(**values, data__on_bad_row="quarantine")
  reports = []

  def stop_here(folder, config, facts, **options):
    reports.extend(facts["data"])

  class Enough(Exception):
    pass

  def enough(*arguments, **options):
    raise Enough

  monkeypatch.setattr(train, "write_run", stop_here)
  monkeypatch.setattr(train, "RunLog", enough)
  with pytest.raises(Enough):
    train.train(config, tmp_path)
  assert reports[0] == (
    f"{path} (train): 1 rows, 3 bad: 1 empty completion, 1 nothing left, "
    "1 broken JSON"
  )
  lines = (tmp_path / "bad_rows.jsonl").read_text().splitlines()
  records = [Record(**json.loads(line)) for line in lines]
  assert [r.origin for r in records] == [f"{path}:{n}" for n in (2, 3, 4)]
  encodable, left, broken = records
  assert encodable.reason.startswith("empty completion: turn 1 would be")
  assert left.reason.startswith("nothing to train on is left of it at 256 tok")
  assert "xxx" in left.raw and broken.raw == "{\n"

  config = tiny(**values, data__on_bad_row="skip")
  place = build.placement(config)
  model = build.model(config, place)
  data = build.data(config, model.tokenizer, model.lm.config, place)
  assert data.report[0] == reports[0] and not data.bad
  with config.unlocked():
    config.data.bad_rows_limit = 0.74
  with pytest.raises(ValueError, match="3 of 4 rows are bad, .* 74.00%"):
    build.data(config, model.tokenizer, model.lm.config, place)


@pytest.mark.parametrize(
  "number, reason",
  [(1, "empty completion: turn 1"), (2, "nothing to train on is left")],
)
def test_what_cannot_be_tokens_stops_a_strict_run(
  tiny, tmp_path, number, reason
):
  file = tmp_path / "b.jsonl"
  with open(mixed(tmp_path)) as f:
    file.write_text(f.readlines()[number])
  config = tiny(
    mesh=(1, 1, 1), data__train__path=str(file), data__too_long="truncate"
  )
  place = build.placement(config)
  model = build.model(config, place)
  with pytest.raises(ValueError) as error:
    build.data(config, model.tokenizer, model.lm.config, place)
  assert str(error.value).startswith(f"{file}:1: {reason}")
