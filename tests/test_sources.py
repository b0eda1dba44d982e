import gzip
import json
import sys
from pathlib import Path

import pytest

from alignjax.data.bad import BadRow
from alignjax.data.sources import files, read

ROWS = [{"text": "one"}, {"text": "two"}, {"text": "three"}]


def write(path, rows):
  path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
  return str(path)


def texts(path, **kwargs):
  return [row["text"] for row, _ in read(str(path), **kwargs)]


def test_lines_give_rows_and_origins(tmp_path):
  path = write(tmp_path / "a.jsonl", ROWS[:2])
  assert list(read(path)) == [
    ({"text": "one"}, f"{path}:1"),
    ({"text": "two"}, f"{path}:2"),
  ]


def test_line_separators_inside_strings_do_not_split_rows(tmp_path):
  # U+2028, U+2029, U+0085 and vertical tab are where str.splitlines cuts.
  odd = [{"text": "a\u2028b\u2029c\u0085d\x0be\x1cf"}, {"text": "g"}]
  path = tmp_path / "a.jsonl"
  lines = [json.dumps(r, ensure_ascii=False) for r in odd]
  path.write_bytes("\n".join(lines).encode())
  assert [row for row, _ in read(str(path))] == odd


def test_byte_order_mark_blank_lines_and_carriage_returns(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}\r\n')
  assert list(read(str(path))) == [
    ({"text": "one"}, f"{path}:1"),
    ({"text": "two"}, f"{path}:3"),
  ]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.json"])
def test_every_ending_reads_the_same_rows(tmp_path, name):
  lines = "".join(json.dumps(r) + "\n" for r in ROWS)
  data = (lines if "jsonl" in name else json.dumps(ROWS)).encode()
  path = tmp_path / name
  path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
  assert texts(path) == ["one", "two", "three"]


def test_json_object_with_one_list(tmp_path):
  path = tmp_path / "a.json"
  path.write_text(json.dumps({"version": 1, "data": ROWS}))
  assert [o for _, o in read(str(path))][-1] == f"{path}[2]"
  path.write_text(json.dumps({"train": ROWS, "test": ROWS}))
  with pytest.raises(ValueError, match="2 lists"):
    list(read(str(path)))


def test_limit_stops_before_a_bad_row(tmp_path):
  path = write(tmp_path / "a.jsonl", ROWS)
  with open(path, "a") as f:
    f.write("{broken\n")
  assert texts(path, limit=3) == ["one", "two", "three"]
  with pytest.raises(ValueError, match=r"a\.jsonl:4: bad JSON"):
    texts(path)


@pytest.mark.parametrize(
  "line, reason",
  [
    (b"[1, 2]", "must be a JSON object"),
    (b'{"text": "caf\xe9"}', "not UTF-8: byte 0xe9 at offset 13"),
    (b'{"text": "a"} {"text": "b"}', "Extra data at column 15"),
  ],
)
def test_bad_line_is_named_with_its_reason(tmp_path, line, reason):
  path = tmp_path / "a.jsonl"
  path.write_bytes(b'{"text": "ok"}\n' + line + b"\n")
  with pytest.raises(ValueError, match=reason) as error:
    list(read(str(path)))
  assert f"{path}:2:" in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_lines_under_a_json_name_point_to_the_ending(tmp_path):
  path = write(tmp_path / "a.json", ROWS)
  with pytest.raises(ValueError, match=r"a\.json:2.*\n.*\n.*\.jsonl"):
    list(read(path))


def test_missing_file_names_the_nearest_folder(tmp_path):
  write(tmp_path / "here.jsonl", ROWS)
  with pytest.raises(FileNotFoundError) as error:
    read(str(tmp_path / "no" / "such.jsonl"))
  assert "no/such.jsonl" in str(error.value)
  assert "here.jsonl" in str(error.value)


def test_unknown_ending(tmp_path):
  path = tmp_path / "a.xyz"
  path.write_text("a,b")
  with pytest.raises(ValueError, match=r"\.parquet"):
    read(str(path))


def test_folder_reads_the_files_of_the_split(tmp_path):
  data = tmp_path / "data"
  data.mkdir()
  write(data / "train-00001-of-00002.jsonl", ROWS[1:])
  write(data / "train-00000-of-00002.jsonl", ROWS[:1])
  write(data / "test-00000-of-00001.jsonl", [{"text": "held out"}])
  (tmp_path / "dataset_info.json").write_text("{}")
  assert texts(tmp_path) == ["one", "two", "three"]
  assert texts(tmp_path, split="test") == ["held out"]
  with pytest.raises(FileNotFoundError, match="splits found: test, train"):
    texts(tmp_path, split="validation")


def test_folder_without_split_names_is_all_for_training(tmp_path):
  write(tmp_path / "contest.jsonl", ROWS)
  assert texts(tmp_path) == ["one", "two", "three"]
  with pytest.raises(FileNotFoundError, match="splits found: none"):
    texts(tmp_path, split="test")


def test_empty_folder(tmp_path):
  with pytest.raises(FileNotFoundError, match="no data files"):
    read(str(tmp_path))


def test_parquet_keeps_nested_rows(tmp_path):
  import pyarrow
  import pyarrow.parquet

  rows = [
    {"messages": [{"role": "user", "content": "hé"}], "n": i} for i in range(3)
  ]
  path = tmp_path / "train-0.parquet"
  pyarrow.parquet.write_table(
    pyarrow.Table.from_pylist(rows), path, row_group_size=2
  )
  expected = [(row, f"{path}[{i}]") for i, row in enumerate(rows)]
  assert list(read(str(path))) == expected
  assert list(read(str(tmp_path))) == expected
  path.write_bytes(b"not parquet")
  with pytest.raises(ValueError, match="not a Parquet file"):
    list(read(str(path)))


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
  """Two splits as tensorflow-datasets lays them out, one shard each."""
  import tensorflow_datasets as tfds
  from array_record.python.array_record_module import ArrayRecordWriter

  folder = tmp_path_factory.mktemp("tfds") / "tiny" / "1.0.0"
  folder.mkdir(parents=True)
  features = tfds.features.FeaturesDict(
    {
      "text": tfds.features.Text(),
      "tags": tfds.features.Sequence(tfds.features.Text()),
    }
  )
  features.save_config(str(folder))
  for split, numbers in {"train": range(3), "test": range(3, 4)}.items():
    file = f"tiny-{split}.array_record-00000-of-00001"
    writer = ArrayRecordWriter(str(folder / file), "group_size:1")
    for i in numbers:
      row = {"text": f"row {i} é", "tags": ["a", "b"]}
      writer.write(features.serialize_example(features.encode_example(row)))
    writer.close()
  splits = [
    {
      "name": name,
      "shardLengths": [size],
      "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    }
    for name, size in (("train", "3"), ("test", "1"))
  ]
  info = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record"}
  info |= {"splits": splits}
  (folder / "dataset_info.json").write_text(json.dumps(info))
  return str(folder)


def test_tfds_folder_gives_text_not_bytes(tfds_folder):
  rows = list(read(tfds_folder))
  assert sorted(r["text"] for r, _ in rows) == [f"row {i} é" for i in range(3)]
  assert rows[0][0]["tags"] == ["a", "b"]
  assert rows[2][1] == f"{tfds_folder}/train[2]"
  assert len(list(read(tfds_folder, split="train[:2]"))) == 2


def test_tfds_that_cannot_be_opened_says_how_to_prepare(tfds_folder):
  with pytest.raises(FileNotFoundError, match="(?s)split 'nope'.*array_record"):
    list(read(tfds_folder, split="nope"))
  with pytest.raises(FileNotFoundError) as error:
    list(read("tfds:no_such_dataset"))
  assert len(str(error.value).splitlines()) <= 5


def test_slices_of_a_file_hold_each_row_once(tmp_path):
  file = tmp_path / "rows.jsonl"
  file.write_text("".join(f'{{"text": "{i}"}}\n' for i in range(11)))

  def texts(split):
    return [row["text"] for row, _ in read(str(file), split=split)]

  assert texts("train[2:4]") == ["2", "3"]
  assert texts("train[:90%]") == [str(i) for i in range(9)]
  assert texts("train[:90%]") + texts("train[90%:]") == texts("train")
  assert texts("train[5:5]") == []


def test_a_slice_that_is_none_is_refused(tmp_path):
  file = tmp_path / "rows.jsonl"
  file.write_text('{"text": "a"}\n')
  with pytest.raises(ValueError, match=r"train\[::2\].*\n.*train\[:90%\]"):
    list(read(str(file), split="train[::2]"))


def test_a_slice_in_rows_reads_no_further(tmp_path):
  file = tmp_path / "rows.jsonl"
  file.write_text('{"text": "a"}\n{"text": "b"}\n{broken\n')
  assert texts(file, split="train[:2]") == ["a", "b"]
  assert texts(file, split="train[1:]", limit=1) == ["b"]
  assert texts(file, split="train[2:1]", on_bad=lambda bad: None) == []
  gz = tmp_path / "rows.jsonl.gz"  # whose end is missing
  row = b'{"text": "%d"}\n'
  data = gzip.compress(b"".join(row % i for i in range(9_999)))
  gz.write_bytes(data[: len(data) // 2])
  assert texts(gz, split="train[:2]") == ["0", "1"]
  with pytest.raises(ValueError, match="broken gzip"):
    texts(gz, split="train[:2%]")


def test_a_slice_counts_on_over_files(tmp_path):
  for name, rows in (("a", ROWS[:2]), ("b", ROWS[2:])):
    write(tmp_path / f"train-{name}.jsonl", rows)
  assert texts(tmp_path, split="train[1:3]") == ["two", "three"]
  assert texts(tmp_path, split="train[:67%]") == ["one", "two"]


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


def test_files_are_what_the_rows_come_from(own, tmp_path, tfds_folder):
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
  assert files(tfds_folder, split="train[:2]") == [
    Path(tfds_folder) / "features.json",
    Path(tfds_folder) / "tiny-train.array_record-00000-of-00001",
  ]
  with pytest.raises(FileNotFoundError):
    files(str(tmp_path / "no.jsonl"))
