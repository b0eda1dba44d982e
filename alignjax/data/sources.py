"""Rows of a source: files, folders, hub names, or a reader of the user's own.

A row is a plain dict; `formats` says what it means. Text is strict UTF-8 (a
byte order mark is tolerated at the start of a file). A row that cannot be read
is named and stops the run, unless the caller takes bad rows; a file that cannot
be read always does.
"""

import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from alignjax.data import folders, records
from alignjax.data.bad import BadRow, stop
from alignjax.data.lines import Item, read_json, read_lines
from alignjax.data.tables import read_arrow, read_csv, read_parquet

_READERS = {
  ".jsonl": read_lines,
  ".ndjson": read_lines,
  ".json": read_json,
  ".csv": read_csv,
  ".tsv": read_csv,
  ".parquet": read_parquet,
  ".arrow": read_arrow,
}


def read(
  path: str,
  *,
  split: str = "train",
  limit: int | None = None,
  on_bad: Callable[[BadRow], None] = stop,
  reader: str | None = None,
) -> Iterator[tuple[dict, str]]:
  """Yields (row, origin) in the order of the source, files sorted by name.

  path: a file (`folders.ENDINGS`), a folder of them or a Hugging Face data set
    (`folders`: `FOLDER[:CONFIG]`, `hf:OWNER/NAME[:CONFIG]`), or
    tensorflow-datasets (`records`: a folder, `tfds:NAME[/CONFIG]`).
  split: which part, and a slice of it in rows or percent, written as for
    tensorflow-datasets: `train`, `train[:90%]`, `validation[100:200]`. A single
    file has one part, whatever it is called. Nothing is read after a slice; one
    in percent reads all twice, to count first.
  limit: stop after so many rows, bad ones included.
  on_bad: called with each bad row within split and limit; reading goes on where
    it returns.
  reader: import path `module.function` of a reader of your own, called with
    (path, name of the split) each time its rows are needed, from the first one.
    It yields (row, origin), or (BadRow, origin) where `on_bad` shall decide; an
    error that it raises, BadRow or another, ends the run.
  origin: `file:line` of a text file, `file[index]` of another.

  Raises FileNotFoundError where there is nothing to read, ValueError for a file
  that cannot be read; `on_bad` as it stands raises BadRow, a ValueError.
  """
  return _good(itertools.islice(_rows(path, split, reader), limit), on_bad)


def files(
  path: str, *, split: str = "train", reader: str | None = None
) -> list[Path]:
  """The files that the rows of `read` come from, sorted.

  Of a reader: all files under path, where that exists, and the module's own.
  """
  if reader is not None:
    _reader(reader)  # imports it
    module = sys.modules[reader.rpartition(".")[0]]
    found = [Path(getattr(module, "__file__", None) or "")]
    found += [Path(path), *Path(path).rglob("*")] if path else []
    return sorted({p for p in found if p.is_file()})
  if records.is_prepared(path):
    return records.files(path, split)
  name, _, _ = _slice(split)
  return folders.find(path, name)


def _good(items: Iterable[Item], on_bad) -> Iterator[tuple[dict, str]]:
  for row, origin in items:
    if isinstance(row, BadRow):
      on_bad(row)
    else:
      yield row, origin


def _rows(path: str, split: str, reader: str | None) -> Iterator[Item]:
  if reader is None and records.is_prepared(path):
    return records.read_records(path, split)
  name, start, end = _slice(split)
  if reader is not None:
    rows = partial(_own, _reader(reader), reader, path, name)
  else:
    # Looked up here, so that what is missing is said before the first row.
    rows = partial(_chain, [(_kind(f), f) for f in folders.find(path, name)])
  return _cut(rows, start, end)


def _slice(split: str) -> tuple[str, str, str]:
  """Name, start and end of `name[start:end]`, "" where not given."""
  found = re.fullmatch(r"(\w+(?:\.\w+)*)(?:\[(\d+%?)?:(\d+%?)?\])?", split)
  if not found:
    raise ValueError(
      f"split = {split!r} is not a name with a slice in rows or percent\n"
      "write train, train[:90%], train[90%:] or train[100:200]"
    )
  name, start, end = found.groups(default="")
  return name, start, end


def _cut(
  rows: Callable[[], Iterator[Item]], start: str, end: str
) -> Iterator[Item]:
  count = sum(1 for _ in rows()) if "%" in start + end else 0

  def place(text: str) -> int:
    if text.endswith("%"):
      return count * int(text[:-1]) // 100
    return int(text)

  first, last = place(start or "0"), place(end) if end else None
  yield from itertools.islice(rows(), first, last)


def _chain(found) -> Iterator[Item]:
  for read_file, file in found:
    yield from read_file(file)


def _kind(file: Path) -> Callable[[Path], Iterator[Item]]:
  name = file.name.lower()
  if name.endswith(folders.ENDINGS):
    return _READERS[Path(name.removesuffix(".gz")).suffix]
  raise ValueError(
    f"{file}: cannot tell what kind of data this is from its name\n"
    f"known endings: {', '.join(folders.ENDINGS)}"
  )


def _reader(name: str) -> Callable:
  module, _, function = name.rpartition(".")
  try:
    found = getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError, ValueError) as e:
    raise ValueError(
      f"reader = {name!r} cannot be imported: {e}\n"
      "write module.function, as in alignjax.data.oasst.read; the module is "
      "found beside the config, or in a folder of PYTHONPATH"
    ) from e
  if not callable(found):
    raise ValueError(
      f"reader = {name!r} is {type(found).__name__}, not a function\n"
      "write module.function; it is called with (path, split)"
    )
  return found


def _own(function: Callable, name: str, path: str, split: str):
  """The rows of a reader, each checked to be one."""
  for number, item in enumerate(function(path, split)):
    pair = isinstance(item, tuple) and len(item) == 2
    if not pair or not isinstance(item[0], dict | BadRow):
      raise ValueError(
        f"reader {name}: item {number} is {repr(item)[:80]}\n"
        "a reader yields (row, origin): a dict, or a BadRow, and a string"
      )
    yield item[0], str(item[1])
