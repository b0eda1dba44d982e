"""Files of a step, on a local disk or in an object store."""

import hashlib
import os

from etils import epath

BLOCK = 2**20  # bytes read at once


def open_folder(folder: str | os.PathLike) -> epath.Path:
  """A path that does not depend on the working directory; gs://… stays."""
  path = epath.Path(folder)
  return path.absolute() if is_local(path) else path


def is_local(path: epath.Path) -> bool:
  """Whether a path is on a file system, not in a bucket (gs://…)."""
  return "://" not in os.fspath(path)


def names(folder: epath.Path) -> list[str]:
  """Every file below a folder, relative to it, sorted."""
  found = []  # by hand: `walk` drops the gs:// of what it finds
  for path in folder.iterdir():
    inside = names(path) if path.is_dir() else [""]
    found += [f"{path.name}/{name}".rstrip("/") for name in inside]
  return sorted(found)


def sha256(path: epath.Path) -> str:
  """The hash of a file in hexadecimal, read a block at a time."""
  digest = hashlib.sha256()
  with path.open("rb") as file:
    while block := file.read(BLOCK):
      digest.update(block)
  return digest.hexdigest()


def write(path: epath.Path, text: str) -> None:
  """The whole file or none of it, and on the disk when this returns."""
  part = path.with_name(path.name + ".part")
  with part.open("wb") as file:
    file.write(text.encode("utf-8"))
    file.flush()
    if is_local(path):
      os.fsync(file.fileno())
  part.replace(path)
  sync(path.parent)


def sync(folder: epath.Path) -> None:
  """The names in a folder onto the disk; an object store has none to sync."""
  if not is_local(folder):
    return
  handle = os.open(os.fspath(folder), os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
