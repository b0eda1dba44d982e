"""What a model said, kept on disk, so that what was interrupted goes on.

A JSON line each, `{"sha256": …, "NAME": …}`: the hash of all that it depends
on, and what was said.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignjax.data.lines import MAX_LINE

_HEAD = b'{"sha256": "'


def digest(*parts: str) -> str:
  """sha256 of texts, which may hold lone surrogates."""
  return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def read(
  path: Path, wanted: Set[str] | None, name: str, legal: Callable[[Any], bool]
) -> dict[str, Any]:
  """What was said by digest, of those `wanted` that the file has; None: all.

  name: the key it stands under. legal: whether it can be one of these.

  Read a line at a time: memory goes by what is wanted, not by the file. A line
  that was cut short is passed over.

  Raises ValueError for a line that was never one of these.
  """
  found: dict[str, Any] = {}
  if not path.exists():
    return found
  with open(path, "rb") as file:
    lines = iter(lambda: file.readline(MAX_LINE), b"")
    for number, line in enumerate(lines, 1):
      entry = _entry(line, name, legal)
      if entry is None and not _cut(line):
        raise ValueError(
          f"{path}:{number}: not what a model said.\n"
          f"Such a file has lines of sha256 and {name} alone; name another."
        )
      if entry and (wanted is None or entry[0] in wanted):
        found[entry[0]] = entry[1]
  return found


def _entry(
  line: bytes, name: str, legal: Callable[[Any], bool]
) -> tuple[str, Any] | None:
  try:
    row = json.loads(line)
    key, said = row["sha256"], row[name]
  except (ValueError, KeyError, TypeError, RecursionError):
    return None
  return (key, said) if isinstance(key, str) and legal(said) else None


def _cut(line: bytes) -> bool:
  """Whether it is empty or begins as an entry does."""
  line = line.rstrip(b"\n")
  return line.startswith(_HEAD) or _HEAD.startswith(line)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Mapping], None]]:
  """Gives a function that appends entries; threads may share it.

  It takes digests with rows of what was said, all in one write.

  Raises OSError, with the file's name, where the disk refuses.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lock = threading.Lock()
  with open(path, "a+b", buffering=0) as file:
    if size := file.seek(0, 2):
      file.seek(size - 1)
      if file.read(1) != b"\n":  # a line that was cut short
        file.write(b"\n")

    def add(said: Mapping[str, Mapping]) -> None:
      rows = ({"sha256": key, **row} for key, row in said.items())
      text = "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")
      with lock:
        try:
          whole = file.write(text) == len(text)
          trouble = "" if whole else "no space left"
        except OSError as error:
          trouble = error.strerror
      if trouble:
        raise OSError(f"Cannot write {path}: {trouble}.\nMake room.")

    yield add
