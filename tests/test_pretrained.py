"""load and export: whole models, and messages for what is not one."""

import json
import shutil
from pathlib import Path

import gguf
import jax
import numpy as np
import pytest

from alignjax import pretrained
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset

FIXTURES = Path(__file__).parent / "fixtures" / "families"


def tiny(draw, vocab=264):
  """A random llama with a byte tokenizer (260 tokens)."""
  config = preset("tiny").replace(vocab=vocab, width=16, depth=2, hidden=24)
  lm = LM(config.replace(heads=2, kv_heads=1, head_size=8, eos=(259,)))
  return lm, draw(lm), byte_tokenizer()


def test_a_model_with_its_tokenizer_goes_there_and_back(tmp_path, draw):
  lm, params, tokenizer = tiny(draw)
  pretrained.export(tmp_path, lm, params, tokenizer)
  same, back, again = pretrained.load(tmp_path)
  assert same == lm
  assert jax.tree.all(jax.tree.map(np.array_equal, params, back))
  assert again.get_vocab() == tokenizer.get_vocab()
  assert again.chat_template == tokenizer.chat_template
  files = {f.suffix for f in tmp_path.iterdir()}
  assert files <= {".json", ".safetensors", ".jinja"}


def test_dtype_is_of_parameters_and_arithmetic():
  lm, params, _ = pretrained.load(FIXTURES / "gemma3", dtype="bfloat16")
  assert lm.dtype == "bfloat16"
  assert {x.dtype.name for x in jax.tree.leaves(params)} == {"bfloat16"}
  golden = np.load(FIXTURES / "gemma3" / "golden.npz")
  logits = np.asarray(jax.jit(lm.logits)(params, golden["ids"]))
  assert logits.dtype == np.float32
  error = np.abs(logits - golden["logits"]).mean()
  assert 1e-4 < error < 0.2
  with pytest.raises(ValueError, match="one of float32"):
    pretrained.load(FIXTURES / "gemma3", dtype="int4")


def test_the_tokenizer_must_fit_the_embedding(tmp_path, draw):
  lm, params, tokenizer = tiny(draw, vocab=259)
  pretrained.export(tmp_path, lm, params, tokenizer)
  with pytest.raises(ValueError, match="has 260 tokens.*vocabulary 259") as e:
    pretrained.load(tmp_path)
  assert len(str(e.value).splitlines()) <= 5


def test_stop_tokens_of_the_generation_config(tmp_path):
  folder = tmp_path / "m"
  shutil.copytree(FIXTURES / "llama3", folder)
  for more, wanted in [([7, 2], (2, 5, 7)), (9, (2, 5, 9)), (None, (2, 5))]:
    text = json.dumps({"eos_token_id": more})
    (folder / "generation_config.json").write_text(text)
    assert pretrained.load(folder)[0].config.eos == wanted


@pytest.mark.parametrize(
  "path, said",
  [
    ("./missing", "no folder or file"),
    ("/a/b/c", "no folder or file"),
    ("missing.gguf", "no folder or file"),
    ("a/b/c", "no folder or file"),
    ("../up/x", "no folder or file"),
  ],
)
def test_missing_paths(path, said):
  with pytest.raises(FileNotFoundError, match=said) as error:
    pretrained.load(path)
  assert path in str(error.value) and "hub name" in str(error.value)


def test_a_hub_name_is_fetched_without_pickles_or_code(monkeypatch):
  import huggingface_hub

  asked = {}

  def fake(name, **options):
    asked.update(options, name=name)
    return str(FIXTURES / "qwen3")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
  lm, _, _ = pretrained.load("owner/model-1.5", revision="v2")
  assert lm.config.family == "qwen3"
  assert (asked["name"], asked["revision"]) == ("owner/model-1.5", "v2")
  kept = huggingface_hub.utils.filter_repo_objects(
    [
      "config.json",
      "model-00001-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
      "tokenizer_config.json",
      "chat_template.jinja",
      "pytorch_model.bin",
      "modeling_x.py",
      "consolidated.safetensors",
      "original/model.safetensors",
      "training_args.pt",
    ],
    allow_patterns=asked["allow_patterns"],
    ignore_patterns=asked["ignore_patterns"],
  )
  assert len(list(kept)) == 6


def test_a_tokenizer_is_fetched_without_weights(monkeypatch):
  import huggingface_hub

  asked = {}

  def fake(name, **options):
    asked.update(options)
    return str(FIXTURES / "qwen3")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
  pretrained.tokenizer_of("owner/model-1.5")
  names = ["model.safetensors", "tokenizer.json", "chat_template.jinja"]
  kept = huggingface_hub.utils.filter_repo_objects(
    names, allow_patterns=asked["allow_patterns"]
  )
  assert list(kept) == names[1:]


def test_no_network_says_what_to_do(monkeypatch):
  import huggingface_hub

  def fail(name, **options):
    raise ConnectionError("no route to host\nand a long story")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
  with pytest.raises(FileNotFoundError) as error:
    pretrained.load("owner/model")
  text = str(error.value)
  assert "no route to host" in text and "long story" not in text
  assert "local folder" in text and len(text.splitlines()) <= 5


def test_folders_that_are_no_models(tmp_path):
  with pytest.raises(FileNotFoundError, match="no config.json"):
    pretrained.load(tmp_path)
  (tmp_path / "adapter_config.json").write_text("{}")
  with pytest.raises(FileNotFoundError, match="its base as the model"):
    pretrained.load(tmp_path)
  for content, said in [("{", "not JSON"), ("[]", "not a JSON object")]:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=said):
      pretrained.load(tmp_path)
  with pytest.raises(ValueError, match="is a file"):
    pretrained.load(tmp_path / "config.json")


def test_a_gguf_file_with_its_tokenizer(tmp_path):
  tokens = sorted(byte_tokenizer().get_vocab().items(), key=lambda x: x[1])
  tokens = [token for token, _ in tokens] + ["ab"]
  writer = gguf.GGUFWriter(str(tmp_path / "m.gguf"), "llama")
  writer.add_context_length(32)
  writer.add_embedding_length(16)
  writer.add_block_count(0)
  writer.add_feed_forward_length(8)
  writer.add_head_count(2)
  writer.add_layer_norm_rms_eps(1e-5)
  writer.add_tokenizer_model("gpt2")
  writer.add_tokenizer_pre("gpt-2")
  writer.add_token_list(tokens)
  writer.add_token_types([1] * 256 + [3] * 4 + [1])
  writer.add_token_merges(["a b"])
  writer.add_eos_token_id(259)
  embed = np.random.default_rng(0).normal(size=(len(tokens), 16))
  writer.add_tensor("token_embd.weight", embed.astype(np.float32))
  writer.add_tensor("output_norm.weight", np.ones(16, np.float32))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  lm, params, tokenizer = pretrained.load(tmp_path / "m.gguf")
  assert lm.config.depth == 0 and lm.config.tied and lm.config.eos == (259,)
  assert tokenizer.encode("abc") == [260, 99]
  np.testing.assert_allclose(params["embed"], embed, rtol=1e-6)
