import hashlib
import os
import subprocess
import sys

import pytest

from alignjax.data import cache, formats, tokenise
from alignjax.data.bad import BadRow, Record
from alignjax.data.templates import load_template
from alignjax.data.tokenise import Rules
from alignjax.data.tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
TEMPLATE = load_template(None, TOKENIZER)
RULES = Rules(train_on="assistant", max_length=120, too_long="drop")


def chat(n, words):
  rows = [{"prompt": f"{i}?", "completion": "yes " * words} for i in range(n)]
  return [formats.example(r, f"a:{i + 1}") for i, r in enumerate(rows)]


def items(n):
  """Rows of which some are bad, some cannot be encoded, some are too long."""
  found = chat(n, 3)
  for i in range(0, n, 7):
    found[i] = BadRow(f"a:{i + 1}", "NUL", "a NUL\nrepair it", "raw")
  for i in range(3, n, 11):
    found[i] = chat(1, 60)[0]._replace(origin=f"a:{i + 1}")
  return found


def spread(some, workers, rules=RULES):
  return list(
    tokenise.tokenise(some, TOKENIZER, TEMPLATE, rules, workers=workers)
  )


def test_a_chunk_by_hand():
  (chunk,) = spread(items(12), 1)
  assert chunk.read == 12 and chunk.dropped == 1 and chunk.cut == 0
  assert chunk.bad == [
    Record(f"a:{i}", "NUL", "a NUL\nrepair it", "raw") for i in (1, 8)
  ]
  origins = chunk.rows.column("origin").to_pylist()
  assert origins == [f"a:{i}" for i in (2, 3, 5, 6, 7, 9, 10, 11, 12)]


def test_rows_that_are_cut_are_counted():
  for rule, rows in (("split", 3), ("truncate", 1)):
    (chunk,) = spread(chat(1, 60), 1, RULES._replace(too_long=rule))
    assert (chunk.rows.num_rows, chunk.cut, chunk.dropped) == (rows, 1, 0)


def test_several_processes_give_what_one_gives(monkeypatch):
  monkeypatch.setattr(tokenise, "CHUNK", 16)
  alone, shared = spread(items(150), 1), spread(items(150), 2)
  assert len(alone) == len(shared) == 10
  for a, b in zip(alone, shared):
    assert a.rows.equals(b.rows) and a[1:] == b[1:]


def test_little_work_starts_no_process(monkeypatch):
  clock = iter(range(1000))  # a second a look
  monkeypatch.setattr(tokenise.time, "monotonic", lambda: next(clock))
  monkeypatch.setattr(tokenise, "ALONE_S", 3)
  monkeypatch.setattr(tokenise, "CHUNK", 16)
  monkeypatch.setattr(tokenise, "cores", lambda: 2)
  started = []

  def refuse(chunks, *arguments):
    started.append(sum(map(len, chunks)))
    return iter(())

  monkeypatch.setattr(tokenise, "_spread", refuse)
  assert sum(c.read for c in spread(chat(32, 1), 0)) == 32 and not started
  assert sum(c.read for c in spread(chat(40, 1), 0)) == 32 and started == [8]
  assert not spread(chat(40, 1), 2) and started == [8, 40]
  monkeypatch.setattr(tokenise, "cores", lambda: 1)
  assert sum(c.read for c in spread(chat(40, 1), 0)) == 40


def test_a_fault_of_the_config_stops_at_once(monkeypatch):
  rules = RULES._replace(train_on="assistent")
  for workers in (1, 2):
    with pytest.raises(ValueError, match="'assistent'; legal: assistant"):
      spread(chat(3, 1), workers, rules)
  with pytest.raises(ValueError, match="data.workers = -1"):
    spread(chat(3, 1), -1)


LATE = """
import multiprocessing
import os
import signal
from alignjax.data.templates import load_template
from alignjax.data.tokenise import Rules, tokenise
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.types import Example

if __name__ == "__main__":
  tokenizer = byte_tokenizer()
  def endless():
    while True:
      yield Example((), "text", "a", {})
  chunks = tokenise(endless(), tokenizer, load_template(None, tokenizer),
    Rules("all", 99, "drop"), workers=2)
  next(chunks)
  print(*[p.pid for p in multiprocessing.active_children()], flush=True)
  os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_their_parent(tmp_path, root):
  file = tmp_path / "late.py"
  file.write_text(LATE)
  done = subprocess.run(
    [sys.executable, file],
    env=os.environ | {"PYTHONPATH": str(root)},
    capture_output=True,
    text=True,
    timeout=60,  # its output is open as long as a worker lives
  )
  assert done.returncode == -9
  assert len(done.stdout.split()) == 2


def test_rows_are_those_of_this_version():
  """Where this fails, the same source gives other rows than before: if that is
  meant, raise `cache.VERSION`, so that older caches are refused."""
  digest = hashlib.sha256()
  rows = [
    {"messages": [
      {"role": "system", "content": "Be kind."},
      {"role": "user", "content": "Hé <|im_end|>"},
      {"role": "assistant", "content": "One."},
      {"role": "user", "content": "And?"},
      {"role": "assistant", "content": " Two, " + "three " * 20},
    ]},
    {"prompt": "p", "completion": "c"},
    {"instruction": "i", "input": "x", "output": "o"},
    {"text": "plain " * 30},
  ]  # fmt: skip
  for train_on in ("assistant", "last", "completion", "all"):
    for too_long in ("drop", "truncate"):
      found = [formats.example(r, f"a:{i}") for i, r in enumerate(rows)]
      rules = Rules(train_on, 150, too_long)
      for chunk in spread(found, 1, rules):
        for name in ("tokens", "completions", "weight"):
          digest.update(str(chunk.rows.column(name).to_pylist()).encode())
  assert (cache.VERSION, digest.hexdigest()[:12]) == (2, "13e56730058a")
