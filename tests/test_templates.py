import pytest

from alignjax.data.templates import (
  BUILT_IN,
  load_template,
  render,
  stop_ids,
)
from alignjax.data.tokenizer import byte_tokenizer

S = {"role": "system", "content": "Be brief."}
U = {"role": "user", "content": " Hi\n"}
A = {"role": "assistant", "content": "Hello "}
V = {"role": "user", "content": "Bye"}


def tokenizer_with(control, bos, eos, template=None):
  tokenizer = byte_tokenizer()
  tokenizer.add_special_tokens(
    {"bos_token": bos, "eos_token": eos, "extra_special_tokens": control}
  )
  tokenizer.chat_template = template
  return tokenizer


LLAMA3 = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
GEMMA = ["<start_of_turn>", "<end_of_turn>"]
TOKENIZERS = {
  "chatml": lambda: tokenizer_with(["<|im_start|>"], "<s>", "<|im_end|>"),
  "llama3": lambda: tokenizer_with(LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
  "gemma": lambda: tokenizer_with(GEMMA, "<bos>", "<eos>"),
  "zephyr": lambda: tokenizer_with([], "<s>", "</s>"),
  "mistral": lambda: tokenizer_with([], "<s>", "</s>"),
  "plain": lambda: tokenizer_with([], "<s>", "</s>"),
}

# Written by hand after the published formats.
EXPECTED = {
  "chatml": (
    "<|im_start|>system\nBe brief.<|im_end|>\n"
    "<|im_start|>user\n Hi\n<|im_end|>\n"
    "<|im_start|>assistant\nHello <|im_end|>\n"
    "<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n"
  ),
  "llama3": (
    "<|begin_of_text|>"
    "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
  ),
  "gemma": (
    "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
    "<start_of_turn>model\nHello<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n"
    "<start_of_turn>model\n"
  ),
  "zephyr": (
    "<|system|>\nBe brief.</s>\n<|user|>\n Hi\n</s>\n"
    "<|assistant|>\nHello </s>\n<|user|>\nBye</s>\n<|assistant|>\n"
  ),
  "mistral": ("<s>[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]"),
  "plain": (
    "Be brief.\n\nUser:\n Hi\n\n\nAssistant:\nHello </s>"
    "\n\nUser:\nBye\n\nAssistant:\n"
  ),
}
ENDS = {
  "chatml": "<|im_end|>",
  "llama3": "<|eot_id|>",
  "gemma": "<end_of_turn>",
  "zephyr": "</s>",
  "mistral": "</s>",
  "plain": "</s>",
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_formats(name):
  tokenizer = TOKENIZERS[name]()
  template = load_template(name, tokenizer)
  assert render(template, [S, U, A, V], prompt=True) == EXPECTED[name]
  without = render(template, [S, U, A])
  assert EXPECTED[name].startswith(without)
  assert template.end == ENDS[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_rendering_is_that_of_transformers(name):
  tokenizer = TOKENIZERS[name]()
  tokenizer.chat_template = BUILT_IN[name]
  template = load_template(None, tokenizer)
  assert template.name == "tokenizer"
  for turns in ([U], [U, A], [S, U, A, V], [U, A, V, A]):
    for prompt in (False, True):
      assert render(template, turns, prompt) == tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=prompt
      )


AWKWARD = """\
{% set ns = namespace(n=0) %}
{%- if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}
    {% for message in messages %}
  {% if message.role == 'system' %}{% continue %}{% endif %}
{{ message | tojson }} {{ message.content | tojson(indent=2) }}
  {% generation %}{{ bos_token + message.content }}{% endgeneration %}

  {% set ns.n = ns.n + 1 %}
  {% if ns.n > 2 %}{% break %}{% endif %}
{% endfor %}
{{ tools is none }} {{ documents is none }} {{ ns.n }} {{ eos_token }}
{% if add_generation_prompt %}go{% endif %}
"""


def test_awkward_template_renders_as_in_transformers():
  tokenizer = tokenizer_with([], "<s>", "</s>", AWKWARD)
  template = load_template(None, tokenizer)
  odd = {"role": "user", "content": "<é> & \"q\" '漢'"}
  for turns in ([odd], [S, odd, A, odd, A]):
    assert render(template, turns, True) == tokenizer.apply_chat_template(
      turns, tokenize=False, add_generation_prompt=True
    )


def test_the_template_is_sandboxed():
  for attack in (
    "{{ messages.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ strftime_now.__self__ }}{{ ''.__class__.__base__.__subclasses__() }}",
  ):
    tokenizer = tokenizer_with([], "<s>", "</s>", attack)
    with pytest.raises(ValueError, match="refuses these turns"):
      render(load_template(None, tokenizer), [U])


def test_the_templates_own_complaint_is_passed_on():
  tokenizer = tokenizer_with(
    [], "<s>", "</s>", "{{ raise_exception('no system turns') }}"
  )
  with pytest.raises(ValueError, match="tokenizer refuses.*no system turns"):
    render(load_template(None, tokenizer), [S, U])


def test_file(tmp_path):
  path = tmp_path / "mine.jinja"
  path.write_text("{% for m in messages %}[{{ m.content }}]\n{% endfor %}é")
  tokenizer = byte_tokenizer()
  template = load_template(str(path), tokenizer)
  assert render(template, [U, A]) == "[ Hi\n]\n[Hello ]\né"
  assert template.end is None
  path.write_text("\n{% if %}")
  with pytest.raises(ValueError, match=r"mine\.jinja, line 2: "):
    load_template(str(path), tokenizer)
  with pytest.raises(FileNotFoundError, match="built in: chatml"):
    load_template(str(tmp_path / "none.jinja"), tokenizer)


def test_names_that_are_none():
  with pytest.raises(ValueError, match="(?s)'chatlm'.*chatml, llama3, gemma"):
    load_template("chatlm", byte_tokenizer())


def test_no_template_is_assumed():
  tokenizer = tokenizer_with([], "<s>", "</s>")
  with pytest.raises(ValueError, match=", ".join(BUILT_IN)):
    load_template(None, tokenizer)


def test_a_built_in_needs_its_control_tokens():
  with pytest.raises(ValueError, match="needs.*<.eot_id.>") as error:
    load_template("llama3", byte_tokenizer())
  assert "<|im_end|>" in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_one_template_of_several_is_the_default():
  tokenizer = tokenizer_with(
    [], "<s>", "</s>", {"default": "one", "tool_use": "two"}
  )
  assert render(load_template(None, tokenizer), [U]) == "one"


def test_stop_ids():
  tokenizer = TOKENIZERS["gemma"]()
  ids = tokenizer.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
  assert stop_ids(tokenizer, load_template("gemma", tokenizer)) == tuple(ids)
  assert stop_ids(tokenizer) == (ids[0],)
  tokenizer = byte_tokenizer()
  assert stop_ids(tokenizer, load_template(None, tokenizer)) == (259,)
