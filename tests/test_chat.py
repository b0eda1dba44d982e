import random

import numpy as np
import pytest
from test_spelling import byte_level, sentence_piece
from test_templates import TOKENIZERS

from alignjax.data.bad import BadRow
from alignjax.data.chat import TRAIN_ON, encode, prompt_ids
from alignjax.data.templates import BUILT_IN, load_template, render
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.types import Example

S = {"role": "system", "content": "Be brief."}
U = {"role": "user", "content": "Hi"}
A = {"role": "assistant", "content": "Hello "}
V = {"role": "user", "content": "Bye"}
B = {"role": "assistant", "content": "\nSo long"}


def chat(*messages, **fields):
  return Example(tuple(messages), "", "f:1", fields)


def marked(row, tokenizer):
  """The row's text with every run of trained tokens in brackets."""
  text, inside = "", False
  for token, completion in zip(row.tokens, row.completions):
    if bool(completion) != inside:
      text, inside = text + ("]" if inside else "["), not inside
    text += tokenizer.decode([token])
  return text + "]" * inside


EXPECTED = {
  "chatml": (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n[Hello <|im_end|>]\n"
    "<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n[\nSo long<|im_end|>]\n"
  ),
  "llama3": (
    "<|begin_of_text|>"
    "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n[Hello<|eot_id|>]"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n[So long<|eot_id|>]"
  ),
  "gemma": (
    "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
    "<start_of_turn>model\n[Hello<end_of_turn>]\n"
    "<start_of_turn>user\nBye<end_of_turn>\n"
    "<start_of_turn>model\n[So long<end_of_turn>]\n"
  ),
  "zephyr": (
    "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n[Hello </s>]\n"
    "<|user|>\nBye</s>\n<|assistant|>\n[\nSo long</s>]\n"
  ),
  "mistral": (
    "<s>[INST] Be brief.\n\nHi [/INST][ Hello</s>]"
    "[INST] Bye [/INST][ So long</s>]"
  ),
  "plain": (
    "Be brief.\n\nUser:\nHi\n\nAssistant:\n[Hello </s>]"
    "\n\nUser:\nBye\n\nAssistant:\n[\nSo long</s>]"
  ),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_assistant_turns_and_their_ends_are_trained(name):
  tokenizer = TOKENIZERS[name]()
  template = load_template(name, tokenizer)
  row = encode(chat(S, U, A, V, B), tokenizer, template, train_on="assistant")
  assert marked(row, tokenizer) == EXPECTED[name]
  assert row.tokens.dtype == row.completions.dtype == np.int32
  assert row.origin == "f:1"


@pytest.mark.parametrize("name", BUILT_IN)
def test_ids_are_those_of_transformers(name):
  tokenizer = TOKENIZERS[name]()
  template = load_template(name, tokenizer)
  tokenizer.chat_template = BUILT_IN[name]
  turns = [S, U, A, V, B]
  row = encode(chat(*turns), tokenizer, template, train_on="last")
  ids = tokenizer.apply_chat_template(turns, return_dict=False)
  assert row.tokens.tolist() == ids
  ids = tokenizer.apply_chat_template(
    turns[:-1], return_dict=False, add_generation_prompt=True
  )
  assert prompt_ids(turns[:-1], tokenizer, template) == ids


def test_what_is_trained():
  tokenizer = byte_tokenizer()
  template = load_template("chatml", tokenizer)

  def trained(example, train_on):
    text = marked(
      encode(example, tokenizer, template, train_on=train_on), tokenizer
    )
    return [part.partition("]")[0] for part in text.split("[")[1:]]

  first, last = "Hello <|im_end|>", "\nSo long<|im_end|>"
  assert trained(chat(U, A, V, B), "assistant") == [first, last]
  assert trained(chat(U, A, V, B), "last") == [last]
  assert trained(chat(U, A, V, B), "completion") == [last]
  assert trained(chat(U, A, V, B, prompt_turns=3), "completion") == [last]
  both = trained(chat(U, A, V, B, prompt_turns=1), "completion")
  assert both == [first, last]
  (everything,) = trained(chat(U, A), "all")
  whole = render(template, [U, A])
  assert everything == whole.removeprefix("<|im_start|>")


def test_pad_that_equals_the_end_is_still_trained():
  tokenizer = byte_tokenizer()
  tokenizer.pad_token = tokenizer.eos_token
  template = load_template(None, tokenizer)
  row = encode(chat(U, A), tokenizer, template, train_on="assistant")
  ends = row.tokens == tokenizer.pad_token_id
  assert row.completions[ends].tolist() == [0, 1]


@pytest.mark.parametrize("make", [byte_tokenizer, byte_level])
@pytest.mark.parametrize("seed", range(20))
def test_any_conversation(make, seed):
  """Prompt plus trained tokens are the row; other turns are untouched."""
  draw = random.Random(seed)
  tokenizer = make()
  template = load_template("chatml", tokenizer)
  parts = ["hello ", "\n", " ", "é漢🙂", "world", "<|im_end|>", "user\n", "12"]

  def turn(role):
    words = draw.choices(parts, k=draw.randint(1, 6))
    return {"role": role, "content": "".join(words) + "."}

  roles = ["user", "assistant"] * draw.randint(1, 3)
  turns = [turn(role) for role in roles]
  row = encode(chat(*turns), tokenizer, template, train_on="last")
  prompt = prompt_ids(turns[:-1], tokenizer, template)
  assert not row.completions[: len(prompt) - 1].any()
  answer = row.tokens[row.completions > 0]
  # A leading line break may merge with the prompt's: such a token counts.
  text = tokenizer.decode(answer).lstrip("\n")
  assert text == (turns[-1]["content"] + "<|im_end|>").lstrip("\n")
  assert tokenizer.decode(row.tokens) == render(template, turns)


def test_plain_text_is_trained_whole_and_ends():
  tokenizer = sentence_piece()
  row = encode(
    Example((), "he </s>", "f:1", {}), tokenizer, None, train_on="assistant"
  )
  tokens = tokenizer.convert_ids_to_tokens(row.tokens)
  assert tokens == ["<s>", "▁he", "▁", "<", "/", "s", ">", "</s>"]
  assert row.completions.tolist() == [0] + [1] * 7


def test_no_trained_token():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  with pytest.raises(BadRow, match="f:1: no trained token.*\n.*answer") as e:
    encode(chat(S, U), tokenizer, template, train_on="assistant")
  assert e.value.kind == "nothing trained" and "Be brief" in e.value.raw


def test_empty_answer_is_refused_only_where_it_is_trained():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  example = chat(U, A | {"content": " "}, V, B)
  with pytest.raises(BadRow, match="f:1: empty completion: turn 1") as error:
    encode(example, tokenizer, template, train_on="assistant")
  assert error.value.kind == "empty completion"
  row = encode(example, tokenizer, template, train_on="last")
  assert row.completions.any()


def test_legal_names():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  with pytest.raises(ValueError) as error:
    encode(chat(U, A), tokenizer, template, train_on="asistant")
  assert all(name in str(error.value) for name in ("asistant", *TRAIN_ON))
  assert not isinstance(error.value, BadRow)  # the config's fault
  with pytest.raises(ValueError, match="^a conversation needs a chat templ"):
    encode(chat(U, A), tokenizer, None, train_on="assistant")


def test_a_row_weighs_what_it_says():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  row = encode(chat(U, A, weight=0.5), tokenizer, template, train_on="last")
  assert row.weights.dtype == np.float32
  assert row.weights.tolist() == [0.5] * len(row.tokens)
  plain = encode(chat(U, A), tokenizer, template, train_on="last")
  assert plain.weights is None
