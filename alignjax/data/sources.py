"""Rows from files: JSON Lines, JSON, Parquet, tensorflow-datasets, folders.

A row is a plain dict; `formats` says what it means. Text is strict UTF-8 (a
byte order mark is tolerated at the start of a file). A row that cannot be read
is named and stops the run, unless the caller takes bad rows; a file that cannot
be read always does.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from alignjax.data.bad import BadRow, stop
from alignjax.data.lines import Item, read_json, read_lines

_SUFFIXES = (
  ".jsonl",
  ".ndjson",
  ".jsonl.gz",
  ".ndjson.gz",
  ".json",
  ".json.gz",
  ".parquet",
)
_SPLITS = ("train", "validation", "valid", "val", "dev", "eval", "test")
# Cards that lie beside the data in a dataset folder.
_CARDS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json")


def read(
  path: str,
  *,
  split: str = "train",
  limit: int | None = None,
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[tuple[dict, str]]:
  """Yields (row, origin) in the order of the source.

  path: a file (.jsonl, .json, either one with .gz, .parquet), a folder of such
    files with the split in their names, a tensorflow-datasets folder, or
    `tfds:NAME[/CONFIG]`.
  split: which part, and a slice of it in rows or percent, written as for
    tensorflow-datasets: `train`, `train[:90%]`, `validation[100:200]`. A single
    file has one part, whatever it is called.
  limit: stop after so many rows, bad ones included.
  on_bad: called with each bad row within split and limit; reading goes on where
    it returns.
  origin: `file:line` of a text file, `file[index]` of another.

  Raises FileNotFoundError where there is nothing to read, ValueError for a file
  that cannot be read; `on_bad` as it stands raises BadRow, a ValueError.
  """
  return _good(itertools.islice(_rows(path, split), limit), on_bad)


def _good(items: Iterable[Item], on_bad) -> Iterator[tuple[dict, str]]:
  for row, origin in items:
    if isinstance(row, BadRow):
      on_bad(row)
    else:
      yield row, origin


def _rows(path: str, split: str) -> Iterator[Item]:
  if path.startswith("tfds:") or (Path(path) / "features.json").exists():
    return _read_tfds(path, split)
  found = re.fullmatch(r"(\w+)(?:\[(\d+%?)?:(\d+%?)?\])?", split)
  if not found:
    raise ValueError(
      f"split = {split!r} is not a name with a slice in rows or percent\n"
      "write train, train[:90%], train[90%:] or train[100:200]"
    )
  name, start, stop = found.groups()
  rows = _read_files(path, name)
  if "[" not in split:
    return rows
  rows = list(rows)

  def place(text: str | None, default: int) -> int:
    if text is None:
      return default
    if text.endswith("%"):
      return len(rows) * int(text[:-1]) // 100
    return int(text)

  return iter(rows[place(start, 0) : place(stop, len(rows))])


def _read_files(path: str, split: str) -> Iterator[Item]:
  file = Path(path)
  if not file.exists():
    raise FileNotFoundError(_missing(file))
  if not file.is_dir():
    return _read_file(file)
  files = _files_of(file, split)
  return itertools.chain.from_iterable(map(_read_file, files))


def _missing(file: Path) -> str:
  folder = next(p for p in file.absolute().parents if p.is_dir())
  names = sorted(p.name for p in folder.iterdir())
  more = f" and {len(names) - 12} more" if len(names) > 12 else ""
  return (
    f"no such file or folder: {file}\n"
    f"the nearest folder that exists is {folder}\n"
    f"it holds: {', '.join(names[:12]) or 'nothing'}{more}"
  )


def _files_of(folder: Path, split: str) -> list[Path]:
  """The data files of a folder that belong to `split`, sorted by name."""
  found = {
    p: set(re.split(r"[^a-z]+", str(p.relative_to(folder)).lower()))
    for p in sorted(folder.rglob("*"))
    if p.name.endswith(_SUFFIXES) and p.name not in _CARDS and p.is_file()
  }
  if not found:
    raise FileNotFoundError(
      f"no data files in the folder {folder}\n"
      f"looked for: {', '.join(_SUFFIXES)}, or a tensorflow-datasets folder "
      "(features.json)"
    )
  files = [p for p, words in found.items() if split in words]
  if files:
    return files
  named = {s for words in found.values() for s in _SPLITS if s in words}
  if split == "train" and not named:
    return list(found)  # no file names a split: all of it is for training
  raise FileNotFoundError(
    f"no file of split {split!r} in the folder {folder}\n"
    f"splits found: {', '.join(sorted(named)) or 'none'}; "
    f"files: {', '.join(p.name for p in list(found)[:8])}"
  )


def _read_file(file: Path) -> Iterator[Item]:
  name = file.name.removesuffix(".gz")
  if name.endswith((".jsonl", ".ndjson")):
    return read_lines(file)
  if name.endswith(".json"):
    return read_json(file)
  if name.endswith(".parquet"):
    return _read_parquet(file)
  raise ValueError(
    f"{file}: cannot tell what kind of data this is from its name\n"
    f"known endings: {', '.join(_SUFFIXES)}"
  )


def _read_parquet(file: Path) -> Iterator[Item]:
  import pyarrow
  import pyarrow.parquet

  try:
    table = pyarrow.parquet.ParquetFile(file)
  except pyarrow.ArrowInvalid as e:
    raise ValueError(f"{file}: not a Parquet file: {e}") from e
  index = itertools.count()
  with table:
    for part in table.iter_batches():
      for row in part.to_pylist():
        yield row, f"{file}[{next(index)}]"


def _read_tfds(path: str, split: str) -> Iterator[Item]:
  import tensorflow_datasets as tfds

  try:
    if path.startswith("tfds:"):
      name = path.removeprefix("tfds:")
      builder = tfds.builder(name, file_format="array_record")
    else:
      builder = tfds.builder_from_directory(path)
    source = builder.as_data_source(split=split)
  except Exception as e:  # the package raises many kinds, with long lists
    reason = str(e).strip().split("\n")[0][:160] or type(e).__name__
    raise FileNotFoundError(
      f"{path}, split {split!r}: tensorflow-datasets cannot open it\n{reason}\n"
      "data sets are read from disk as array_record: prepare one first with\n"
      "  tfds.builder(NAME, file_format='array_record').download_and_prepare()"
    ) from e
  for index in range(len(source)):
    origin = f"{path}/{split}[{index}]"
    try:
      yield _text(source[index]), origin
    except UnicodeDecodeError as e:
      yield BadRow(origin, "invalid UTF-8", f"not UTF-8: {e.reason}"), origin


def _text(value):
  """Bytes to str and arrays to lists, all the way down."""
  if isinstance(value, dict):
    return {k: _text(v) for k, v in value.items()}
  if isinstance(value, bytes):
    return value.decode("utf-8")
  if hasattr(value, "tolist"):
    return _text(value.tolist())
  if isinstance(value, list | tuple):
    return [_text(v) for v in value]
  return value
