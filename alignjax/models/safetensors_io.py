"""Safetensors files by their package: which are read, and what is wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

DTYPES = ("F64", "F32", "F16", "BF16")


def read_folder(folder: Path) -> dict[str, Any]:
  """All tensors of a model folder, of one file or of the index's shards.

  Name → slice of the package: `get_shape()` and `get_dtype()` read nothing,
  indexing reads what is asked for.
  """
  single = folder / "model.safetensors"
  index = folder / "model.safetensors.index.json"
  if single.is_file():
    return open_file(single)
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
    out |= open_file(file)
  lost = sorted(set(listed) - set(out))
  if lost:
    raise ValueError(
      f"{index} lists {len(lost)} tensors its shards do not hold, such as "
      f"{lost[0]}."
    )
  return out


def open_file(file: Path) -> dict[str, Any]:
  """All tensors of one file, as `read_folder` gives them."""
  try:
    opened = safe_open(file, framework="numpy")
  except SafetensorError as error:
    raise ValueError(
      f"{file} is not a whole safetensors file: {error}.\n"
      "It may be half downloaded, or a Git LFS pointer; fetch it again."
    ) from None
  return {name: opened.get_slice(name) for name in opened.keys()}


def check_types(tensors: Mapping[str, Any], folder: Path) -> None:
  """ValueError where a tensor is of integers or quantised."""
  for name, tensor in tensors.items():
    if tensor.get_dtype() not in DTYPES:
      raise ValueError(
        f"{folder}: {name} is of type {tensor.get_dtype()}; legal: "
        f"{', '.join(DTYPES)}.\n"
        "Convert quantised checkpoints to bfloat16 first."
      )


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


def write_file(file: Path, arrays: dict[str, np.ndarray]) -> None:
  """Writes contiguous arrays; OSError where it cannot."""
  file.touch()
  mode = file.stat().st_mode
  try:
    # transformers refuses files that do not say whose layout theirs is.
    save_file(arrays, file, metadata={"format": "pt"})
  except SafetensorError as error:
    raise OSError(
      f"{file} could not be written: {error}.\n"
      "Make room there, or export to another folder."
    ) from None
  file.chmod(mode)  # the package lets nobody but the owner read
