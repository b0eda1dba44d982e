"""Weights load from any honest folder, and go back bit for bit."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from safetensors.numpy import load_file, save_file

from alignjax.models import weights
from alignjax.models.layout import leaves, tensors
from alignjax.models.safetensors_io import read_folder
from alignjax.models.weights import load_safetensors, save_safetensors
from alignjax.pretrained import read_config

FIXTURES = Path(__file__).parent / "fixtures" / "families"
NAMES = sorted(folder.name for folder in FIXTURES.iterdir())


def load(folder, **options):
  config = read_config(folder)
  return config, load_safetensors(folder, config, **options)


def same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    assert x.dtype == y.dtype and np.array_equal(x, y)


def copy(name, folder, change=lambda stored: stored):
  """A fixture with its tensors changed."""
  shutil.copytree(FIXTURES / name, folder)
  file = folder / "model.safetensors"
  save_file(change(load_file(file)), file)
  return folder


@pytest.mark.parametrize("name", NAMES)
def test_load_export_load_is_bitwise(name, tmp_path):
  config, params = load(FIXTURES / name)
  # On the host: slicing layers of jax.Arrays compiles for every shape.
  params = jax.tree.map(np.asarray, params)
  save_safetensors(params, config, tmp_path)
  again, back = load(tmp_path)
  assert again == config
  same(params, back)
  # And the file holds what transformers wrote, name by name.
  theirs = load_file(FIXTURES / name / "model.safetensors")
  ours = load_file(tmp_path / "model.safetensors")
  assert set(ours) == set(theirs)
  assert all(np.array_equal(ours[n], theirs[n]) for n in theirs)


def test_many_shards(tmp_path):
  config, params = load(FIXTURES / "llama3")
  save_safetensors(params, config, tmp_path, max_shard_bytes=8000)
  shards = sorted(f.name for f in tmp_path.glob("*.safetensors"))
  assert len(shards) > 3 and shards[0].startswith("model-00001-of-0000")
  index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
  assert set(index["weight_map"].values()) == set(shards)
  stored = read_folder(tmp_path)
  assert index["metadata"]["total_size"] == sum(
    4 * int(np.prod(t.get_shape())) for t in stored.values()
  )
  same(load(tmp_path)[1], params)
  # A smaller export leaves nothing of the larger one behind.
  save_safetensors(params, config, tmp_path)
  assert sorted(f.name for f in tmp_path.iterdir()) == [
    "config.json",
    "model.safetensors",
  ]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_folders(dtype, tmp_path):
  config, params = load(FIXTURES / "qwen2")
  save_safetensors(params, config, tmp_path, dtype)
  assert json.loads((tmp_path / "config.json").read_text())["dtype"] == dtype
  narrow = jax.tree.map(lambda x: np.asarray(x).astype(dtype), params)
  same(load(tmp_path)[1], jax.tree.map(lambda x: x.astype("float32"), narrow))
  same(load(tmp_path, dtype=dtype)[1], narrow)


def test_unknown_dtypes_are_refused(tmp_path):
  config, params = load(FIXTURES / "qwen2")
  for act in (
    lambda: load(FIXTURES / "qwen2", dtype="int8"),
    lambda: save_safetensors(params, config, tmp_path, "fp32"),
  ):
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
      act()


def test_shards_land_where_they_are_wanted(monkeypatch):
  """Each tensor is read once for each leaf, and each slice made once."""
  devices = jax.devices()
  ways = 2 if len(devices) > 1 else 1
  mesh = Mesh(np.array(devices[: 2 * ways]).reshape(-1, ways), ("a", "b"))
  reads = []
  real = weights.read_folder

  class Counted:
    def __init__(self, name, stored):
      self.name, self.stored = name, stored
      self.get_shape, self.get_dtype = stored.get_shape, stored.get_dtype

    def __getitem__(self, which):
      reads.append(self.name)
      return self.stored[which]

  monkeypatch.setattr(
    weights,
    "read_folder",
    lambda f: {n: Counted(n, s) for n, s in real(f).items()},
  )

  def place(path, shape):
    split = path.endswith("kernel") and "mlp" in path
    spec = PartitionSpec(None, None, "b") if split else PartitionSpec()
    return NamedSharding(mesh, spec)

  config, params = load(FIXTURES / "llama3", place=place)
  same(params, load_safetensors(FIXTURES / "llama3", config))
  for path, x in jax.tree_util.tree_flatten_with_path(params)[0]:
    path = "/".join(k.key for k in path)
    assert x.sharding == place(path, x.shape)
  n = len(tensors(config))
  assert len(reads) == 2 * n and len(set(reads)) == n


def test_no_buffer_is_larger_than_a_leafs_slices(monkeypatch):
  """Host memory: one leaf at a time, and of it what the devices hold."""
  made = []
  real = np.empty

  def empty(shape, dtype=float):
    made.append(int(np.prod(shape)))
    return real(shape, dtype)

  monkeypatch.setattr(weights.np, "empty", empty)
  config, _ = load(FIXTURES / "gpt_neox")
  sizes = [int(np.prod(leaf.shape)) for leaf in leaves(config).values()]
  assert sorted(made) == sorted(sizes)


@pytest.mark.parametrize(
  "shard",
  [
    "../x.safetensors",
    "/etc/x.safetensors",
    "a/b.safetensors",
    "a\\b.safetensors",
    "x.bin",
    ".x.safetensors",
    7,
  ],
)
def test_index_names_only_files_of_the_folder(shard, tmp_path):
  folder = copy("llama3", tmp_path / "inner")
  (folder / "model.safetensors").rename(tmp_path / "x.safetensors")
  index = {"weight_map": {"model.norm.weight": shard}}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  with pytest.raises(ValueError, match="plain file names"):
    load(folder)


def test_index_without_its_shard(tmp_path):
  folder = copy("llama3", tmp_path / "m")
  (folder / "model.safetensors").unlink()
  index = {"weight_map": {"model.norm.weight": "model-1.safetensors"}}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  with pytest.raises(FileNotFoundError, match="'model-1.safetensors'"):
    load(folder)


def test_pickles_are_never_read(tmp_path):
  folder = copy("llama3", tmp_path / "m")
  (folder / "model.safetensors").unlink()
  with pytest.raises(FileNotFoundError, match="no weights"):
    load(folder)
  (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
  with pytest.raises(FileNotFoundError, match="pytorch_model.bin.*never read"):
    load(folder)


def test_what_does_not_fit_is_one_message(tmp_path):
  def change(stored):
    for i in range(3):
      del stored[f"model.layers.{i}.self_attn.q_proj.bias"]
      stored[f"model.layers.{i}.extra"] = np.zeros(2, np.float32)
    del stored["lm_head.weight"]
    stored["model.norm.weight"] = np.zeros(7, np.float32)
    return stored

  with pytest.raises(ValueError) as error:
    load(copy("llama3", tmp_path / "m", change))
  lines = str(error.value).splitlines()
  assert len(lines) == 4 and str(tmp_path) in lines[0]
  assert lines[1].startswith("4 missing: model.layers.0.self_attn.q_proj.bias")
  assert lines[1].endswith("…")
  assert lines[2].startswith("3 unexpected: model.layers.0.extra")
  assert lines[3] == "1 wrong shape: model.norm.weight (7,), not (20,)"


def test_buffers_and_short_names_are_known(tmp_path):
  """Old files hold buffers, and files of base models no stem."""

  def change(stored):
    stored = {n.removeprefix("transformer."): x for n, x in stored.items()}
    stored["h.0.attn.bias"] = np.ones((1, 1, 16, 16), np.uint8)
    stored["h.1.attn.masked_bias"] = np.array(-1e4, np.float32)
    return stored

  folder = copy("gpt2", tmp_path / "m", change)
  same(load(folder)[1], load(FIXTURES / "gpt2")[1])


def test_gemma3_within_a_model_with_images(tmp_path):
  def change(stored):
    stored = {f"language_model.{n}": x for n, x in stored.items()}
    stored["vision_tower.patch.weight"] = np.ones(3, np.float32)
    stored["multi_modal_projector.w"] = np.ones(3, np.float32)
    return stored

  folder = copy("gemma3_untied", tmp_path / "m", change)
  same(load(folder)[1], load(FIXTURES / "gemma3_untied")[1])


def test_tied_heads(tmp_path):
  """A second copy of the embedding is passed over, another head refused."""

  def double(stored):
    embed = stored["model.embed_tokens.weight"]
    return stored | {"lm_head.weight": embed.copy()}

  def differ(stored):
    stored = double(stored)
    stored["lm_head.weight"][5, 3] += 1
    return stored

  _, params = load(copy("qwen2", tmp_path / "same", double))
  assert "head" not in params
  same(params, load(FIXTURES / "qwen2")[1])
  with pytest.raises(ValueError, match="tie_word_embeddings"):
    load(copy("qwen2", tmp_path / "other", differ))


def test_parameters_that_are_not_the_models_are_not_exported(tmp_path):
  config, params = load(FIXTURES / "qwen2")
  with pytest.raises(ValueError, match="lora"):
    save_safetensors(params | {"lora": jnp.ones(3)}, config, tmp_path)
  with pytest.raises(ValueError, match="embed is .*, the qwen2 model has"):
    save_safetensors(params | {"embed": jnp.ones((2, 3))}, config, tmp_path)
  assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_one(tmp_path, monkeypatch):
  config, params = load(FIXTURES / "qwen2")
  save_safetensors(params, config, tmp_path)

  def fail(file, *_):
    file.write_bytes(b"half")
    raise OSError("disk full")

  monkeypatch.setattr(weights, "write_file", fail)
  changed = jax.tree.map(lambda x: np.asarray(x) + 1, params)
  with pytest.raises(OSError, match="disk full"):
    save_safetensors(changed, config, tmp_path)
  same(load(tmp_path)[1], params)
  assert len(list(tmp_path.iterdir())) == 2
