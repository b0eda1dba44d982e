"""JSON lines that survive a crash, and files that are whole or absent."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

# Text of a model may hold lone surrogates: "\\udc80" is their JSON escape.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}


def read_metrics(path: str | Path) -> list[dict]:
  """Rows of a JSON-lines file of the run folder (metrics or samples).

  A last line that a crash cut short is left out.

  Raises:
    FileNotFoundError: no such file.
    ValueError: another line is not a JSON object; names file and line.
  """
  lines = Path(path).read_bytes().split(b"\n")
  rows = []
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
      if not isinstance(row, dict):
        raise ValueError("not an object")
      rows.append(row)
    except ValueError as error:
      if number == len(lines):
        break
      raise ValueError(
        f"{path}:{number}: not a JSON object ({error})\n"
        "every line must be one; remove or mend this line"
      ) from error
  return rows


def replace_file(path: str | Path, text: str) -> None:
  """Writes the whole file or leaves the old one: temporary, then rename."""
  path = Path(path)
  temporary = path.with_name(f".{path.name}.tmp")
  with open(temporary, "w", **TEXT) as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)


def line(row: Mapping) -> str:
  """The row as one line of valid JSON, numbers in full precision."""
  return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


class Lines:
  """Appends rows to a file, each call in one write.

  patient: what the disk refuses waits for the next call or the end; otherwise
    it is an OSError at once.
  """

  def __init__(self, path: Path, patient: bool):
    self.path, self.patient = path, patient
    self.waiting, self._trouble = b"", ""
    self._file = open(path, "ab", buffering=0)

  def append(self, rows: Iterable[Mapping]) -> str:
    """Returns what is wrong, once; "" where all is well."""
    text = "".join(map(line, rows))
    self.waiting += text.encode(TEXT["encoding"], TEXT["errors"])
    try:
      while self.waiting:
        self.waiting = self.waiting[self._file.write(self.waiting) :]
      self._trouble = ""
      return ""
    except OSError as error:
      trouble = f"cannot write {self.path}: {error.strerror}"
      if not self.patient:
        raise OSError(
          f"{trouble}\n"
          "make room, or go on all the same: checkpoint.on_error=continue"
        ) from error
      new, self._trouble = trouble != self._trouble, trouble
      return f"{trouble}; its rows wait in memory" if new else ""

  def close(self) -> str:
    """Returns what is lost where the disk refuses rows to the end."""
    if self.patient and self.waiting:
      self.append([])
    self._file.close()
    if not (self.patient and self.waiting):
      return ""
    lost = self.waiting.count(b"\n")
    return f"{self._trouble}; {lost} of its rows are lost"


def cut(path: Path, step: int) -> list[dict]:
  """Drops rows past `step` (all, at step 0) and a last line cut short.

  Returns the rows that stay.
  """
  if not path.exists():
    return []
  rows = read_metrics(path) if step else []
  kept = [row for row in rows if row.get("step", 0) <= step]
  replace_file(path, "".join(line(row) for row in kept))
  return kept
