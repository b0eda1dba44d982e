"""A reader of a user's own, and the files that rows come from."""

import sys

import pytest

from alignjax.data.bad import BadRow
from alignjax.data.sources import files, read

OWN = """
from alignjax.data.bad import BadRow

def read(path, split):
  for number in range(5):
    origin = f"{path}#{number}"
    if number == 1:
      yield BadRow(origin, "NUL", "a NUL"), origin
    elif number == 3 and split == "raise":
      raise BadRow(origin, "NaN", "a NaN")
    elif split == "bare":
      yield {"text": "x"}
    else:
      yield {"text": f"{split} {number}"}, origin

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
  """The import path of a module of a user's."""
  (tmp_path / "my_readers.py").write_text(OWN)
  monkeypatch.syspath_prepend(tmp_path)
  yield "my_readers"
  sys.modules.pop("my_readers", None)


def test_a_reader_of_ones_own(own):
  bad = []

  def found(split, **kwargs):
    rows = read("p", split=split, reader=f"{own}.read", **kwargs)
    return [(row["text"], origin) for row, origin in rows]

  with pytest.raises(BadRow, match="p#1: a NUL"):
    found("some")
  rest = [("some 2", "p#2"), ("some 3", "p#3"), ("some 4", "p#4")]
  assert found("some", on_bad=bad.append) == [("some 0", "p#0"), *rest]
  assert found("some[2:]") == rest and found("some[:20%]", limit=9) == [
    ("some 0", "p#0")
  ]
  assert found("some", limit=2, on_bad=bad.append) == [("some 0", "p#0")]
  assert [b.origin for b in bad] == ["p#1", "p#1"]
  with pytest.raises(BadRow, match="p#3: a NaN"):  # raised: the end of it
    found("raise", on_bad=bad.append)
  with pytest.raises(
    ValueError, match=r"item 0 is \{'text': 'x'\}\n.*\(row, o"
  ):
    found("bare")


@pytest.mark.parametrize(
  "name, reason",
  [
    ("no_such_module.read", "No module named 'no_such_module'"),
    ("json.nothing", "no attribute 'nothing'"),
    ("read", "cannot be imported"),
    ("my_readers.number", "is int, not a function"),
  ],
)
def test_a_reader_that_is_none(own, name, reason):
  with pytest.raises(ValueError, match=reason) as error:
    read("p", reader=name)
  assert f"reader = {name!r}" in str(error.value)
  assert "write module.function" in str(error.value)
  with pytest.raises(ValueError, match=reason):
    files("p", reader=name)


def test_files_are_what_the_rows_come_from(own, tmp_path):
  data = tmp_path / "data"
  data.mkdir()
  for name in ("train-b.jsonl", "train-a.csv", "test.jsonl"):
    (data / name).write_text('{"text": "a"}')
  assert files(str(data)) == [data / "train-a.csv", data / "train-b.jsonl"]
  assert files(str(data), split="test[:1]") == [data / "test.jsonl"]
  assert files(str(data / "test.jsonl")) == [data / "test.jsonl"]
  source = tmp_path / "my_readers.py"
  assert files(str(data), reader=f"{own}.read") == sorted(
    [*data.iterdir(), source]
  )
  assert files("nowhere", reader=f"{own}.read") == [source]
  assert files("", reader=f"{own}.read") == [source]
  with pytest.raises(FileNotFoundError):
    files(str(tmp_path / "no.jsonl"))
