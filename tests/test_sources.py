import gzip
import json

import pytest

from alignjax.data.sources import read

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
