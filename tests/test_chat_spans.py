"""Where an answer begins and ends, under templates that keep to no rule."""

import pytest
from test_chat import A, B, U, V, chat, marked
from test_templates import tokenizer_with
from tokenizers import AddedToken, processors

from alignjax.data.bad import BadRow
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
      "<s>user:Bye</s><s>assistant:[\nSo long</s>]",
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


def test_a_template_that_loses_a_turn_is_named():
  """Mistral's third format was published so: no system text once answered."""
  source = (
    "{% for m in messages[1:] %}{{ m.role + ':' }}"
    "{{ messages[0].content + ' ' if loop.last and m.role == 'user' }}"
    "{{ m.content + eos_token }}{% endfor %}"
    "{{ 'assistant:' if add_generation_prompt }}"
  )
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  for typed in ("", "</s>"):
    asked = {"role": "system", "content": f"Be brief.{typed}"}
    with pytest.raises(BadRow, match="shows turn 0 .system. in pro") as error:
      encode(chat(asked, U, A), tokenizer, template, train_on="assistant")
    assert error.value.kind == "lost turn"


def test_a_control_token_that_swallows_white_space_is_not_trained():
  source = (
    "{% for m in messages %}{{ '<' + m.role + '>\n' + m.content + '</s>' }}"
    "{% endfor %}{{ '<assistant>\n' if add_generation_prompt }}"
  )
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  header = AddedToken("<assistant>", special=True, rstrip=True)
  tokenizer.add_tokens([header], special_tokens=True)
  template = load_template(None, tokenizer)
  row = encode(chat(U, B), tokenizer, template, train_on="assistant")
  assert marked(row, tokenizer) == "<user>\nHi</s><assistant>[So long</s>]"


def test_offsets_that_leave_out_spaces_do_not_shift_a_span():
  tokenizer = tokenizer_with([], "<s>", "</s>", BARE.replace(":", ": "))
  trimmed = processors.ByteLevel(trim_offsets=True)
  tokenizer.backend_tokenizer.post_processor = trimmed
  template = load_template(None, tokenizer)
  answer = A | {"content": " Hello  you"}
  row = encode(chat(U, answer), tokenizer, template, train_on="assistant")
  text = "user: Hi\nassistant: [ Hello  you</s>]"
  assert marked(row, tokenizer) == text


def test_thoughts_that_a_template_leaves_out():
  """Of all answers, as DeepSeek-R1's, or of all but the last, as Qwen 3's."""
  source = (
    "{% for m in messages %}{{ '<s>' + m.role + ':' }}"
    "{{ m.content.split('</think>')[-1] if KEEP else "
    "m.content.replace('<think>', '<think>\n') }}</s>{% endfor %}"
    "{{ '<s>assistant:' if add_generation_prompt }}"
  )
  thought = A | {"content": "<think>Hm</think>Hello"}
  talk = chat(U, thought, V, thought)

  def coded(keep, train_on):
    own = source.replace("KEEP", keep)
    tokenizer = tokenizer_with([], "<s>", "</s>", own)
    template = load_template(None, tokenizer)
    row = encode(talk, tokenizer, template, train_on=train_on)
    return marked(row, tokenizer).partition("Bye")[2]

  for keep, train_on in (("true", "last"), ("not loop.last", "assistant")):
    with pytest.raises(BadRow, match="rewrites turn [13]"):
      coded(keep, train_on)
  wanted = "</s><s>assistant:[<think>\nHm</think>Hello</s>]"
  assert coded("not loop.last", "last") == wanted


def test_a_template_that_rewrites_an_answer_is_named():
  source = "{% for m in messages %}{{ m.content | length }}{% endfor %}"
  tokenizer = tokenizer_with([], "<s>", "</s>", source)
  template = load_template(None, tokenizer)
  with pytest.raises(ValueError, match="f:1: .*tokenizer rewrites turn 1") as e:
    encode(chat(U, A), tokenizer, template, train_on="assistant")
  assert e.value.kind == "span not found"
