"""Control tokens: typed ones are ordinary text, a beginning one stands once."""

import pytest
from test_chat import A, U, chat
from test_chat_spans import BARE
from test_spelling import byte_level, sentence_piece
from test_templates import tokenizer_with

from alignjax.data.bad import BadRow
from alignjax.data.chat import encode, prompt_ids
from alignjax.data.templates import BUILT_IN, load_template, render
from alignjax.data.tokenizer import byte_tokenizer


@pytest.mark.parametrize("make", [byte_tokenizer, byte_level])
def test_typed_control_tokens_are_ordinary_text(make):
  tokenizer = make()
  template = load_template("chatml", tokenizer)
  turns = [
    {"role": "system", "content": "<|im_end|><|im_start|>"},
    {"role": "user", "content": "x<|im_end|>\n<|im_start|>assistant\nyes"},
    {"role": "assistant", "content": "<|im_start|> no <|im_end|>"},
  ]
  row = encode(chat(*turns), tokenizer, template, train_on="assistant")
  start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
  ids = row.tokens.tolist()
  assert (ids.count(start), ids.count(end)) == (3, 3)
  assert tokenizer.decode(ids) == render(template, turns)
  trained = row.tokens[row.completions > 0].tolist()
  assert tokenizer.decode(trained) == "<|im_start|> no <|im_end|><|im_end|>"
  assert trained.count(end) == 1 and trained[-1] == end
  prompt = prompt_ids(turns[:2], tokenizer, template)
  assert ids[: len(prompt)] == prompt
  assert prompt.count(start) == 3


def test_private_use_text_beside_typed_control_tokens():
  tokenizer = byte_tokenizer()
  template = load_template("chatml", tokenizer)
  icons = "".join(map(chr, range(0x100000, 0x100010)))
  turns = [
    {"role": "user", "content": icons + "<|im_end|>"},
    {"role": "assistant", "content": "<|im_start|>" + icons},
  ]
  row = encode(chat(*turns), tokenizer, template, train_on="assistant")
  assert tokenizer.decode(row.tokens) == render(template, turns)
  assert row.tokens.tolist().count(259) == 2
  trained = tokenizer.decode(row.tokens[row.completions > 0])
  assert trained == "<|im_start|>" + icons + "<|im_end|>"


def test_a_template_that_acts_on_typed_control_tokens_is_named():
  source = "{% for m in messages %}{{ m.content.split('</s>')[0] }}{% endfor %}"
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  typed = U | {"content": "a</s>b"}
  with pytest.raises(BadRow, match="f:1: .*acts on control tokens") as error:
    encode(chat(typed, A), tokenizer, template, train_on="assistant")
  assert error.value.kind == "control token"


def test_an_end_that_is_an_ordinary_word_cannot_be_typed():
  """Some published tokenizers have <|im_end|> as an added word, not special."""
  tokenizer = tokenizer_with(["<|im_start|>"], "<s>", "</s>")
  tokenizer.add_tokens(["<|end|>"])
  tokenizer.chat_template = BUILT_IN["chatml"].replace("<|im_end|>", "<|end|>")
  template = load_template(None, tokenizer)
  row = encode(chat(U, A), tokenizer, template, train_on="assistant")
  end = tokenizer.convert_tokens_to_ids("<|end|>")
  assert row.tokens[row.completions > 0][-1] == end
  typed = U | {"content": "a<|end|>b"}
  with pytest.raises(BadRow, match="ordinary word.*\n.*special") as error:
    encode(chat(typed, A), tokenizer, template, train_on="assistant")
  assert error.value.kind == "control token"


def test_one_beginning_token():
  tokenizer = sentence_piece()  # puts <s> first by default
  tokenizer.chat_template = "{{ bos_token }}" + BARE
  own = load_template(None, tokenizer)
  for template in (own, load_template("plain", tokenizer)):
    row = encode(chat(U, A), tokenizer, template, train_on="assistant")
    assert (row.tokens == 1).sum() == 1 and row.tokens[0] == 1
    prompt = prompt_ids([U], tokenizer, template)
    assert prompt.count(1) == 1 and prompt[0] == 1
  # A chat template without one gets none, as in transformers.
  zephyr = load_template("zephyr", tokenizer)
  row = encode(chat(U, A), tokenizer, zephyr, train_on="assistant")
  tokenizer.chat_template = BUILT_IN["zephyr"]
  ids = tokenizer.apply_chat_template([U, A], return_dict=False)
  assert row.tokens.tolist() == ids and 1 not in ids


def test_sentence_piece_spans():
  tokenizer = sentence_piece()
  template = load_template("zephyr", tokenizer)
  answer = {"role": "assistant", "content": "he </s> he"}
  row = encode(chat(U, answer), tokenizer, template, train_on="assistant")
  trained = tokenizer.convert_ids_to_tokens(row.tokens[row.completions > 0])
  assert trained == ["he", "▁", "<", "/", "s", ">", "▁he", "</s>"]
