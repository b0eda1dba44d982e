import struct

import gguf
import pytest

from alignjax.data.gguf import read_metadata, tokenizer_from_gguf
from alignjax.data.tokenizer import byte_tokenizer, save_tokenizer

BYTES = sorted(
  (t for t, i in byte_tokenizer().get_vocab().items() if i < 256),
  key=byte_tokenizer().get_vocab().get,
)
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def write(path, kind, tokens, types, **fields):
  writer = gguf.GGUFWriter(str(path), "llama")
  writer.add_tokenizer_model(kind)
  writer.add_token_list(tokens)
  writer.add_token_types(types)
  for name, value in fields.items():
    getattr(writer, f"add_{name}")(value)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.close()
  return path


def byte_level(path, pre, **fields):
  """Ids: 3 + byte, then 12 (259), Ġa (260), 123 (261), 789 (262)."""
  control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
  tokens = [*control, *BYTES, "12", "Ġa", "123", "789"]
  types = [CONTROL] * 3 + [NORMAL] * 260
  merges = ["1 2", "Ġ a", "12 3"]
  fields = {
    "token_merges": merges,
    "tokenizer_pre": pre,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "unk_token_id": 0,
    "chat_template": "{{ messages[0].content }}",
  } | fields
  return write(path, "gpt2", tokens, types, **fields)


def b(text):
  return [3 + byte for byte in text.encode()]


@pytest.mark.parametrize(
  "pre, expected",
  [
    ("gpt-2", [260, 259 + 2, *b("4")]),
    ("smollm", [260, *b("1234")]),
    ("qwen2", [260, *b("1234")]),
    ("llama-bpe", [1, 260, 261, *b("4")]),
  ],
)
def test_digits_are_cut_as_the_model_was_trained(tmp_path, pre, expected):
  tokenizer = tokenizer_from_gguf(byte_level(tmp_path / "a.gguf", pre))
  assert tokenizer(" a1234")["input_ids"] == expected
  ids = tokenizer(" a1234 é\n\n漢 it's", add_special_tokens=False)["input_ids"]
  assert tokenizer.decode(ids) == " a1234 é\n\n漢 it's"


def test_llama3_takes_a_known_word_whole_without_merges(tmp_path):
  for pre, expected in (("llama-bpe", [262]), ("qwen2", b("789"))):
    path = byte_level(tmp_path / pre, pre, add_bos_token=False)
    assert tokenizer_from_gguf(path)("789")["input_ids"] == expected


def test_control_tokens_and_template(tmp_path):
  tokenizer = tokenizer_from_gguf(byte_level(tmp_path / "a.gguf", "smollm"))
  ids = tokenizer("<|im_start|>x<|im_end|>")["input_ids"]
  assert ids == [1, *b("x"), 2]
  assert (tokenizer.bos_token_id, tokenizer.unk_token_id) == (1, 0)
  assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
  assert tokenizer.chat_template == "{{ messages[0].content }}"


def test_beginning_token_follows_the_file(tmp_path):
  on = byte_level(tmp_path / "a.gguf", "smollm", add_bos_token=True)
  off = byte_level(tmp_path / "b.gguf", "llama-bpe", add_bos_token=False)
  assert tokenizer_from_gguf(on)("x")["input_ids"] == [1, *b("x")]
  assert tokenizer_from_gguf(off)("x")["input_ids"] == b("x")


def test_a_rebuilt_tokenizer_can_be_saved(tmp_path):
  from transformers import AutoTokenizer

  tokenizer = tokenizer_from_gguf(byte_level(tmp_path / "a.gguf", "smollm"))
  save_tokenizer(tokenizer, tmp_path / "out")
  back = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
  text = "<|im_start|> a 1234<|im_end|>"
  assert back(text)["input_ids"] == tokenizer(text)["input_ids"]
  assert back.chat_template == tokenizer.chat_template
  assert (back.pad_token_id, back.eos_token_id) == (2, 2)


def test_sentence_piece_merges_come_from_the_scores(tmp_path):
  tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
  types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
  # "ab" scores higher than "bc", so "abc" is read as ab|c; "▁ab" joins it.
  pieces = {"▁": -9, "a": -9, "b": -9, "c": -9, "ab": -1, "bc": -2, "▁ab": -3}
  tokens += list(pieces)
  path = write(
    tmp_path / "a.gguf",
    "llama",
    tokens,
    types + [NORMAL] * len(pieces),
    token_scores=[0.0] * 259 + [float(s) for s in pieces.values()],
    bos_token_id=1,
    eos_token_id=2,
    unk_token_id=0,
  )
  tokenizer = tokenizer_from_gguf(path)

  def read(text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])

  assert read("abc") == ["<s>", "▁ab", "c"]
  assert read("cabc bc") == ["<s>", "▁", "c", "ab", "c", "▁", "bc"]
  assert read("aé") == ["<s>", "▁", "a", "<0xC3>", "<0xA9>"]
  ids = tokenizer("ab é c</s>")["input_ids"]
  assert ids[-1] == 2
  assert tokenizer.decode(ids, skip_special_tokens=True) == "ab é c"


def test_user_defined_tokens_are_whole_but_not_special(tmp_path):
  tokens = ["<|e|>", *BYTES, "<think>", "12"]
  path = write(
    tmp_path / "a.gguf",
    "gpt2",
    tokens,
    [CONTROL] + [NORMAL] * 256 + [USER, NORMAL],
    token_merges=["1 2"],
    eos_token_id=0,
  )
  tokenizer = tokenizer_from_gguf(path)
  ids = tokenizer("a<think>")["input_ids"]
  assert ids == [1 + ord("a"), 257]
  assert tokenizer.decode(ids, skip_special_tokens=True) == "a<think>"


def test_metadata_agrees_with_the_gguf_package(tmp_path):
  path = byte_level(tmp_path / "a.gguf", "smollm")
  fields = gguf.GGUFReader(str(path)).fields
  expected = {
    name: field.contents()
    for name, field in fields.items()
    if not name.startswith("GGUF.")
  }
  assert read_metadata(path) == expected


def test_what_is_not_known_is_refused(tmp_path):
  path = byte_level(tmp_path / "a.gguf", "viking")
  with pytest.raises(ValueError, match="(?s)'viking'.*smollm"):
    tokenizer_from_gguf(path)
  path = write(tmp_path / "b.gguf", "bert", ["a"], [NORMAL])
  with pytest.raises(ValueError, match="'bert'; known kinds: gpt2, llama"):
    tokenizer_from_gguf(path)
  path = write(tmp_path / "c.gguf", "gpt2", ["a"], [NORMAL])
  with pytest.raises(ValueError, match="without tokenizer.ggml.merges"):
    tokenizer_from_gguf(path)


def test_other_and_damaged_files(tmp_path):
  path = tmp_path / "a.gguf"
  path.write_bytes(b"PK\x03\x04 a zip")
  with pytest.raises(ValueError, match="not a GGUF file"):
    read_metadata(path)
  whole = byte_level(tmp_path / "b.gguf", "smollm").read_bytes()
  path.write_bytes(whole[:200])
  with pytest.raises(ValueError, match="damaged GGUF metadata"):
    read_metadata(path)
  path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
  with pytest.raises(ValueError, match="version 1"):
    read_metadata(path)


def test_no_tokenizer_in_the_file(tmp_path):
  writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), "llama")
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.close()
  assert tokenizer_from_gguf(tmp_path / "a.gguf") is None
