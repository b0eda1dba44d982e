"""Every family gives the logits that transformers gives."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from alignjax import pretrained, sharding
from alignjax.models.config import Rope
from alignjax.models.families import config_from_hf, config_to_hf
from alignjax.models.family_table import FAMILIES
from alignjax.models.layout import leaves
from alignjax.models.lm import LM
from alignjax.models.presets import PRESETS, preset
from alignjax.ops.readout import logits_of
from configs import common

FIXTURES = Path(__file__).parent / "fixtures" / "families"
NAMES = sorted(folder.name for folder in FIXTURES.iterdir())


def jit(f):
  """Compiled in half the time; the arithmetic is the same float32."""
  return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def fixture(name):
  lm, params, tokenizer = pretrained.load(FIXTURES / name)
  assert tokenizer is None
  golden = np.load(FIXTURES / name / "golden.npz")
  return lm, params, golden["ids"], golden["logits"]


def config_json(name):
  return json.loads((FIXTURES / name / "config.json").read_text())


def test_every_family_has_a_fixture():
  families = {config_json(name)["model_type"] for name in NAMES}
  assert families == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(name):
  lm, params, ids, logits = fixture(name)
  ours = jit(lm.logits)(params, ids)
  np.testing.assert_allclose(ours, logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_rows_padded_or_packed_are_rows_alone(name):
  """A row padded on the right, and packed behind another.

  The dynamic rope of a row follows its longest document: the documents here
  stay within the original length, where it does nothing, and the golden row,
  which does not, is no measure.
  """
  lm, params, ids, logits = fixture(name)
  first, second = ids[0, :8], ids[1, :5]
  rows = np.full((3, 16), 7, np.int32)
  positions = np.zeros((3, 16), np.int32)
  documents = np.zeros((3, 16), np.int32)
  for row, parts in enumerate([[first], [second], [second, first]]):
    at = 0
    for number, part in enumerate(parts):
      span = slice(at, at + len(part))
      rows[row, span] = part
      positions[row, span] = np.arange(len(part))
      documents[row, span] = number + 1
      at += len(part)

  @jit
  def run(params, *arrays):
    hidden = lm.hidden(params, *arrays)
    head, cap = lm.head(params), lm.config.final_softcap
    return hidden, logits_of(hidden[0, :8], head, cap)

  hidden, ours = map(np.asarray, run(params, rows, positions, documents))
  assert np.isfinite(hidden).all()
  np.testing.assert_allclose(hidden[2, :5], hidden[1, :5], rtol=0, atol=3e-5)
  np.testing.assert_allclose(hidden[2, 5:13], hidden[0, :8], rtol=0, atol=3e-5)
  if name != "llama_dynamic":
    np.testing.assert_allclose(ours, logits[0, :8], rtol=0, atol=1e-4)


# What the awkward settings are there for: without them the logits differ.
BINDING = {
  "llama3": {"rope": Rope(theta=100.0)},
  "llama_linear": {"rope": Rope(theta=50.0)},
  "llama_dynamic": {"rope": Rope(theta=100.0)},
  "mistral": {"windows": (5,) * 3},
  "qwen2": {"windows": (0, 0, 4)},
  "qwen3": {"norm_eps": 0.5},
  "qwen3_window": {"windows": (3, 0, 4, 0)},
  "gemma2": {"attention_softcap": 0.0},
  "gemma3": {"local_rope": Rope(theta=1000.0)},
  "gemma3_untied": {"final_softcap": 0.0},
  "olmo2": {"norm_eps": 0.5},
  "gpt2": {"activation": "relu"},
  "gpt2_untied": {"norm_eps": 1e-5},
  "gpt_neox": {"parallel": False},
  "gpt_neox_serial": {"parallel": True},
}


@pytest.mark.parametrize("name", NAMES)
def test_settings_bind(name):
  lm, params, ids, logits = fixture(name)
  changed = lm.config.replace(**BINDING[name])
  if changed.period != lm.config.period:
    changed, params = _unstacked(lm.config, changed, params)
  other = jit(LM(changed).logits)(params, ids)
  assert np.abs(other - logits).max() > 1e-2


def _unstacked(old, new, params):
  """Parameters of `old` in the stacks of `new`, which has another period."""
  by_layer = {}
  for path, leaf in leaves(old).items():
    value = functools.reduce(lambda t, k: t[k], path.split("/"), params)
    for i, piece in enumerate(leaf.pieces):
      key = (piece.tensor.name, piece.part)
      by_layer[key] = value[i] if leaf.stacked else value
  tree = {}
  for path, leaf in leaves(new).items():
    parts = [by_layer[(p.tensor.name, p.part)] for p in leaf.pieces]
    *parents, last = path.split("/")
    node = functools.reduce(lambda t, k: t.setdefault(k, {}), parents, tree)
    node[last] = np.stack(parts) if leaf.stacked else parts[0]
  return new, tree


@pytest.mark.parametrize("name", NAMES)
def test_layout_is_the_tree_of_the_model(name):
  lm, params, _, _ = fixture(name)
  paths = jax.tree_util.tree_flatten_with_path(lm.shapes())[0]
  shapes = {"/".join(k.key for k in path): x.shape for path, x in paths}
  assert shapes == {
    path: leaf.shape for path, leaf in leaves(lm.config).items()
  }
  assert jax.tree.structure(params) == jax.tree.structure(lm.shapes())


@pytest.mark.parametrize("name", NAMES)
def test_config_goes_there_and_back(name):
  config = fixture(name)[0].config
  assert config_from_hf(config_to_hf(config)) == config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_exported(name):
  assert config_to_hf(preset(name))["model_type"] == preset(name).family


LLAMA = {
  "model_type": "llama",
  "vocab_size": 11,
  "hidden_size": 12,
  "num_hidden_layers": 2,
  "num_attention_heads": 3,
  "intermediate_size": 8,
  "max_position_embeddings": 64,
}


def test_a_bare_llama_config():
  config = config_from_hf(LLAMA)
  assert (config.kv_heads, config.head_size, config.tied) == (3, 4, False)
  assert config.rope == Rope() and config.norm_eps == 1e-6
  assert (config.bos, config.eos, config.pad) == (-1, (), -1)


def test_the_older_spelling_of_rope():
  scaling = {
    "type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
  }
  old = LLAMA | {"rope_theta": 5e5, "rope_scaling": scaling}
  new = LLAMA | {"rope_parameters": scaling | {"rope_theta": 5e5}}
  rope = Rope(5e5, 1.0, "llama3", 8.0, 1.0, 4.0, 32)
  assert config_from_hf(old).rope == config_from_hf(new).rope == rope


def test_a_sparse_gemma3_with_images():
  """As published: most keys left to the defaults, the text model nested."""
  hf = {
    "model_type": "gemma3",
    "eos_token_id": [1, 106],
    "vision_config": {"hidden_size": 1152},
    "text_config": {
      "model_type": "gemma3_text",
      "hidden_size": 2560,
      "intermediate_size": 10240,
      "num_hidden_layers": 34,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
      "sliding_window": 1024,
    },
  }
  config = config_from_hf(hf)
  assert config.family == "gemma3_text" and config.eos == (1, 106)
  assert (config.heads, config.kv_heads, config.head_size) == (8, 4, 256)
  assert config.windows[:7] == (1024,) * 5 + (0, 1024) and config.period == 6
  assert config.rope == Rope(1e6, kind="linear", factor=8.0)
  assert config.local_rope == Rope(1e4)
  assert config.tied and config.scale == 1 / 16


def test_windows_of_qwen_and_mistral():
  qwen = LLAMA | {
    "model_type": "qwen2",
    "num_key_value_heads": 1,
    "sliding_window": 4,
    "max_window_layers": 1,
  }
  assert config_from_hf(qwen).windows == (0, 0)
  used = qwen | {"use_sliding_window": True}
  assert config_from_hf(used).windows == (0, 4)
  types = {"layer_types": ["sliding_attention", "full_attention"]}
  assert config_from_hf(used | types).windows == (4, 0)
  mistral = qwen | {"model_type": "mistral"}
  assert config_from_hf(mistral).windows == (4, 4)
  assert config_from_hf(mistral | {"sliding_window": None}).windows == (0, 0)


def test_the_older_spelling_of_neox():
  hf = LLAMA | {"model_type": "gpt_neox", "rotary_pct": 0.5}
  config = config_from_hf(hf | {"rotary_emb_base": 500})
  assert config.rope == Rope(500.0, 0.5) and config.parallel
  assert config.activation == "gelu" and config.norm == "layer"


@pytest.mark.parametrize(
  "change, said",
  [
    ({"model_type": "bert"}, ["'bert'", "llama", "gpt_neox"]),
    ({"model_type": None}, ["None"]),
    ({"hidden_act": "mish"}, ["'mish'", "silu"]),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, ["'yarn'", "llama3"]),
    ({"rope_scaling": {"rope_type": "linear"}}, ["'factor'"]),
    (
      {"rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 3}},
      ["beta_fast = 3"],
    ),
    ({"partial_rotary_factor": 0.5}, ["0.5"]),
    ({"num_local_experts": 8}, ["num_local_experts = 8"]),
    ({"quantization_config": {"bits": 4}}, ["quantization_config"]),
    ({"vocab_size": None}, ["lacks 'vocab_size'"]),
    ({"num_key_value_heads": 2}, ["3", "2"]),
  ],
)
def test_what_is_not_supported_is_refused(change, said):
  with pytest.raises(ValueError) as error:
    config_from_hf(LLAMA | change)
  assert all(word in str(error.value) for word in said)
  assert len(str(error.value).splitlines()) <= 5


def test_unknown_layer_types_are_refused():
  hf = LLAMA | {
    "model_type": "qwen3",
    "num_key_value_heads": 1,
    "use_sliding_window": True,
    "layer_types": ["chunked_attention"] * 2,
  }
  with pytest.raises(ValueError, match="chunked_attention"):
    config_from_hf(hf)


def test_a_config_its_family_cannot_say_is_not_exported():
  config = config_from_hf(LLAMA).replace(windows=(4, 4))
  with pytest.raises(ValueError, match=r"windows = \(4, 4\)"):
    config_to_hf(config)


@pytest.mark.parametrize(
  "name, billions",
  [
    ("smollm2_360m", 0.36),
    ("llama3_8b", 8.03),
    ("llama3_70b", 70.55),
    ("qwen3_4b", 4.02),
    ("qwen3_32b", 32.76),
    ("gemma3_1b", 1.0),
    ("gemma3_27b", 27.01),  # without its vision tower
  ],
)
def test_presets_have_as_many_parameters_as_published(name, billions):
  leaves = jax.tree.leaves(LM(preset(name)).shapes())
  assert round(sum(x.size for x in leaves) / 1e9, 2) == round(billions, 2)


@pytest.mark.parametrize("mesh", [(1, 8, 1), (1, 4, 2)])
@pytest.mark.parametrize("name", ["llama3_8b", "qwen3_32b", "gemma3_27b"])
def test_nothing_large_of_a_preset_is_whole_on_every_device(name, mesh):
  place = sharding.Placement(
    sharding.make_mesh(mesh), common.PARAMS, common.ACTIVATIONS
  )
  shapes = LM(preset(name)).shapes()
  named = flatten_dict(shapes, sep="/")
  assert sum(x.size for x in named.values()) > 8e9
  for path, x in named.items():
    if x.size * 4 >= 2**20 and not path.endswith("scale"):
      assert not place.param(path, x.shape).is_fully_replicated, path
