"""Where an answer begins and ends, under templates that keep to no rule."""

import pytest
from test_chat import A, B, U, V, chat, marked
from test_templates import tokenizer_with

from alignjax.data.chat import encode
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import build


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
