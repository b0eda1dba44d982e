"""Tables as rows, a column a key: CSV, TSV, Parquet, Arrow streams."""

import contextlib
import csv
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from alignjax.data import lines
from alignjax.data.bad import BadRow
from alignjax.data.lines import Item

_BATCH = 1024  # rows of a Parquet file held at once
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream


def read_csv(file: Path) -> Iterator[Item]:
  """Rows of CSV, or of TSV by its ending; every value is a string.

  The first record names the columns. Cells may be quoted, with line ends and
  doubled quotes inside; a row's origin is the line it begins on.

  Raises ValueError where the names are unfit, and where a quoted cell of many
  lines breaks: the rows after it cannot be told from its text.
  """
  records = _records(file, "\t" if ".tsv" in file.name.lower() else ",")
  names, origin, _ = next(records, ([], f"{file}:1", ""))
  if isinstance(names, BadRow):
    raise names
  _check_names(names, origin)
  for cells, origin, raw in records:
    if not isinstance(cells, BadRow) and len(cells) != len(names):
      cells = BadRow(
        origin,
        "wrong columns",
        f"{len(cells)} columns, where the header names {len(names)}: "
        f"{', '.join(names)[:200]}\n"
        "quote cells that hold the separator or a line end",
        raw,
      )
    if isinstance(cells, BadRow):
      yield _last(cells, raw), origin
    else:
      yield dict(zip(names, cells)), origin


def _check_names(names: list[str], origin: str) -> None:
  if not names:
    raise ValueError(
      f"{origin}: no header; the first row of a table names its columns"
    )
  for name in names:
    if not name.strip() or names.count(name) > 1:
      what = f"the name {name!r} twice" if name.strip() else "an empty name"
      raise ValueError(
        f"{origin}: {what} among the columns: {', '.join(names)[:200]}\n"
        "give every column a name of its own"
      )


def _last(bad: BadRow, raw: str) -> BadRow:
  """The same, or a truncated last line where the line has no end."""
  cut = not raw.endswith(("\n", "\r"))
  if not cut or bad.kind not in ("wrong columns", "broken CSV"):
    return bad
  reason = f"the last line ends early: {bad.reason}"
  return BadRow(bad.origin, "truncated last line", reason, bad.raw)


class _Lines:
  """The lines of a file as the csv module takes them, record by record."""

  def __init__(self, file: Path):
    self.file = file
    self.numbered = enumerate(lines.byte_lines(file), 1)
    self.begin()

  def begin(self) -> None:
    """Forgets the record before."""
    self.first, self.size = 0, 0
    self.taken: list[str] = []
    self.fault: BadRow | None = None

  def __iter__(self):
    return self

  def __next__(self) -> str:
    number, line = next(self.numbered)
    self.first = self.first or number
    self.size += len(line)
    origin = f"{self.file}:{number}"
    if self.size > lines.MAX_LINE:
      if self.taken:
        raise self.open_quote(f"no end within {lines.MAX_LINE:,} bytes")
      self.fault, line = lines.too_long(origin, line), b"\n"
    try:
      text = lines.decode(line, origin, first=number == 1)
      lines.check(text, origin)
    except BadRow as e:
      self.fault = self.fault or e
      text = line.decode("utf-8", "replace")
    self.taken.append(text)
    return text

  def open_quote(self, why: object) -> ValueError:
    return ValueError(
      f"{self.file}:{self.first}: a quoted cell that begins in this row breaks "
      f"{len(self.taken)} lines on: {why}\n"
      "the rows after it cannot be told from its text\n"
      'write each quote inside a quoted cell twice: "he said ""no"""'
    )


def _records(
  file: Path, delimiter: str
) -> Iterator[tuple[list[str] | BadRow, str, str]]:
  """(cells or what is wrong, origin, text) of each record; no empty ones."""
  feed = _Lines(file)
  reader = csv.reader(feed, delimiter=delimiter, strict=True)
  while True:
    feed.begin()
    try:
      cells = _next(reader)
    except csv.Error as e:
      if len(feed.taken) > 1:
        raise feed.open_quote(e) from e
      remedy = "quote cells with quotes or line ends in them; double the quotes"
      reason = f"bad CSV: {e}\n{remedy}"
      cells = BadRow(f"{file}:{feed.first}", "broken CSV", reason)
    if cells is None:
      return
    origin, raw = f"{file}:{feed.first}", "".join(feed.taken)
    if feed.fault or isinstance(cells, BadRow):
      bad = feed.fault or cells
      cells = BadRow(bad.origin, bad.kind, bad.reason, bad.raw or raw)
    if cells:
      yield cells, origin, raw


def _next(reader) -> list[str] | None:
  # The limit of a cell is one for the process, and 128 KiB: put back at once.
  limit = csv.field_size_limit(lines.MAX_LINE)
  try:
    return next(reader, None)
  finally:
    csv.field_size_limit(limit)


def read_parquet(file: Path) -> Iterator[Item]:
  """Rows of a Parquet file, nested values and all."""
  import pyarrow
  import pyarrow.parquet

  with _whole(file, "Parquet file"):
    with pyarrow.parquet.ParquetFile(file) as table:
      _check_names(table.schema_arrow.names, str(file))
      yield from _batches(table.iter_batches(_BATCH), file)


def read_arrow(file: Path) -> Iterator[Item]:
  """Rows of an Arrow stream, as Hugging Face `save_to_disk` writes them."""
  import pyarrow

  with _whole(file, "Arrow stream"):
    with (
      pyarrow.memory_map(str(file)) as source,
      pyarrow.ipc.open_stream(source) as batches,
    ):
      if source.read_at(8, max(0, source.size() - 8)) != _END:
        raise pyarrow.ArrowInvalid("the stream ends early")
      _check_names(batches.schema.names, str(file))
      yield from _batches(batches, file)
      if source.tell() != source.size():
        raise pyarrow.ArrowInvalid(f"the stream ends at {source.tell():,}")


@contextlib.contextmanager
def _whole(file: Path, what: str):
  """Names the file where pyarrow finds it damaged."""
  import pyarrow

  try:
    yield
  except (pyarrow.ArrowInvalid, OSError) as e:
    raise ValueError(
      f"{file}: not a {what}, or a damaged one: {str(e)[:200]}\n"
      "fetch or write it again"
    ) from e


def _batches(batches: Iterable, file: Path) -> Iterator[Item]:
  index = itertools.count()
  for batch in batches:
    for row in _listed(batch):
      origin = f"{file}[{next(index)}]"
      if isinstance(row, UnicodeDecodeError):
        row = BadRow(origin, "invalid UTF-8", f"not UTF-8: {row.reason}")
      yield row, origin


def _listed(batch) -> list:
  """The rows of a batch; the error in place of a row that is no text."""
  for column in batch.columns:
    _check_column(column)
  try:
    return batch.to_pylist()
  except UnicodeDecodeError as e:
    if len(batch) == 1:
      return [e]
    return [_listed(batch.slice(i, 1))[0] for i in range(len(batch))]


def _check_column(column) -> None:
  """Raises where a damaged file would lead out of the memory it was read to."""
  import pyarrow

  try:
    column.validate(full=True)
  except pyarrow.ArrowInvalid as e:
    if "UTF8" not in str(e):  # which is told row by row
      raise
