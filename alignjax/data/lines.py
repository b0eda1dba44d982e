"""JSON text as rows: one object a line, or one list a file."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from alignjax.data.bad import BadRow

MAX_LINE = 50_000_000  # bytes of a line; more is a file of another kind

# What readers yield: a row, or what is wrong with it; and its origin.
Item = tuple[dict | BadRow, str]


def _open(file: Path):
  packed = file.name.lower().endswith(".gz")
  return gzip.open(file, "rb") if packed else file.open("rb")


def read_lines(file: Path) -> Iterator[Item]:
  """Rows of JSON Lines; a bad line is yielded as what is wrong with it."""
  for number, line in enumerate(byte_lines(file), 1):
    origin = f"{file}:{number}"
    try:
      if len(line) > MAX_LINE:
        raise too_long(origin, line)
      text = decode(line, origin, first=number == 1)
      if text.strip():
        yield _row(_parse(text, origin), origin), origin
    except BadRow as e:
      cut = not line.endswith(b"\n") and line.count(b"{") > line.count(b"}")
      if cut and e.kind in ("broken JSON", "invalid UTF-8"):
        reason = f"the last line ends early: {e.reason}"
        e = BadRow(origin, "truncated last line", reason)
      yield BadRow(origin, e.kind, e.reason, _shown(line)), origin


def read_nested(
  file: Path, rows: Callable[[dict, str], Iterable[Item]]
) -> Iterator[Item]:
  """The rows that each object of JSON Lines holds; bad ones are yielded.

  rows: (object, origin) → its rows; a BadRow that it raises stands for all.
  """
  for value, origin in read_lines(file):
    if isinstance(value, BadRow):
      yield value, origin
      continue
    try:
      yield from rows(value, origin)
    except BadRow as e:
      yield e, origin


def too_long(origin: str, line: bytes) -> BadRow:
  """What is wrong with a line above MAX_LINE."""
  reason = f"a line of more than {MAX_LINE:,} bytes"
  return BadRow(origin, "line too long", reason, _shown(line))


def _shown(line: bytes) -> str:
  return line[:2000].decode("utf-8", "replace")


def byte_lines(file: Path) -> Iterator[bytes]:
  """Lines of a file; of one above MAX_LINE only the start."""
  with _open(file) as f:
    try:
      # A binary file splits at b"\n" alone; str.splitlines would also cut at
      # U+2028 and U+0085, which are legal inside a JSON string.
      while line := f.readline(MAX_LINE + 1):
        rest = line
        while len(line) > MAX_LINE and rest and not rest.endswith(b"\n"):
          rest = f.readline(2**20)
        yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
      raise ValueError(
        f"{file}: a broken gzip file: {e}\nfetch or pack it again"
      ) from e


def read_json(file: Path) -> Iterator[Item]:
  """Rows of one JSON list, or of an object with one list.

  Raises ValueError where the file is not that: no row of it can be told.
  """
  with _open(file) as f:
    value = _parse(decode(f.read(), str(file), first=True), str(file))
  if isinstance(value, dict):
    lists = [k for k, v in value.items() if isinstance(v, list)]
    if len(lists) != 1:
      raise ValueError(
        f"{file}: an object with {len(lists)} lists ({', '.join(lists)}), "
        "where one list of rows is expected\n"
        "write the rows as a JSON list, or one object per line in a .jsonl file"
      )
    value = value[lists[0]]
  if not isinstance(value, list):
    raise ValueError(
      f"{file}: holds {type(value).__name__}, where a list of rows is expected"
    )
  for index, row in enumerate(value):
    origin = f"{file}[{index}]"
    try:
      yield _row(row, origin), origin
    except BadRow as e:
      yield e, origin


def decode(data: bytes, origin: str, first: bool) -> str:
  """Strict UTF-8; raises BadRow. `first`: a byte order mark may begin it."""
  try:
    return data.decode("utf-8-sig" if first else "utf-8")
  except UnicodeDecodeError as e:
    raise BadRow(
      origin,
      "invalid UTF-8",
      f"not UTF-8: byte 0x{data[e.start]:02x} at offset {e.start}\n"
      "convert the file to UTF-8 first (iconv -f latin1 -t utf-8, say)",
    ) from e


def check(text: str, origin: str) -> None:
  """Raises BadRow for what no line of text may have."""
  if "\0" in text:
    at = text.index("\0")
    reason = f"a NUL character at column {at + 1}: the file is damaged"
    raise BadRow(origin, "NUL", reason)
  if text.startswith("\ufeff"):
    reason = "a byte order mark inside the file; remove it"
    raise BadRow(origin, "BOM", reason)


def _refuse(name: str):
  raise BadRow("", "NaN", f"{name} is no JSON; write null or a number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _parse(text: str, origin: str):
  check(text, origin)
  try:
    return _DECODER.decode(text)
  except json.JSONDecodeError as e:
    where, remedy = "", "each line must be one whole JSON object"
    if not origin.rpartition(":")[2].isdigit():
      where, remedy = f":{e.lineno}", "the file must be one JSON value"
      if e.msg == "Extra data":
        remedy += "; one object per line needs the ending .jsonl"
    around = text[max(0, e.pos - 30) : e.pos + 30].strip()
    raise BadRow(
      origin + where,
      "broken JSON",
      f"bad JSON: {e.msg} at column {e.colno}\nnear: {around!r}\n{remedy}",
    ) from e
  except RecursionError as e:
    reason = "lists or objects nested too deep to read"
    raise BadRow(origin, "deep nesting", reason) from e
  except BadRow as e:
    raise BadRow(origin, e.kind, e.reason) from e
  except ValueError as e:  # a number of more digits than Python reads
    reason = f"bad JSON: {str(e).split(';')[0]}"
    raise BadRow(origin, "broken JSON", reason) from e


def _row(value, origin: str) -> dict:
  if not isinstance(value, dict):
    raise BadRow(
      origin,
      "non-object",
      f"a row must be a JSON object, this is {type(value).__name__}: "
      f"{repr(value)[:60]}",
      repr(value)[:2000],
    )
  return value
