"""Adapter folders: those of PEFT are read, and what we write is the same."""

import functools
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from alignjax import pretrained
from alignjax.models.adapters import load_adapter, save_adapter
from alignjax.models.lm import LM
from alignjax.models.lora import Lora, merge
from alignjax.models.lora import init as new_adapters

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(folder.name for folder in (FIXTURES / "adapters").iterdir())
FILE = "adapter_model.safetensors"


def jit(f):
  """Compiled in half the time; the arithmetic is the same float32."""
  return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def loaded(name):
  lm, params, _ = pretrained.load(FIXTURES / "families" / name)
  found = load_adapter(FIXTURES / "adapters" / name, lm.config)
  assert found.score_head is None
  return lm, params, found.weights, found.lora


def settings_of(folder):
  return json.loads((folder / "adapter_config.json").read_text())


def copy(name, folder, change=lambda arrays: arrays, **settings):
  """A fixture with its tensors and settings changed."""
  shutil.copytree(FIXTURES / "adapters" / name, folder)
  save_file(change(load_file(folder / FILE)), folder / FILE)
  found = settings_of(folder) | settings
  (folder / "adapter_config.json").write_text(json.dumps(found))
  return folder


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_peft(name):
  lm, params, adapters, lora = loaded(name)
  golden = np.load(FIXTURES / "adapters" / name / "golden.npz")
  lm = LM(lm.config, lora=lora)
  logits = jit(lm.logits)
  found = logits(params | {"lora": adapters}, golden["ids"])
  np.testing.assert_allclose(found, golden["logits"], rtol=0, atol=1e-4)
  assert np.abs(logits(params, golden["ids"]) - found).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_is_written_bit_for_bit(name, tmp_path):
  lm, _, adapters, lora = loaded(name)
  save_adapter(adapters, lm.config, tmp_path, lora, base=name)
  assert sorted(f.name for f in tmp_path.iterdir()) == [
    "adapter_config.json",
    FILE,
  ]
  ours = load_file(tmp_path / FILE)
  theirs = load_file(FIXTURES / "adapters" / name / FILE)
  assert set(ours) == set(theirs)
  for key in theirs:
    assert np.array_equal(ours[key], theirs[key]), key
  written = settings_of(tmp_path)
  read = settings_of(FIXTURES / "adapters" / name)
  for key in ("peft_type", "task_type", "r", "lora_alpha", "use_rslora"):
    assert written[key] == read[key], key
  assert written["fan_in_fan_out"] == read["fan_in_fan_out"]
  again, same, head = load_adapter(tmp_path, lm.config)
  assert same == lora and head is None
  jax.tree.map(np.testing.assert_array_equal, again, adapters)


def test_target_modules_name_what_has_adapters(tmp_path):
  """By last names where all modules of a name are meant, else whole."""

  def written(name, *targets):
    lm, params, _, _ = loaded(name)
    lora = Lora(2, 4.0, targets)
    adapters = new_adapters(jax.random.key(0), params, lora)
    save_adapter(adapters, lm.config, tmp_path, lora, base="")
    return settings_of(tmp_path)["target_modules"]

  assert written("llama3", ".*/(query|up)/kernel") == ["q_proj", "up_proj"]
  assert written("gpt2", ".*/(out|down)/kernel") == ["c_proj"]
  one = written("gpt2", ".*/down/kernel")
  assert one == [f"transformer.h.{i}.mlp.c_proj" for i in range(len(one))]
  assert len(one) == loaded("gpt2")[0].config.depth


def test_a_hand_made_folder(tmp_path):
  """PEFT's layout is A [r, in], B [out, r], of each layer."""
  lm, params, _, _ = loaded("gemma3")
  lora = Lora(1, 1.0, ("layers/0/mlp/up/kernel",))
  stack, width, hidden = params["layers"]["0"]["mlp"]["up"]["kernel"].shape
  a = np.arange(stack * width, dtype=np.float32).reshape(stack, width, 1)
  b = -np.arange(stack * hidden, dtype=np.float32).reshape(stack, 1, hidden)
  tree = {"layers": {"0": {"mlp": {"up": {"a": a, "b": b}}}}}
  save_adapter(tree, lm.config, tmp_path, lora, base="")
  stored = load_file(tmp_path / FILE)
  layers = [i for i in range(lm.config.depth) if lm.config.place(i)[0][1:]]
  layers = [i for i in layers if lm.config.place(i)[0][1] == "0"]
  assert len(stored) == 2 * stack == 2 * len(layers)
  for at, layer in enumerate(layers):
    stem = f"base_model.model.model.layers.{layer}.mlp.up_proj.lora_"
    np.testing.assert_array_equal(stored[f"{stem}A.weight"], a[at].T)
    np.testing.assert_array_equal(stored[f"{stem}B.weight"], b[at].T)


def test_a_base_is_loaded_with_its_adapter():
  """As PEFT's own logits say; in the model's type."""
  base = FIXTURES / "families/qwen3"
  adapter = FIXTURES / "adapters/qwen3"
  lm, params, _ = pretrained.load(base, adapter=adapter)
  assert "lora" not in params and lm.lora is None
  golden = np.load(adapter / "golden.npz")
  found = jit(lm.logits)(params, golden["ids"])
  np.testing.assert_allclose(found, golden["logits"], rtol=0, atol=1e-4)


def test_a_reward_model_is_its_base_and_an_adapter(tmp_path):
  """Scalar heads stand beside the adapters, as PEFT's saved modules do."""
  lm, params, adapters, lora = loaded("llama3")
  head = np.random.default_rng(0).normal(size=(2, lm.config.width))
  head = head.astype(np.float32)
  config = lm.config.replace(scores=2)
  save_adapter(adapters, config, tmp_path, lora, base="", score_head=head)
  settings = settings_of(tmp_path)
  assert settings["task_type"] == "SEQ_CLS"
  assert settings["modules_to_save"] == ["score"]
  assert settings["target_modules"] == sorted(settings["target_modules"])
  assert "base_model.model.score.weight" in load_file(tmp_path / FILE)
  base = FIXTURES / "families/llama3"
  outline, _ = pretrained.outline(base, adapter=tmp_path)
  back, whole, _ = pretrained.load(base, adapter=tmp_path)
  assert outline == back.config == config
  np.testing.assert_array_equal(whole["score_head"], head)
  merged = merge(params | {"lora": adapters}, lora)
  for name in ("embed", "layers"):
    jax.tree.map(np.testing.assert_array_equal, whole[name], merged[name])
  # A language model's tree has the output head, a reward model's has none.
  assert ("head" in whole) == config.own_head


def test_heads_that_are_said_and_not_there_are_refused(tmp_path):
  config = loaded("llama3")[0].config
  folder = copy("llama3", tmp_path / "a", modules_to_save=["score"])
  with pytest.raises(ValueError, match="score.weight is missing"):
    load_adapter(folder, config)
  name = "base_model.model.score.weight"
  narrow = {name: np.zeros((1, 3), np.float32)}
  folder = copy("llama3", tmp_path / "b", lambda arrays: arrays | narrow)
  with pytest.raises(ValueError, match="(?s)do not name.*is there"):
    load_adapter(folder, config)
  folder = copy(
    "llama3",
    tmp_path / "c",
    lambda arrays: arrays | narrow,
    modules_to_save=["classifier", "score"],
  )
  with pytest.raises(ValueError, match="(?s)3.*base is .* wide"):
    load_adapter(folder, config)


def test_a_merged_export_is_the_adapted_model(tmp_path):
  lm, params, adapters, lora = loaded("qwen3")
  whole = params | {"lora": adapters}
  pretrained.export(tmp_path, lm, merge(whole, lora), None)
  back, merged, _ = pretrained.load(tmp_path)
  golden = np.load(FIXTURES / "adapters" / "qwen3" / "golden.npz")
  found = jit(back.logits)(merged, golden["ids"])
  np.testing.assert_allclose(found, golden["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  "settings, message",
  [
    ({"use_dora": True}, "use_dora = True is not supported; unset it"),
    ({"bias": "all"}, "bias = 'all' is not supported; legal: 'none'"),
    ({"modules_to_save": ["lm_head"]}, r"\['lm_head'\].*only 'score'"),
    ({"rank_pattern": {"q_proj": 9}}, "rank_pattern"),
    ({"alpha_pattern": {"q_proj": 9}}, "alpha_pattern"),
    ({"layers_to_transform": [0]}, "layers_to_transform"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
    ({"a_new_idea": 1}, "a_new_idea = 1 is not supported"),
    ({"peft_type": "IA3"}, "peft_type = 'IA3' is not supported; legal: 'LORA'"),
    ({"r": 4}, r"lora_A.weight is \(3, 20\); .* r = 4 has \(4, 20\)"),
    ({"r": "3"}, "r = '3' is no whole number"),
  ],
)
def test_settings_that_change_the_sum_are_refused(settings, message, tmp_path):
  folder = copy("llama3", tmp_path / "adapter", **settings)
  with pytest.raises(ValueError, match=message):
    load_adapter(folder, loaded("llama3")[0].config)


def test_tensors_that_are_none_of_the_model_are_refused(tmp_path):
  config = loaded("llama3")[0].config
  key = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"

  def without(arrays):
    return {k: x for k, x in arrays.items() if k != key}

  def embedding(arrays):
    name = "base_model.model.model.embed_tokens.lora_embedding_A"
    return arrays | {name: np.zeros((3, 53), np.float32)}

  with pytest.raises(
    ValueError, match=f"(?s){key} is missing;.*Every layer must"
  ):
    folder = copy("llama3", tmp_path / "a", without)
    load_adapter(folder, config)
  with pytest.raises(ValueError, match="(?s)embed_tokens.*output head are not"):
    load_adapter(copy("llama3", tmp_path / "b", embedding), config)
  # A stranger's adapter: names of another family.
  with pytest.raises(ValueError, match="no adapter of a linear layer of gpt2"):
    load_adapter(FIXTURES / "adapters/llama3", loaded("gpt2")[0].config)


def test_fused_matrices_have_no_adapter_in_files(tmp_path):
  lm, params, _, _ = loaded("gpt2")
  lora = Lora(2, 2.0, (".*/query/kernel",))
  adapters = new_adapters(jax.random.key(0), params, lora)
  message = "(?s)query/kernel is a part of .*c_attn.weight.*merge and export"
  with pytest.raises(ValueError, match=message):
    save_adapter(adapters, lm.config, tmp_path, lora, base="")
  name = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"
  zeros = {name: np.zeros((2, 20), np.float32)}
  folder = copy("gpt2", tmp_path / "fused", lambda arrays: arrays | zeros)
  with pytest.raises(ValueError, match="(?s)c_attn.*one matrix in files"):
    load_adapter(folder, lm.config)


def test_folders_without_an_adapter_are_refused(tmp_path):
  config = loaded("llama3")[0].config
  with pytest.raises(FileNotFoundError, match="no adapter_config.json"):
    load_adapter(FIXTURES / "families/llama3", config)
  folder = copy("llama3", tmp_path / "adapter")
  (folder / FILE).rename(folder / "adapter_model.bin")
  with pytest.raises(FileNotFoundError, match="(?s)pickle.*never read"):
    load_adapter(folder, config)
