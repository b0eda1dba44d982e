"""Safetensors files: read in place, written tensor by tensor.

The format is a length (8 bytes, little endian), a JSON header, and the bytes
of the tensors. Mapped files are read here rather than with the package's numpy
front end so that a host reads only the slices its devices hold, bfloat16 too.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

DTYPES = {
  "F64": np.dtype(np.float64),
  "F32": np.dtype(np.float32),
  "F16": np.dtype(np.float16),
  "BF16": np.dtype(ml_dtypes.bfloat16),
}
LARGEST_HEADER = 100 * 2**20


class Stored(NamedTuple):
  """A tensor on disk; `offset` in bytes from the start of the file."""

  file: Path
  dtype: str
  shape: tuple[int, ...]
  offset: int

  def read(self) -> np.ndarray:
    """The tensor, mapped: nothing is read before it is looked at."""
    if self.dtype not in DTYPES:
      raise ValueError(
        f"{self.file.name}: tensors of type {self.dtype} are not supported; "
        f"legal: {', '.join(DTYPES)}.\n"
        "Convert quantised checkpoints to bfloat16 first."
      )
    if 0 in self.shape:
      return np.zeros(self.shape, DTYPES[self.dtype])
    return np.memmap(
      self.file, DTYPES[self.dtype], "r", self.offset, self.shape
    )


def read_header(file: Path) -> dict[str, Stored]:
  """Names and places of the tensors of one file, checked against its size."""
  size = file.stat().st_size

  def broken(why: str):
    return ValueError(
      f"{file} is not a safetensors file: {why}.\n"
      "It may be half downloaded, or a Git LFS pointer; fetch it again."
    )

  with open(file, "rb") as f:
    length = int.from_bytes(f.read(8), "little")
    if size < 8 or length > min(size - 8, LARGEST_HEADER):
      raise broken(f"{size} bytes, a header of {length}")
    try:
      header = json.loads(f.read(length))
      header.pop("__metadata__", None)
      entries = [(name, *_entry(e)) for name, e in header.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
      raise broken("its header is not what the format says") from None
  out = {}
  for name, dtype, shape, begin, end in entries:
    if dtype in DTYPES:
      wanted = math.prod(shape) * DTYPES[dtype].itemsize
      if end - begin != wanted:
        raise broken(f"{name} has {end - begin} bytes instead of {wanted}")
    if not begin <= end <= size - 8 - length:
      raise broken(f"{name} lies outside of it")
    out[name] = Stored(file, dtype, shape, 8 + length + begin)
  return out


def _entry(entry: dict) -> tuple:
  """(dtype, shape, begin, end); TypeError where one is of another kind."""
  dtype, shape = entry["dtype"], tuple(entry["shape"])
  begin, end = entry["data_offsets"]
  whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
  if not isinstance(dtype, str) or not whole:
    raise TypeError
  return dtype, shape, begin, end


def read_folder(folder: Path) -> dict[str, Stored]:
  """All tensors of a model folder, of one file or of the index's shards."""
  single = folder / "model.safetensors"
  index = folder / "model.safetensors.index.json"
  if single.is_file():
    return read_header(single)
  if not index.is_file():
    raise FileNotFoundError(_no_weights(folder))
  try:
    listed = json.loads(index.read_text("utf-8"))["weight_map"]
    names = sorted(set(listed.values()))
  except (ValueError, KeyError, TypeError, AttributeError):
    raise ValueError(f"{index} has no readable weight_map.") from None
  out = {}
  for name in names:
    check_shard_name(name, index)
    file = folder / name
    if not file.is_file():
      raise FileNotFoundError(
        f"{index} names {name!r}, which is not in the folder.\n"
        "Fetch the missing shard."
      )
    out |= read_header(file)
  lost = sorted(set(listed) - set(out))
  if lost:
    raise ValueError(
      f"{index} lists {len(lost)} tensors its shards do not hold, such as "
      f"{lost[0]}."
    )
  return out


def check_shard_name(name: object, index: Path) -> None:
  """Only plain names inside the folder: an index comes from a stranger."""
  plain = (
    isinstance(name, str)
    and name.endswith(".safetensors")
    and not name.startswith(".")
    and not any(c in name for c in "/\\:\0")
  )
  if not plain:
    raise ValueError(
      f"{index} names the shard {name!r}; only plain file names ending in "
      ".safetensors, inside the folder, are read."
    )


def _no_weights(folder: Path) -> str:
  pickled = sorted(
    f.name
    for f in folder.iterdir()
    if f.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
  )
  if not pickled:
    return (
      f"{folder} has no weights: neither model.safetensors nor "
      "model.safetensors.index.json."
    )
  return (
    f"{folder} has {pickled[0]} but no safetensors; pickled weights can run "
    "code and are never read.\n"
    "Convert them where you trust them: transformers' "
    "AutoModelForCausalLM.from_pretrained(…).save_pretrained(FOLDER)."
  )


def write_file(
  file: Path,
  shapes: Mapping[str, tuple[int, ...]],
  dtype: str,
  arrays: Iterable[np.ndarray],
) -> None:
  """Writes tensors of one dtype ("F32", "F16", "BF16") as they come.

  arrays: as many as `shapes`, in its order; one at a time is held.
  """
  header, at = {"__metadata__": {"format": "pt"}}, 0
  for name, shape in shapes.items():
    end = at + math.prod(shape) * DTYPES[dtype].itemsize
    header[name] = {
      "dtype": dtype,
      "shape": list(shape),
      "data_offsets": [at, end],
    }
    at = end
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)
  with open(file, "wb") as f:
    f.write(len(text).to_bytes(8, "little") + text)
    for name, array in zip(shapes, arrays, strict=True):
      if array.shape != shapes[name] or array.dtype != DTYPES[dtype]:
        raise ValueError(f"{name}: {array.dtype} {array.shape} was not planned")
      f.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    f.flush()
    os.fsync(f.fileno())
