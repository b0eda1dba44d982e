"""Adapters from and to a folder of PEFT's: adapter_config.json and weights.

The names of modules are those of the Hugging Face file (`models.layout`). A
setting that would change the arithmetic and is not supported is refused.
"""

import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from alignjax.models.adapter_settings import SETTINGS, read_settings
from alignjax.models.config import ModelConfig
from alignjax.models.layout import Leaf, leaves
from alignjax.models.lora import Lora, axes
from alignjax.models.safetensors_io import check_types, open_file, write_file

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
HEAD = f"{PREFIX}score.weight"


class Adapter(NamedTuple):
  """What a folder holds, host arrays, float32.

  weights: the tree of adapters. score_head: [k, D] of a reward model, trained
    whole beside them; None where there is none.
  """

  weights: dict
  lora: Lora
  score_head: np.ndarray | None


def save_adapter(
  adapters: Mapping,
  config: ModelConfig,
  folder: str | Path,
  lora: Lora,
  *,
  base: str,
  score_head: jax.Array | np.ndarray | None = None,
) -> None:
  """Writes a folder that PEFT loads onto the model `base`.

  base: folder or hub name, only noted. score_head: of a reward model.

  Every process of a run must call it; the first one writes. ValueError where
  PEFT's layout has no such adapter: queries, keys and values that a file fuses
  into one matrix.
  """
  flat = flatten_dict(adapters, sep="/")
  modules = [path.removesuffix("/a") for path in flat if path.endswith("/a")]
  arrays = {}
  for module in modules:
    a, b = (_host(flat[f"{module}/{name}"]) for name in "ab")
    names, leaf = _names(config, f"{module}/kernel")
    for i, name in enumerate(names):
      one = (a[i], b[i]) if leaf.stacked else (a, b)
      arrays |= _pack(name, *one, lora.rank)
  names = {_module(name) for name in arrays}
  if score_head is not None:
    arrays[HEAD] = np.ascontiguousarray(_host(score_head))
  if jax.process_index() != 0:
    return
  settings = {
    "peft_type": "LORA",
    "task_type": "SEQ_CLS" if config.scores else "CAUSAL_LM",
    "base_model_name_or_path": base,
    "r": lora.rank,
    "lora_alpha": lora.alpha,
    "use_rslora": lora.root,
    "target_modules": _short(names, config),
    "fan_in_fan_out": config.family == "gpt2",
    "lora_dropout": 0.0,
    "bias": "none",
    "inference_mode": True,
  }
  if score_head is not None:
    settings["modules_to_save"] = ["score"]
  folder = Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as temporary:
    new = Path(temporary)
    write_file(new / WEIGHTS, arrays)
    text = json.dumps(settings, indent=2) + "\n"
    (new / SETTINGS).write_text(text, "utf-8")
    # What names the weights goes first and comes last.
    (folder / SETTINGS).unlink(missing_ok=True)
    for name in (WEIGHTS, SETTINGS):
      os.replace(new / name, folder / name)


def load_adapter(folder: str | Path, config: ModelConfig) -> Adapter:
  """The adapters of a PEFT folder, and the scalar heads beside them.

  config: of the base model. ValueError where the folder holds no adapters of
  it, or has a setting that is not supported; FileNotFoundError where files are
  missing.
  """
  folder = Path(folder)
  settings = read_settings(folder)
  rank = settings["r"]
  stored = open_file(_weights(folder))
  check_types(stored, folder)
  left, found = set(stored) - {HEAD}, {}
  for path, leaf in leaves(config).items():
    if not path.endswith("/kernel") or len(leaf.pieces[0].tensor.paths) > 1:
      continue
    names, _ = _names(config, path)
    if not any(f"{name}.lora_A.weight" in stored for name in names):
      continue
    pairs = []
    for name in names:
      pairs.append(_unpack(name, stored, path, leaf, rank, folder))
      left -= {f"{name}.lora_{which}.weight" for which in "AB"}
    for name, layers in zip("ab", zip(*pairs)):
      whole = np.stack(layers) if leaf.stacked else layers[0]
      found[f"{path.removesuffix('/kernel')}/{name}"] = whole
  if left or not found:
    what = min(left) if left else "no tensor"
    raise ValueError(
      f"{folder} holds {what}, which is no adapter of a linear layer of "
      f"{config.family} that is supported."
      + (
        "\nIts queries, keys and values are one matrix in files: adapters of "
        "it are not."
        if re.search(r"c_attn|query_key_value", what)
        else "\nAdapters of embeddings and of the output head are not."
      )
    )
  targets = [
    re.escape(path.removesuffix("/a")) + "/kernel"
    for path in found
    if path.endswith("/a")
  ]
  lora = Lora(
    rank,
    float(settings["lora_alpha"]),
    tuple(targets),
    bool(settings.get("use_rslora")),
  )
  head = None
  if heads_of(folder):
    head = stored[HEAD][...].astype(np.float32)
    if head.shape[1] != config.width:
      raise ValueError(
        f"{folder}: {HEAD} is {head.shape}, the base is {config.width} wide."
        "\nGive the base it was trained on."
      )
  return Adapter(unflatten_dict(found, sep="/"), lora, head)


def heads_of(folder: str | Path) -> int:
  """Scalar heads that a PEFT folder brings along, 0 for an adapter alone.

  ValueError where it says that it has some and has not, or the other way.
  """
  said = bool(read_settings(Path(folder)).get("modules_to_save"))
  stored = open_file(_weights(Path(folder)))
  if said != (HEAD in stored):
    raise ValueError(
      f"{folder}: its settings {'name' if said else 'do not name'} a module to "
      f"save, and {HEAD} is {'missing' if said else 'there'}.\n"
      "Save it with PEFT again."
    )
  return int(stored[HEAD].get_shape()[0]) if said else 0


def _names(config: ModelConfig, path: str) -> tuple[list[str], Leaf]:
  """PEFT's names of a kernel's layers."""
  leaf = leaves(config)[path]
  if len(leaf.pieces[0].tensor.paths) > 1:
    raise ValueError(
      f"{path} is a part of {leaf.pieces[0].tensor.name} in files of family "
      f"{config.family}, whose adapter would be one for all parts.\n"
      "Choose targets among attention/out and mlp, or merge and export."
    )
  return [
    PREFIX + piece.tensor.name.removesuffix(".weight") for piece in leaf.pieces
  ], leaf


def _pack(name: str, a: np.ndarray, b: np.ndarray, rank: int) -> dict:
  """[*in, r], [r, *out] → PEFT's [r, in], [out, r]."""
  return {
    f"{name}.lora_{which}.weight": np.ascontiguousarray(x.T)
    for which, x in (("A", a.reshape(-1, rank)), ("B", b.reshape(rank, -1)))
  }


def _unpack(name, stored, path, leaf, rank, folder):
  """The inverse of `_pack`, checked."""
  _, inputs, outputs = axes(path, leaf.shape)
  sizes = {"A": (rank, math.prod(inputs)), "B": (math.prod(outputs), rank)}
  shapes = {"A": (*inputs, rank), "B": (rank, *outputs)}
  for which, size in sizes.items():
    tensor = f"{name}.lora_{which}.weight"
    shape = tuple(stored[tensor].get_shape()) if tensor in stored else None
    if shape != size:
      raise ValueError(
        f"{folder}: {tensor} is {shape or 'missing'}; a model of this shape "
        f"and r = {rank} has {size}.\n"
        "Every layer must have it; give the base it was trained on."
      )
    array = stored[tensor][...].astype(np.float32)
    yield np.ascontiguousarray(array.T).reshape(shapes[which])


def _host(x: jax.Array | np.ndarray) -> np.ndarray:
  if isinstance(x, jax.Array) and not x.is_fully_addressable:
    x = multihost_utils.process_allgather(x, tiled=True)
  return np.asarray(x)


def _module(tensor: str) -> str:
  """`model.layers.0.mlp.up_proj` of the name of an adapter's tensor."""
  return re.sub(r"\.lora_[AB]\.weight$", "", tensor.removeprefix(PREFIX))


def _short(names: set[str], config: ModelConfig) -> list[str]:
  """`up_proj` where all modules of that name have adapters, else whole names.

  PEFT takes all modules whose name ends so.
  """
  every: dict[str, set] = {}
  for path, leaf in leaves(config).items():
    if path.endswith("/kernel"):
      for piece in leaf.pieces:
        name = piece.tensor.name.removesuffix(".weight")
        every.setdefault(name.split(".")[-1], set()).add(name)
  out = set()
  for last, all_of_it in every.items():
    ours = all_of_it & names
    out |= {last} if ours == all_of_it else ours
  return sorted(out)


def _weights(folder: Path) -> Path:
  file = folder / WEIGHTS
  if file.is_file():
    return file
  pickled = folder / "adapter_model.bin"
  raise FileNotFoundError(
    f"{folder} has no {WEIGHTS}."
    + (
      f"\n{pickled.name} is a pickle, which can run code and is never read; "
      "save it with PEFT again (safe_serialization=True)."
      if pickled.is_file()
      else ""
    )
  )
