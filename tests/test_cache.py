import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from alignjax.data import cache
from alignjax.data.bad import Record
from alignjax.data.rows import Rows, record_batch
from alignjax.types import Row

BAD = [Record("a:2", "NUL", "a NUL", "\0")]
COUNTS = {
  "read": 4,
  "rows": 2,
  "dropped": 1,
  "cut": 0,
  "bad": {"NUL": 1},
  "first": "a",
}


def row(*tokens, weight=None):
  n = len(tokens)
  weights = None if weight is None else np.full(n, weight, np.float32)
  completions = np.array([0] + [1] * (n - 1), np.int32)
  return Row(
    np.array(tokens, np.int32), completions, f"a:{tokens[0]}", None, weights
  )


ROWS = [row(1, 2, 3), row(4, 5, weight=0.5)]


def made_from(tmp_path, **more):
  file = tmp_path / "train.jsonl"
  if not file.exists():
    file.write_text("one\n")
  return {
    "version": cache.VERSION,
    "source": {"path": str(file), "split": "train", "limit": 0},
    "tokenizer": "t",
    "content": cache.fingerprint([file]),
  } | more


def make(tmp_path, **more):
  """(entry, what it was made from) of two rows."""
  wanted = made_from(tmp_path, **more)
  entry = cache.place(tmp_path / "cache", wanted)
  with cache.Writer(entry) as writer:
    writer.write(record_batch(ROWS[:1]))
    writer.write(record_batch(ROWS[1:]))
    writer.finish(wanted, COUNTS, BAD)
  return entry, wanted


def equal(found, wanted):
  assert found.origin == wanted.origin and found.documents is None
  np.testing.assert_array_equal(found.tokens, wanted.tokens)
  np.testing.assert_array_equal(found.completions, wanted.completions)
  assert found.tokens.dtype == found.completions.dtype == np.int32
  assert (found.weights is None) == (wanted.weights is None)
  if found.weights is not None:
    assert found.weights.dtype == np.float32
    np.testing.assert_array_equal(found.weights, wanted.weights)


def test_an_entry_gives_back_what_was_written(tmp_path):
  entry, wanted = make(tmp_path)
  assert re.fullmatch(r"train\.jsonl-[0-9a-f]{12}", entry.name)
  assert sorted(p.name for p in entry.parent.iterdir()) == [entry.name]
  found = cache.find(entry, wanted)
  assert found.counts == COUNTS and found.bad == BAD
  assert len(found.rows) == 2
  for a, b in zip(found.rows, ROWS):
    equal(a, b)
  assert not found.rows[0].tokens.flags.owndata  # a view of the file
  assert cache.find(entry.parent / "none", wanted) is None


def test_the_name_says_the_settings_and_not_the_content(tmp_path):
  wanted = made_from(tmp_path)
  name = cache.place(tmp_path, wanted)
  assert cache.place(tmp_path, wanted | {"content": [], "version": 0}) == name
  assert cache.place(tmp_path, wanted | {"tokenizer": "u"}) != name
  source = {"path": "hf:some/name: x", "split": "train", "limit": 0}
  assert cache.place(tmp_path, wanted | {"source": source}).name.startswith(
    "name-x-"
  )


def refused(entry, wanted):
  with pytest.raises(ValueError) as error:
    cache.find(entry, wanted)
  text = str(error.value)
  assert str(entry) in text and "delete the folder" in text
  assert len(text.splitlines()) <= 5
  return text


def test_an_entry_of_another_content_is_refused(tmp_path):
  entry, wanted = make(tmp_path)
  file = tmp_path / "train.jsonl"
  file.write_text("two rows\n")
  now = made_from(tmp_path)
  assert cache.place(entry.parent, now) == entry
  text = refused(entry, now)
  assert text.startswith(f"stale cache {entry}: made from {file} of 4 bytes")
  old, new = wanted["content"][0][2], now["content"][0][2]
  assert old[:12] in text and f"now 9 bytes, sha256 {new[:12]}" in text
  moved = [["elsewhere", *file[1:]] for file in wanted["content"]]
  assert cache.find(entry, wanted | {"content": moved}) is not None
  more = [*wanted["content"], ["more.jsonl", 3, "ab"]]
  assert "without more.jsonl" in refused(entry, wanted | {"content": more})
  text = refused(entry, wanted | {"content": more[1:]})
  assert f"made from {file}, which is not there any more" in text
  text = refused(entry, wanted | {"version": 99})
  assert "its version is 2; 99 is wanted" in text


def test_damaged_entries_are_refused_by_name(tmp_path):
  entry, wanted = make(tmp_path)
  file = entry / "rows.arrow"
  good = file.read_bytes()
  file.write_bytes(good[:-1])
  assert f"has {len(good) - 1:,} bytes, {len(good):,} were" in refused(
    entry, wanted
  )
  file.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
  assert "its sha256 differs" in refused(entry, wanted)
  file.unlink()
  assert "rows.arrow is missing" in refused(entry, wanted)
  file.write_bytes(good)
  assert len(cache.find(entry, wanted).rows) == 2
  for text in ("{", "[]", '{"rows.arrow": 3}'):
    (entry / "made_from.json").write_text(text)
    assert "made_from.json cannot be read" in refused(entry, wanted)
  (entry / "made_from.json").unlink()
  assert "made_from.json cannot be read" in refused(entry, wanted)


def test_what_fails_half_way_leaves_nothing(tmp_path):
  wanted = made_from(tmp_path)
  entry = cache.place(tmp_path / "cache", wanted)
  with pytest.raises(RuntimeError), cache.Writer(entry) as writer:
    writer.write(record_batch(ROWS))
    raise RuntimeError
  assert cache.find(entry, wanted) is None
  assert list(entry.parent.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from alignjax.data import cache
writer = cache.Writer(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed(tmp_path, root):
  wanted = made_from(tmp_path)
  entry = cache.place(tmp_path / "cache", wanted)
  died = subprocess.run(
    [sys.executable, "-c", KILLED, entry], env=os.environ, cwd=root
  )
  assert died.returncode == -9
  (left,) = entry.parent.iterdir()
  assert left.name.startswith(f".{entry.name}.tmp-")
  assert cache.find(entry, wanted) is None
  with cache.Writer(entry) as alive:
    assert not left.exists()
    # One that is at work is left alone.
    busy = entry.parent / left.name.replace(
      left.name.split("tmp-")[1].split("@")[0], str(os.getppid())
    )
    busy.mkdir()
    alive.write(record_batch(ROWS))
    alive.finish(wanted, COUNTS, [])
  with cache.Writer(entry):
    assert busy.exists()
  assert cache.find(entry, wanted) is not None


def test_an_entry_made_meanwhile_stays(tmp_path):
  entry, wanted = make(tmp_path)
  before = (entry / "rows.arrow").stat().st_mtime_ns
  make(tmp_path)
  assert (entry / "rows.arrow").stat().st_mtime_ns == before
  assert [p.name for p in entry.parent.iterdir()] == [entry.name]
  told = json.loads((entry / "made_from.json").read_text())
  assert told["source"] == wanted["source"] and told["counts"]["rows"] == 2


def test_a_table_in_memory_knows_its_sizes():
  rows = Rows.of(ROWS)
  assert rows.lengths.tolist() == [3, 2] and rows.counts.tolist() == [2, 1]
  assert rows.largest.tolist() == [3, 5] and rows.origin(1) == "a:4"
  for a, b in zip(rows, ROWS):
    equal(a, b)
  with pytest.raises(IndexError, match="row 2 of 2"):
    rows[2]
  empty = Rows.of([])
  assert len(empty) == 0 and not empty.lengths.size and list(empty) == []


def test_weights_that_differ_in_a_row_are_refused():
  odd = ROWS[1]._replace(weights=np.array([1, 2], np.float32))
  with pytest.raises(ValueError, match="a:4: the weights of a row must be eq"):
    record_batch([odd])
