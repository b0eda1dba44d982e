import gzip
import json
import tracemalloc

import pyarrow
import pyarrow.parquet
import pytest

from alignjax.data import lines
from alignjax.data.bad import RULES, BadRow, BadRows
from alignjax.data.sources import read


def rows(path, **kwargs):
  return list(read(str(path), **kwargs))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "A.TSV.GZ"])
def test_cells_are_strings_and_origins_first_lines(tmp_path, name):
  # A mark, quoted line ends, doubled quotes, an empty line, an empty cell, a
  # line separator of Unicode; the last line has no end.
  text = '\ufeffprompt,n\r\n"a ""b"",\nc",1\r\n\r\n\u2028d\u0085,\r\ne,NaN'
  if "tsv" in name.lower():
    text = text.replace(",", "\t")
  path = tmp_path / name
  data = text.encode()
  path.write_bytes(gzip.compress(data) if "gz" in name.lower() else data)
  comma = "\t" if "tsv" in name.lower() else ","
  assert rows(path) == [
    ({"prompt": f'a "b"{comma}\nc', "n": "1"}, f"{path}:2"),
    ({"prompt": "\u2028d\u0085", "n": ""}, f"{path}:5"),
    ({"prompt": "e", "n": "NaN"}, f"{path}:6"),
  ]


# Bytes of line 2 -> its kind and what the message must say.
KINDS = {
  b"a\n": ("wrong columns", "1 columns, where the header names 2: prompt, com"),
  b"a,b,c\n": ("wrong columns", "3 columns"),
  b'"a"b,c\n': ("broken CSV", "bad CSV: ',' expected after '\"'"),
  b"a\rb,c\n": ("broken CSV", "bad CSV: new-line character"),
  b"caf\xe9,b\n": ("invalid UTF-8", "not UTF-8: byte 0xe9 at offset 3"),
  b"a,b\0\n": ("NUL", "a NUL character at column 4"),
  b"\xef\xbb\xbfa,b\n": ("BOM", "a byte order mark inside the file"),
  b"a": ("truncated last line", "the last line ends early: 1 columns"),
  b'a,"b': ("truncated last line", "ends early: bad CSV: unexpected end"),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("line", KINDS)
def test_every_kind_of_bad_record_is_named(tmp_path, line, rule):
  kind, reason = KINDS[line]
  last = kind == "truncated last line"
  path = tmp_path / "a.csv"
  path.write_bytes(b"prompt,completion\n" + line + (b"" if last else b"c,d\n"))
  bad = BadRows(rule, 1.0)
  if rule == "error":
    with pytest.raises(BadRow) as error:
      rows(path, on_bad=bad)
    assert str(error.value).startswith(f"{path}:2: ")
    assert reason in str(error.value)
    return
  good = rows(path, on_bad=bad)
  assert [origin for _, origin in good] == ([] if last else [f"{path}:3"])
  assert bad.kinds() == f"1 {kind}"
  for record in bad.kept:
    assert record[:2] == (f"{path}:2", kind) and reason in record.reason
    assert line.decode("utf-8", "replace").startswith(record.raw)
  assert len(bad.kept) == (rule == "quarantine")


@pytest.mark.parametrize(
  "text, reason",
  [
    ("", ":1: no header"),
    ("\n\n", ":1: no header"),
    ("a,,c\n1,2,3\n", ":1: an empty name among the columns: a, , c"),
    ("a,b,a\n1,2,3\n", ":1: the name 'a' twice among the columns: a, b, a"),
    ('"a"b\n', ":1: bad CSV"),
    ("\0\n", ":1: a NUL"),
  ],
)
def test_a_header_must_name_every_column(tmp_path, text, reason):
  path = tmp_path / "a.csv"
  path.write_text(text)
  with pytest.raises(ValueError) as error:  # whatever is done with bad rows
    rows(path, on_bad=BadRows("skip", 1.0))
  assert f"{path}{reason}" in str(error.value)


@pytest.mark.parametrize(
  "text", ['"x\nhe said "no"\n', '"never closed\nb\nc\n']
)
def test_a_broken_cell_of_many_lines_stops_a_lenient_run_too(tmp_path, text):
  path = tmp_path / "a.csv"
  path.write_text(f"text\na\n{text}")
  with pytest.raises(ValueError, match=r"a\.csv:3: a quoted cell that begins"):
    rows(path, on_bad=BadRows("skip", 1.0))
  assert len(rows(path, limit=1)) == 1


def test_long_cells_are_read_and_too_long_lines_are_not(tmp_path, monkeypatch):
  path = tmp_path / "a.csv"
  path.write_text(
    "text\n" + "x" * 200_000 + "\n"
  )  # the module's own limit: 2^17
  assert len(rows(path)[0][0]["text"]) == 200_000
  monkeypatch.setattr(lines, "MAX_LINE", 60)
  path.write_text(f"text\n{'x' * 61}\nb\n")
  bad = BadRows("quarantine", 1.0)
  assert rows(path, on_bad=bad) == [({"text": "b"}, f"{path}:3")]
  assert bad.kept[0].raw == "x" * 61
  assert bad.first == f"{path}:2: a line of more than 60 bytes"
  assert bad.kinds() == "1 line too long"
  path.write_text('text\n"' + "xxxxxxxx\n" * 9)
  with pytest.raises(
    ValueError, match=r":2: .*\d lines on: no end within 60 b"
  ):
    rows(path, on_bad=bad)


def table(values):
  """One text column of these bytes, UTF-8 or not."""
  data = pyarrow.array(values, pyarrow.binary())
  length, buffers = len(data), data.buffers()
  text = pyarrow.Array.from_buffers(pyarrow.string(), length, buffers)
  nested = pyarrow.array([[{"role": "user", "content": "é"}]] * length)
  return pyarrow.table({"text": text, "messages": nested})


def write_stream(data, path, size=None):
  with pyarrow.ipc.new_stream(str(path), data.schema) as stream:
    stream.write_table(data, max_chunksize=size)


def write_parquet(data, path):
  pyarrow.parquet.write_table(data, path)


FORMS = {"a.parquet": write_parquet, "a.arrow": write_stream}


@pytest.mark.parametrize("name", FORMS)
def test_the_row_that_is_no_text_is_named(tmp_path, name):
  path = tmp_path / name
  FORMS[name](table([b"a", b"caf\xe9", b"c"]), path)
  with pytest.raises(BadRow) as error:
    rows(path)
  assert str(error.value).startswith(f"{path}[1]: not UTF-8")
  bad = BadRows("quarantine", 1.0)
  good = rows(path, on_bad=bad)
  assert [(r["text"], o) for r, o in good] == [
    ("a", f"{path}[0]"),
    ("c", f"{path}[2]"),
  ]
  assert good[0][0]["messages"] == [{"role": "user", "content": "é"}]
  assert bad.kept[0][:2] == (f"{path}[1]", "invalid UTF-8")


@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_file_is_named(tmp_path, name):
  path = tmp_path / name
  FORMS[name](table([b"text"] * 1000), path)
  whole = path.read_bytes()
  for data in (b"", b"no such thing", whole[: len(whole) // 2]):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: not a.* or a damaged one"):
      rows(path)


@pytest.mark.parametrize("name", FORMS)
def test_two_columns_of_one_name_are_refused(tmp_path, name):
  path = tmp_path / name
  FORMS[name](pyarrow.table([["a"], ["b"]], names=["text", "text"]), path)
  with pytest.raises(ValueError, match=rf"{name}: the name 'text' twice"):
    rows(path)


def test_a_stream_cut_between_batches_is_not_a_short_one(tmp_path):
  path = tmp_path / "a.arrow"
  write_stream(table([b"a", b"b"]), path, size=1)
  whole = path.read_bytes()
  path.write_bytes(whole[:-8])
  with pytest.raises(ValueError, match="a.arrow: .* the stream ends early"):
    rows(path)
  mark = b"\xff\xff\xff\xff"  # of the schema, each batch and the end
  second = -len(whole.split(mark, 3)[3]) + len(whole)
  path.write_bytes(whole[:second] + b"\0\0\0\0" + whole[second + 4 :])
  with pytest.raises(ValueError, match=f"the stream ends at {second + 4:,}"):
    rows(path)


@pytest.mark.parametrize("name", FORMS)
def test_damage_is_no_crash(tmp_path, name):
  # Offsets of text that lead out of the file, say: pyarrow follows them.
  path = tmp_path / name
  FORMS[name](table([b"some text"] * 20), path)
  whole = path.read_bytes()
  for at in range(0, len(whole), 7):
    path.write_bytes(whole[:at] + b"\x7f" * 4 + whole[at + 4 :])
    try:
      list(read(str(path), on_bad=lambda bad: None))
    except ValueError as e:
      assert name in str(e)


def test_a_stream_goes_on_over_its_batches(tmp_path):
  path = tmp_path / "a.arrow"
  write_stream(table([b"%d" % i for i in range(10)]), path, size=3)
  found = rows(path, split="train[2:50%]")
  assert [(r["text"], o) for r, o in found] == [
    (str(i), f"{path}[{i}]") for i in (2, 3, 4)
  ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
  path = tmp_path / name
  text = "x" * 1000
  line = json.dumps({"text": text}) if name == "a.jsonl" else text
  path.write_text("text\n" * (name == "a.csv") + f"{line}\n" * 2000)
  tracemalloc.start()
  count = sum(1 for _ in read(str(path), split="train[50%:]"))
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert count == 1000 and peak < 500_000  # of 2 MB
