"""Files in the layouts in which evaluation sets are published."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path


def csv_rows(path: Path) -> list[list[str]]:
  """All rows of a CSV file; ValueError where it is none."""
  rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
  try:
    return [row for row in rows if row]
  except csv.Error as error:
    raise ValueError(f"{path} is not CSV: {error}.") from None


def csv_records(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
  """Rows of a CSV file by the names in its first line.

  Raises ValueError where one of `columns` is missing.
  """
  head, *rows = csv_rows(path) or [[]]
  missing = [name for name in columns if name not in head]
  if missing:
    raise ValueError(
      f"{path} has no column {missing[0]!r}; it has {', '.join(head)}."
    )
  ragged = [i for i, row in enumerate(rows, 2) if len(row) != len(head)]
  if ragged:
    raise ValueError(
      f"{path}: row {ragged[0]} has another number of cells than the header."
    )
  return [dict(zip(head, row)) for row in rows]


def json_records(path: Path, keys: Sequence[str]) -> list[dict]:
  """Objects of a JSON-lines file; ValueError where one lacks a key."""
  found = []
  # Not splitlines: U+2028 and its kin may stand in a string.
  for number, row in enumerate(_text(path).split("\n"), 1):
    if not row.strip():
      continue
    try:
      found.append(json.loads(row))
    except ValueError as error:
      raise ValueError(f"{path}:{number} is not JSON: {error}.") from None
    missing = [k for k in keys if k not in found[-1]]
    if missing:
      raise ValueError(
        f"{path}:{number} has no {missing[0]!r}; it has "
        f"{', '.join(map(str, found[-1]))}."
      )
  return found


def sha256(paths: Sequence[Path]) -> str:
  """Of the contents of files, one after another; 16 hexadecimal digits."""
  digest = hashlib.sha256()
  for path in paths:
    digest.update(path.read_bytes())
  return digest.hexdigest()[:16]


def first(items: list, limit: int) -> list:
  """The first `limit`, 0 for all."""
  if limit < 0:
    raise ValueError(f"limit = {limit}; it must be 0 (all) or more.")
  return items[:limit] if limit else items


def identity(path: str) -> str:
  """What a source is: the hash of its file or files, or its name on a hub."""
  found = Path(path)
  if found.is_dir():
    return sha256(sorted(x for x in found.rglob("*") if x.is_file()))
  return sha256([found]) if found.is_file() else path


def _text(path: Path) -> str:
  """UTF-8, also behind gzip or a byte order mark."""
  if not path.is_file():
    raise FileNotFoundError(f"No file {path}.")
  raw = path.read_bytes()
  try:
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(
      "utf-8-sig"
    )
  except (UnicodeDecodeError, gzip.BadGzipFile) as error:
    raise ValueError(f"{path} is not UTF-8 text: {error}.") from None
