"""Verdicts on disk, so that a judging that was interrupted goes on.

A JSON line each, `{"sha256": …, "verdict": …}`: the hash of all that the
verdict depends on, and nothing else of the texts.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from alignjax.evals.judges.verdicts import VERDICTS

_HEAD = b'{"sha256": "'
_LONGEST = 256  # bytes; a line has about 100


def digest(*parts: str) -> str:
  """sha256 of texts, which may hold lone surrogates."""
  return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def read(path: Path, wanted: Set[str]) -> dict[str, str]:
  """Verdicts by digest, of those `wanted` that the file has.

  Read a line at a time: memory goes by what is wanted, not by the file. A line
  that was cut short is passed over.

  Raises ValueError for a line that was never one of these.
  """
  found: dict[str, str] = {}
  if not path.exists():
    return found
  with open(path, "rb") as file:
    lines = iter(lambda: file.readline(_LONGEST), b"")
    for number, line in enumerate(lines, 1):
      entry = _entry(line)
      if entry is None and not _cut(line):
        raise ValueError(
          f"{path}:{number}: not a judge's verdict.\n"
          "A cache has lines of sha256 and verdict "
          f"({', '.join(VERDICTS)}) alone; name another file."
        )
      if entry and entry[0] in wanted:
        found[entry[0]] = entry[1]
  return found


def _entry(line: bytes) -> tuple[str, str] | None:
  try:
    row = json.loads(line)
    key, verdict = row["sha256"], row["verdict"]
  except (ValueError, KeyError, TypeError):
    return None
  return (
    (key, verdict) if isinstance(key, str) and verdict in VERDICTS else None
  )


def _cut(line: bytes) -> bool:
  """Whether it is empty or begins as an entry does."""
  line = line.rstrip(b"\n")
  return line.startswith(_HEAD) or _HEAD.startswith(line)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[str, str], None]]:
  """Gives a function that appends (digest, verdict); threads may share it.

  Raises OSError, with the file's name, where the disk refuses.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lock = threading.Lock()
  with open(path, "a+b", buffering=0) as file:
    if size := file.seek(0, 2):
      file.seek(size - 1)
      if file.read(1) != b"\n":  # a line that was cut short
        file.write(b"\n")

    def add(key: str, verdict: str) -> None:
      line = json.dumps({"sha256": key, "verdict": verdict}) + "\n"
      with lock:
        try:
          whole = file.write(line.encode("ascii")) == len(line)
          trouble = "" if whole else "no space left"
        except OSError as error:
          trouble = error.strerror
      if trouble:
        raise OSError(f"Cannot write {path}: {trouble}.\nMake room.")

    yield add
