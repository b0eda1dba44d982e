"""Tokenised rows in one Arrow file, made once and looked up by what made them.

An entry is a folder `NAME-HASH12/`: `rows.arrow` (memory-mapped), `bad.jsonl`
(rows that were put aside) and `made_from.json`, which says what the rows were
made of. The hash is over the settings; the content of the source is compared on
opening, so that an entry of other data is refused instead of used.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from alignjax.data.bad import Record, write
from alignjax.data.rows import SCHEMA, Rows

VERSION = 2  # raised whenever the same source would give other rows
ROWS, BAD, MADE_FROM = "rows.arrow", "bad.jsonl", "made_from.json"


class Made(NamedTuple):
  """What reading a source gave: rows, counts and rows put aside.

  counts: read (bad ones included), rows, dropped, cut, bad (kind → number),
    first (bad row).
  digest: sha256 of `rows.arrow`, "" for a table in memory.
  """

  rows: Rows
  counts: dict[str, Any]
  bad: list[Record]
  digest: str


def fingerprint(files: Sequence[Path]) -> list[list]:
  """[name, bytes, sha256] of each file.

  Every byte is read, on every start of a run: about 1 s a GB.
  """
  return [[str(f), f.stat().st_size, sha256(f)] for f in files]


def sha256(file: Path) -> str:
  """The sha256 of a file, read piece by piece."""
  with file.open("rb") as f:
    return hashlib.file_digest(f, "sha256").hexdigest()


def digest(value: Any) -> str:
  """The sha256 of a value of plain Python types, by its JSON."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def place(folder: Path, made_from: Mapping[str, Any]) -> Path:
  """The folder of an entry, inside the cache's.

  made_from: settings, and what is only compared: `version` and `content`.
  """
  settings = {
    k: v for k, v in made_from.items() if k not in ("version", "content")
  }
  name = Path(made_from["source"]["path"].rstrip("/")).name
  name = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:40] or "rows"
  return folder / f"{name}-{digest(settings)[:12]}"


def find(entry: Path, made_from: Mapping[str, Any]) -> Made | None:
  """An entry, None where there is none. `rows.arrow` is read once and hashed.

  Raises ValueError, naming the folder, where it was made from something else
  or is not what was written.
  """
  if not entry.exists():
    return None
  remedy = "\ndelete the folder, or set data.cache to another one"
  try:
    found = json.loads((entry / MADE_FROM).read_text("utf-8"))
    size, wanted = found[ROWS]
    counts = found["counts"]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f"cache {entry}: {MADE_FROM} cannot be read: {error}{remedy}"
    ) from None
  for key, value in made_from.items():
    was = found.get(key)
    same = was == value
    if key == "content":  # the same files may lie elsewhere
      same = was is not None and [f[1:] for f in was] == [f[1:] for f in value]
    if not same:
      change = _change(key, was, value)
      raise ValueError(f"stale cache {entry}: {change}{remedy}")
  file = entry / ROWS
  if not file.is_file():
    raise ValueError(f"cache {entry}: {ROWS} is missing{remedy}")
  if file.stat().st_size != size:
    raise ValueError(
      f"cache {entry}: {ROWS} has {file.stat().st_size:,} bytes, "
      f"{size:,} were written{remedy}"
    )
  if sha256(file) != wanted:
    raise ValueError(
      f"cache {entry}: {ROWS} is not what was written, its sha256 differs"
      + remedy
    )
  table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
  bad = []
  if (entry / BAD).is_file():
    lines = (entry / BAD).read_text("ascii").splitlines()
    bad = [Record(**json.loads(line)) for line in lines]
  return Made(Rows(table), counts, bad, wanted)


def _change(key: str, was: Any, now: Any) -> str:
  """What differs between an entry and what is wanted, in a line or two."""
  if key != "content":
    return f"its {key} is {was}; {now} is wanted"
  was, now = ({f: (n, h) for f, n, h in files} for files in (was or [], now))
  for file, (size, sha) in was.items():
    if file not in now:
      return f"made from {file}, which is not there any more"
    if now[file] != (size, sha):
      new_size, new_sha = now[file]
      return (
        f"made from {file} of {size:,} bytes, sha256 {sha[:12]}…;\n"
        f"the file is now {new_size:,} bytes, sha256 {new_sha[:12]}…"
      )
  new = next(file for file in now if file not in was)
  return f"made without {new}, which is there now"


class Writer:
  """Makes an entry: batch after batch into a hidden folder, then renamed.

  What is not finished is removed on leaving the context. A process that is
  killed leaves only the hidden folder, which the next one to make this entry on
  the same machine removes.
  """

  def __init__(self, entry: Path):
    self.entry = entry
    entry.parent.mkdir(parents=True, exist_ok=True)
    _clear(entry)
    self.hidden = entry.parent / f".{entry.name}.tmp-{os.getpid()}@{_host()}"
    self.hidden.mkdir()
    self._disk = (self.hidden / ROWS).open("wb")
    self._file = pa.ipc.new_file(self._disk, SCHEMA)

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *_) -> None:
    try:
      self._disk.close()
    finally:
      shutil.rmtree(self.hidden, ignore_errors=True)

  def write(self, batch: pa.RecordBatch) -> None:
    """Adds rows at the end."""
    self._file.write_batch(batch)

  def finish(
    self,
    made_from: Mapping[str, Any],
    counts: Mapping[str, Any],
    bad: list[Record],
  ) -> None:
    """Gives the entry its name; one made meanwhile by another stays."""
    self._file.close()
    self._disk.close()
    file = self.hidden / ROWS
    written = {ROWS: [file.stat().st_size, sha256(file)], "counts": counts}
    write(bad, self.hidden / BAD)
    text = json.dumps({**made_from, **written}, indent=1) + "\n"
    (self.hidden / MADE_FROM).write_text(text, "utf-8")
    for name in (ROWS, BAD, MADE_FROM):
      _sync(self.hidden / name)
    _sync(self.hidden)
    try:
      self.hidden.rename(self.entry)
    except OSError as error:
      if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
        raise
    _sync(self.entry.parent)


def _host() -> str:
  return re.sub(r"[^\w.-]+", "-", socket.gethostname())


def _clear(entry: Path) -> None:
  """Removes what dead processes of this machine left of an entry."""
  for left in entry.parent.glob(f".{entry.name}.tmp-*@{_host()}"):
    pid = left.name.rpartition(".tmp-")[2].partition("@")[0]
    try:
      os.kill(int(pid), 0)
      alive = int(pid) != os.getpid()
    except ProcessLookupError:
      alive = False
    except PermissionError:
      alive = True  # another user's
    if not alive:
      shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
  """Waits until a file, or the names in a folder, are on the disk."""
  handle = os.open(path, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
