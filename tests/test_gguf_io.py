"""GGUF files, written here the way llama.cpp's converter writes them."""

import functools

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.models.config import ModelConfig, Rope
from alignjax.models.gguf_io import gguf_name, load_gguf
from alignjax.models.layout import leaves, tensors

SHAPE = dict(
  vocab=48,
  width=32,
  depth=2,
  heads=3,
  kv_heads=1,
  head_size=8,
  hidden=64,
  max_length=128,
  bos=1,
  eos=(2,),
)
LLAMA = ModelConfig(family="llama", tied=True, **SHAPE)
QWEN2 = ModelConfig(family="qwen2", qkv_bias=True, norm_eps=1e-6, **SHAPE)
QWEN3 = ModelConfig(family="qwen3", qk_norm="head", tied=True, **SHAPE)


def random_params(config):
  rng = np.random.default_rng(0)
  tree = {}
  for path, leaf in leaves(config).items():
    *parents, last = path.split("/")
    node = functools.reduce(lambda t, k: t.setdefault(k, {}), parents, tree)
    node[last] = jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)
  return tree


def permute(x, heads):
  """llama.cpp's order: what is rotated together stands together."""
  halves = x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:])
  return halves.swapaxes(1, 2).reshape(x.shape)


def divisors(rope, size):
  """Of Llama 3's scaling, as the converter computes them."""
  out = []
  for i in range(0, size, 2):
    length = 2 * np.pi * rope.theta ** (i / size)
    if length < rope.original_length / rope.high_freq:
      out.append(1.0)
    elif length > rope.original_length / rope.low_freq:
      out.append(rope.factor)
    else:
      smooth = rope.original_length / length - rope.low_freq
      smooth /= rope.high_freq - rope.low_freq
      out.append(1 / ((1 - smooth) / rope.factor + smooth))
  return np.array(out, np.float32)


def write(path, config, params, kind="F32", architecture=None, **settings):
  c = config
  writer = gguf.GGUFWriter(str(path), architecture or c.family)
  writer.add_context_length(c.max_length)
  writer.add_embedding_length(c.width)
  writer.add_block_count(c.depth)
  writer.add_feed_forward_length(c.hidden)
  writer.add_head_count(c.heads)
  writer.add_head_count_kv(c.kv_heads)
  writer.add_key_length(c.head_size)
  writer.add_value_length(c.head_size)
  writer.add_layer_norm_rms_eps(c.norm_eps)
  writer.add_rope_freq_base(c.rope.theta)
  writer.add_bos_token_id(c.bos)
  writer.add_eos_token_id(c.eos[0])
  for name, value in settings.items():
    getattr(writer, f"add_{name}")(value)
  flat = jax.tree_util.tree_flatten_with_path(params)[0]
  flat = {"/".join(k.key for k in p): np.asarray(x) for p, x in flat}
  heads = {"q_proj": c.heads, "k_proj": c.kv_heads}
  for tensor in tensors(c):
    (path,) = tensor.paths
    x = flat[path] if tensor.layer is None else flat[path][tensor.layer]
    x = tensor.pack([x])
    module = tensor.name.split(".")[-2]
    if c.family == "llama" and module in heads:
      x = permute(x, heads[module])
    wanted = gguf.GGMLQuantizationType["F32" if x.ndim == 1 else kind]
    x = gguf.quants.quantize(x, wanted)
    writer.add_tensor(gguf_name(tensor.name), x, raw_dtype=wanted)
  if c.rope.kind == "llama3":
    writer.add_tensor("rope_freqs.weight", divisors(c.rope, c.head_size))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


LINEAR = LLAMA.replace(rope=Rope(kind="linear", factor=2.5), tied=False)
SCALED = LLAMA.replace(
  rope=Rope(theta=5e5, kind="llama3", factor=32.0), head_size=16
)


@pytest.mark.parametrize("config", [LLAMA, LINEAR, SCALED, QWEN2, QWEN3])
def test_config_and_weights_are_what_was_written(config, tmp_path):
  params = random_params(config)
  settings = {}
  if config.rope.kind == "linear":
    settings = {
      "rope_scaling_type": gguf.RopeScalingType.LINEAR,
      "rope_scaling_factor": config.rope.factor,
    }
  write(tmp_path / "m.gguf", config, params, **settings)
  read, back = load_gguf(tmp_path / "m.gguf")
  assert read == config
  assert jax.tree.structure(back) == jax.tree.structure(params)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, back, params))


@pytest.mark.parametrize(
  "kind, error", [("F16", 2e-3), ("BF16", 2e-2), ("Q8_0", 3e-2), ("Q4_1", 0.3)]
)
def test_quantised_weights_are_near(kind, error, tmp_path):
  config = LLAMA.replace(head_size=32)  # rows of whole blocks of 32
  params = random_params(config)
  write(tmp_path / "m.gguf", config, params, kind)
  _, back = load_gguf(tmp_path / "m.gguf")
  far = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), back, params)
  assert 0 < max(jax.tree.leaves(far)) < error
  assert far["final_norm"]["scale"] == 0


def test_the_end_of_a_turn_is_a_stop_token_too(tmp_path):
  write(tmp_path / "m.gguf", LLAMA, random_params(LLAMA), eot_token_id=5)
  assert load_gguf(tmp_path / "m.gguf")[0].eos == (2, 5)


def test_narrow_parameters(tmp_path):
  params = random_params(LLAMA)
  write(tmp_path / "m.gguf", LLAMA, params)
  _, back = load_gguf(tmp_path / "m.gguf", dtype="bfloat16")
  assert {x.dtype.name for x in jax.tree.leaves(back)} == {"bfloat16"}


def test_other_llama3_scalings_are_refused(tmp_path):
  rope = Rope(theta=5e5, kind="llama3", factor=32.0, original_length=64)
  config = SCALED.replace(rope=rope)
  write(tmp_path / "m.gguf", config, random_params(config))
  with pytest.raises(ValueError, match="rope_freqs"):
    load_gguf(tmp_path / "m.gguf")


@pytest.mark.parametrize(
  "settings, said",
  [
    ({"architecture": "gemma2"}, "'gemma2' is not supported; one of llama"),
    ({"rope_scaling_type": gguf.RopeScalingType.YARN}, "'yarn'"),
    ({"expert_count": 8}, "experts"),
    ({"rope_dimension_count": 4}, "4 of 8"),
  ],
)
def test_what_is_not_supported_is_refused(settings, said, tmp_path):
  write(tmp_path / "m.gguf", LLAMA, random_params(LLAMA), **settings)
  with pytest.raises(ValueError, match=said) as error:
    load_gguf(tmp_path / "m.gguf")
  assert len(str(error.value).splitlines()) <= 5


def test_files_that_are_not_gguf(tmp_path):
  with pytest.raises(FileNotFoundError, match="no GGUF file"):
    load_gguf(tmp_path / "m.gguf")
  for content in (b"", b"GGUF", b"nonsense" * 9):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ValueError, match="not a readable GGUF"):
      load_gguf(tmp_path / "m.gguf")
