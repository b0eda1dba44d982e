import json

import pytest
from transformers import AutoTokenizer

from alignjax.data.tokenizer import (
  byte_tokenizer,
  load_tokenizer,
  save_tokenizer,
)


def test_bytes_are_their_own_ids():
  tokenizer = byte_tokenizer()
  assert tokenizer("hé\n")["input_ids"] == [104, 0xC3, 0xA9, 10]
  everything = "".join(map(chr, range(0x250))) + "漢🙂"
  ids = tokenizer(everything)["input_ids"]
  assert ids == list(everything.encode())
  assert tokenizer.decode(ids) == everything


def test_byte_tokenizer_has_its_control_tokens():
  tokenizer = byte_tokenizer()
  assert len(tokenizer) == 260
  ids = tokenizer("<|pad|><|bos|><|im_start|>a<|im_end|>")["input_ids"]
  assert ids == [256, 257, 258, 97, 259]
  assert (tokenizer.pad_token_id, tokenizer.bos_token_id) == (256, 257)
  assert tokenizer.eos_token_id == 259


def test_saved_tokenizer_comes_back_and_transformers_loads_it(tmp_path):
  tokenizer = byte_tokenizer()
  save_tokenizer(tokenizer, tmp_path)
  text = "<|im_start|>user\nhé <|im_end|>"
  for back in (
    load_tokenizer(tmp_path),
    AutoTokenizer.from_pretrained(str(tmp_path)),
  ):
    assert back(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert back.chat_template == tokenizer.chat_template
    assert back.special_tokens_map == tokenizer.special_tokens_map


def test_folder_without_a_tokenizer(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  assert load_tokenizer(tmp_path) is None
  assert load_tokenizer(str(tmp_path)) is None


def test_damaged_tokenizer_is_named(tmp_path):
  (tmp_path / "tokenizer.json").write_text("{not json")
  (tmp_path / "tokenizer_config.json").write_text(
    json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
  )
  with pytest.raises(ValueError, match="cannot read the tokenizer") as error:
    load_tokenizer(tmp_path)
  assert str(tmp_path) in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_code_in_the_folder_is_not_run(tmp_path):
  save_tokenizer(byte_tokenizer(), tmp_path)
  config = json.loads((tmp_path / "tokenizer_config.json").read_text())
  config["auto_map"] = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
  config["tokenizer_class"] = "Evil"
  (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
  ran = tmp_path / "ran"
  (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: ...")
  try:
    load_tokenizer(tmp_path)
  except ValueError:
    pass
  assert not ran.exists()
