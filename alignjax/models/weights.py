"""Weights: from safetensors to where each device wants them, and back.

Loading goes one parameter of ours at a time: buffers exist only for the slices
that this process's devices hold, so no host ever has two copies of the model.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from alignjax.models.config import ModelConfig
from alignjax.models.families import config_to_hf
from alignjax.models.layout import Leaf, head_names, leaves, stem, tensors
from alignjax.models.safetensors_io import check_types, read_folder, write_file

Place = Callable[[str, Sequence[int]], jax.sharding.Sharding]
Read = Callable[[str], np.ndarray]

OUR_DTYPES = ("float32", "float16", "bfloat16")
# Buffers that old files keep; they follow from the config.
BUFFERS = (
  "rotary_emb.inv_freq",
  ".attn.bias",
  ".attn.masked_bias",
  ".attention.bias",
  ".attention.masked_bias",
)
# Gemma 3 files with images hold the text model under one of these stems.
NESTED = {
  "language_model.model.": "model.",
  "model.language_model.": "model.",
  "language_model.lm_head.": "lm_head.",
}
IMAGES = ("vision_tower.", "multi_modal_projector.")


def load_safetensors(
  folder: Path,
  config: ModelConfig,
  place: Place | None = None,
  dtype: str = "float32",
) -> dict:
  """The parameters in a Hugging Face folder, as our tree.

  place: (path, shape) → sharding of each parameter; None leaves everything on
    the default device.
  ValueError or FileNotFoundError where the folder does not hold them.
  """
  stored = read_folder(Path(folder))
  shapes = {name: tensor.get_shape() for name, tensor in stored.items()}
  names = match(config, shapes, str(folder))
  check_types({name: stored[name] for name in names.values()}, folder)
  _check_tied(config, stored, names, folder)
  return assemble(config, lambda n: stored[names[n]][...], place, dtype)


def assemble(
  config: ModelConfig, read: Read, place: Place | None, dtype: str
) -> dict:
  """Our tree from a function that reads a file's tensor by its name."""
  check_dtype(dtype)
  params: dict = {}
  for path, leaf in leaves(config).items():
    sharding = None if place is None else place(path, leaf.shape)
    _put(params, path, _assemble_leaf(leaf, sharding, dtype, read))
  return params


def check_dtype(dtype: str) -> None:
  """Raises ValueError where parameters cannot be of this type."""
  if dtype not in OUR_DTYPES:
    raise ValueError(
      f"dtype = {dtype!r} is not supported; one of {', '.join(OUR_DTYPES)}."
    )


def _put(tree: dict, path: str, leaf: jax.Array) -> None:
  *parents, last = path.split("/")
  for name in parents:
    tree = tree.setdefault(name, {})
  tree[last] = leaf


def _assemble_leaf(
  leaf: Leaf, sharding: jax.sharding.Sharding | None, dtype: str, read: Read
) -> jax.Array:
  full = tuple((0, n) for n in leaf.shape)
  ranges = {None: full}
  if sharding is not None:
    held = sharding.addressable_devices_indices_map(leaf.shape)
    ranges = {
      device: tuple(s.indices(n)[:2] for s, n in zip(slices, leaf.shape))
      for device, slices in held.items()
    }
  # Replicated slices share one buffer.
  buffers = {
    r: np.empty([stop - start for start, stop in r], jnp.dtype(dtype))
    for r in set(ranges.values())
  }
  for i, (tensor, part) in enumerate(leaf.pieces):
    wanted = [
      (buffer[i - r[0][0]], r[1:]) if leaf.stacked else (buffer, r)
      for r, buffer in buffers.items()
      if not leaf.stacked or r[0][0] <= i < r[0][1]
    ]
    if wanted:
      view = tensor.unpack(read(tensor.name))[part]
      for target, inner in wanted:
        target[...] = view[tuple(slice(*s) for s in inner)]
  if sharding is None:
    return jax.device_put(buffers[full])
  return jax.make_array_from_single_device_arrays(
    leaf.shape,
    sharding,
    [jax.device_put(buffers[r], device) for device, r in ranges.items()],
  )


def match(
  config: ModelConfig, shapes: Mapping[str, Sequence[int]], origin: str
) -> dict[str, str]:
  """Names of the layout → names in a file, whose tensors must be exactly ours.

  Files of base models lack the stem; buffers and a second copy of a tied head
  are passed over.
  """
  expected = {tensor.name: tensor for tensor in tensors(config)}
  _, head = head_names(config)
  found, unexpected = {}, []
  for name in shapes:
    ours = name
    for prefix, short in NESTED.items():
      if config.family == "gemma3_text" and ours.startswith(prefix):
        ours = short + ours.removeprefix(prefix)
    ours = ours if ours in expected else stem(config) + ours
    if ours in expected:
      found[ours] = name
    elif not _passed_over(config, name, head):
      unexpected.append(name)
  missing = [name for name in expected if name not in found]
  wrong = [
    f"{name} {tuple(shapes[found[name]])}, not {tensor.shape}"
    for name, tensor in expected.items()
    if name in found and tuple(shapes[found[name]]) != tensor.shape
  ]
  problems = {
    "missing": missing,
    "unexpected": unexpected,
    "wrong shape": wrong,
  }
  problems = {k: v for k, v in problems.items() if v}
  if problems:
    raise ValueError(
      f"{origin} does not hold the {config.family} model its config describes."
      + "".join(
        f"\n{len(v)} {k}: {', '.join(v[:3])}{', …' if len(v) > 3 else ''}"
        for k, v in problems.items()
      )
    )
  return found


def _passed_over(config: ModelConfig, name: str, head: str) -> bool:
  if not config.own_head and name.endswith(head):
    return True
  images = config.family == "gemma3_text" and name.removeprefix(
    "model."
  ).startswith(IMAGES)
  return images or name.endswith(BUFFERS)


def _check_tied(config, stored, names, folder) -> None:
  """A tied head that differs from the embedding would be lost: refuse it."""
  embed, head = head_names(config)
  copy = next((n for n in stored if n.endswith(head)), None)
  if not config.tied or copy is None:
    return
  a, b = stored[names[embed]], stored[copy]
  same = a.get_shape() == b.get_shape() and a.get_dtype() == b.get_dtype()
  V = config.vocab
  # In pieces, so that the comparison needs no table in memory.
  rows = [slice(i, min(i + 1024, V)) for i in range(0, V, 1024)]
  if not same or not all(np.array_equal(a[r], b[r]) for r in rows):
    raise ValueError(
      f"{folder}: config.json ties the output head to the embedding, but "
      f"{copy} differs from {names[embed]}.\n"
      'Set "tie_word_embeddings": false in config.json to keep both.'
    )


def save_safetensors(
  params: Mapping,
  config: ModelConfig,
  folder: Path,
  dtype: str = "float32",
  max_shard_bytes: int = 2 * 10**9,
) -> None:
  """Writes a Hugging Face folder: config.json and weights, in shards.

  The host holds one shard, of at most `max_shard_bytes` (or one tensor),
  beside the model. Written under other names until all is there; weights of an
  earlier export are removed. Every process of a run must call it; the first
  one writes. OSError where the disk is full.
  """
  check_dtype(dtype)
  kind = jnp.dtype(dtype)
  folder = Path(folder)
  hf = config_to_hf(config) | {"dtype": dtype, "torch_dtype": dtype}
  flat = _flatten(params)
  _check_params(config, flat)
  shards = _plan(config, kind.itemsize, max_shard_bytes)
  names = [
    f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
    for i in range(len(shards))
  ]
  names = ["model.safetensors"] if len(shards) == 1 else names
  if jax.process_index() != 0:
    for shard in shards:
      for tensor in shard:
        _fetch(tensor, flat, kind)
    return
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as temporary:
    new = Path(temporary)
    weight_map: dict[str, str] = {}
    for name, shard in zip(names, shards):
      # No variable holds the arrays: they go before the next shard comes.
      write_file(new / name, {t.name: _fetch(t, flat, kind) for t in shard})
      weight_map |= {t.name: name for t in shard}
    last = ["config.json"]
    if len(shards) > 1:
      size = sum(t.size for t in tensors(config)) * kind.itemsize
      index = {"metadata": {"total_size": size}, "weight_map": weight_map}
      last.append("model.safetensors.index.json")
      _write_json(new / last[-1], index)
    _write_json(new / "config.json", hf)
    # What names the weights goes first and comes last: a crash in between
    # leaves a folder without weights, never one with mixed weights.
    for old in folder.glob("model*.safetensors*"):
      old.unlink()
    for name in names + last:
      os.replace(new / name, folder / name)


def _write_json(file: Path, value: dict) -> None:
  file.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _flatten(params: Mapping) -> dict[str, jax.Array | np.ndarray]:
  flat = jax.tree_util.tree_flatten_with_path(params)[0]
  return {"/".join(k.key for k in path): x for path, x in flat}


def _check_params(config: ModelConfig, flat: Mapping) -> None:
  for path, leaf in leaves(config).items():
    shape = None if path not in flat else tuple(flat[path].shape)
    if shape != leaf.shape:
      raise ValueError(
        f"Cannot export: parameter {path} is {shape or 'missing'}, the "
        f"{config.family} model has {leaf.shape}."
      )
  extra = sorted(set(flat) - set(leaves(config)))
  if extra:
    raise ValueError(
      f"Cannot export: {len(extra)} parameters are not the model's, such as "
      f"{extra[0]}."
    )


def _plan(config: ModelConfig, itemsize: int, largest: int) -> list[list]:
  """Tensors in shards of at most `largest` bytes (one tensor at least)."""
  shards, size = [[]], 0
  for tensor in tensors(config):
    need = tensor.size * itemsize
    if shards[-1] and size + need > largest:
      shards.append([])
      size = 0
    shards[-1].append(tensor)
    size += need
  return shards


def _fetch(tensor, flat: Mapping, kind: np.dtype) -> np.ndarray:
  """A file's tensor on the host."""
  parts = []
  for path in tensor.paths:
    x = flat[path]
    x = x if tensor.layer is None else x[tensor.layer]
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
      x = multihost_utils.process_allgather(x, tiled=True)
    parts.append(np.asarray(x))
  return tensor.pack(parts).astype(kind, copy=False)
