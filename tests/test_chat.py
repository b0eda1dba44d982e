import random

import numpy as np
import pytest
from test_spelling import byte_level, sentence_piece
from test_templates import TOKENIZERS, tokenizer_with

from alignjax.data.chat import TRAIN_ON, encode, fit, prompt_ids
from alignjax.data.templates import BUILT_IN, load_template, render
from alignjax.data.tokenizer import build, byte_tokenizer
from alignjax.types import Example, Row

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


def test_a_token_across_the_border_is_trained():
  tokenizer = tokenizer_with([], "<s>", "</s>")
  letters = tokenizer.get_vocab()
  letters = {t: i for t, i in letters.items() if i < 260} | {"::": 262}
  letters |= {"<s>": 260, "</s>": 261}
  from tokenizers import decoders, models, pre_tokenizers

  tokenizer = build(
    models.BPE(vocab=letters, merges=[(":", ":")]),
    pre_tokenizer=pre_tokenizers.ByteLevel(
      add_prefix_space=False, use_regex=False
    ),
    decoder=decoders.ByteLevel(),
    control=["<s>", "</s>"],
    names={"eos_token": "</s>"},
    chat_template=(
      "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}"
      "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    ),
  )
  template = load_template(None, tokenizer)
  smile = {"role": "assistant", "content": ":)"}
  row = encode(chat(U, smile), tokenizer, template, train_on="assistant")
  assert marked(row, tokenizer) == "user:Hi</s>assistant[::)</s>]"


LLAMA2 = (
  "{% for m in messages %}{% if m.role == 'user' %}"
  "{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}{% else %}"
  "{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
  "{% for m in messages %}{% if m.role == 'assistant' %}"
  "{% set said = m.content.split('</think>')[-1] | trim %}"
  "{{ '<s>assistant\n' + ('<think></think>' if loop.last else '') + said }}"
  "{{ '</s>\n' }}{% else %}{{ '<s>user\n' + m.content + '</s>\n' }}{% endif %}"
  "{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
)
HEADER = (
  "{% for m in messages %}{{ '<s>' + m.role + ':' + m.content + '</s>' }}"
  "{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant:think>' }}"
  "{% endif %}"
)
CLOSING = (
  "{% for m in messages %}{{ m.role + ':' + m.content + '<e>\n' }}{% endfor %}"
  "{{ 'assistant:' if add_generation_prompt else eos_token }}"
)
BARE = (
  "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
  "{{ 'assistant:' if add_generation_prompt }}"
)


@pytest.mark.parametrize(
  "source, expected",
  [
    (
      LLAMA2,
      "<s>[INST] Hi [/INST][ Hello  </s>]"
      "<s>[INST] Bye [/INST][ \nSo long </s>]",
    ),
    # Earlier turns are rewritten once later ones follow.
    (
      THINKING,
      "<s>user\nHi</s>\n<s>assistant\n[Hello</s>]\n"
      "<s>user\nBye</s>\n<s>assistant\n[<think></think>So long</s>]\n",
    ),
    # The generation prompt is no prefix of the turn.
    (
      HEADER,
      "<s>user:Hi</s><s>assistant:[Hello </s>]"
      "<s>user:Bye</s><s>assistant:\n[So long</s>]",
    ),
    # The whole text ends with a second end token.
    (
      CLOSING,
      "user:Hi<e>\nassistant:[Hello <e>]\n"
      "user:Bye<e>\nassistant:[\nSo long<e>]\n</s>",
    ),
    # No end token at all: the tokenizer's follows the last answer.
    (
      BARE,
      "user:Hi\nassistant:[Hello] \nuser:Bye\nassistant:[\nSo long</s>]",
    ),
  ],
)
def test_templates_that_do_not_keep_to_prefixes(source, expected):
  tokenizer = tokenizer_with(["<e>"], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  row = encode(chat(U, A, V, B), tokenizer, template, train_on="assistant")
  assert marked(row, tokenizer) == expected


def test_a_template_that_rewrites_an_answer_is_named():
  source = "{% for m in messages %}{{ m.content | length }}{% endfor %}"
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  with pytest.raises(ValueError, match="f:1: .*tokenizer rewrites turn 1"):
    encode(chat(U, A), tokenizer, template, train_on="assistant")


def test_a_template_that_acts_on_typed_control_tokens_is_named():
  source = "{% for m in messages %}{{ m.content.split('</s>')[0] }}{% endfor %}"
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  typed = U | {"content": "a</s>b"}
  with pytest.raises(ValueError, match="f:1: .*acts on control tokens"):
    encode(chat(typed, A), tokenizer, template, train_on="assistant")


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
  with pytest.raises(ValueError, match="f:1: no trained token.*\n.*answer"):
    encode(chat(S, U), tokenizer, template, train_on="assistant")


def test_empty_answer_is_refused_only_where_it_is_trained():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  example = chat(U, A | {"content": " "}, V, B)
  with pytest.raises(ValueError, match="f:1: empty completion: turn 1"):
    encode(example, tokenizer, template, train_on="assistant")
  row = encode(example, tokenizer, template, train_on="last")
  assert row.completions.any()


def test_legal_names():
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  with pytest.raises(ValueError) as error:
    encode(chat(U, A), tokenizer, template, train_on="asistant")
  assert all(name in str(error.value) for name in ("asistant", *TRAIN_ON))
  with pytest.raises(ValueError, match="needs a chat template"):
    encode(chat(U, A), tokenizer, None, train_on="assistant")
  with pytest.raises(ValueError, match="drop, error, truncate"):
    fit(encode(chat(U, A), tokenizer, template, train_on="all"), 3, "cut")


def row(completions):
  tokens = np.arange(10, 10 + len(completions), dtype=np.int32)
  return Row(tokens, np.array(completions, np.int32), "f:1")


def test_rows_that_fit_are_kept():
  fits = row([0, 0, 1, 1])
  for rule in ("drop", "error", "truncate"):
    assert fit(fits, 4, rule) is fits


def test_too_long():
  long = row([0, 0, 1, 1, 1])
  assert fit(long, 4, "drop") is None
  with pytest.raises(ValueError, match="f:1: 5 tokens, the limit is 4\nraise"):
    fit(long, 4, "error")


@pytest.mark.parametrize(
  "completions, limit, tokens",
  [
    ([0, 0, 1, 1, 1], 4, [10, 11, 12, 14]),  # the end, 14, is kept
    ([0, 0, 1, 1, 0, 0], 5, [10, 11, 12, 13]),  # nothing trained is lost
    ([0, 1, 1, 0, 1, 1, 1], 6, [10, 11, 12, 13, 14, 16]),
    ([0, 1, 1, 0, 0, 1, 1], 5, [10, 11, 12]),  # a turn that went whole
    ([0, 1, 1, 0, 1, 1], 4, [10, 11, 12]),
    ([0, 1, 1, 0, 1, 1, 1], 5, [10, 11, 12]),  # only an end would be left
    ([0, 0, 1, 1, 1], 3, None),  # the end alone teaches silence
    ([0, 0, 1, 1, 1], 2, None),
    ([0, 0, 1, 1, 1], 0, None),
  ],
)
def test_truncation_keeps_the_end_and_something_before_it(
  completions, limit, tokens
):
  made = fit(row(completions), limit, "truncate")
  if tokens is None:
    assert made is None
  else:
    assert made.tokens.tolist() == tokens
    assert made.completions.tolist() == completions[: len(tokens)]
