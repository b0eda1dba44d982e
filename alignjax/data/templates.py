"""Chat templates: the built-in ones, the tokenizer's own, and rendering.

Each built-in renders a published format: ChatML (OpenAI), Llama 3, Gemma 3,
Zephyr and Mistral's first. The system text of Gemma 3 and Mistral stands in
front of the first user turn's. `plain` is for a base model: it needs nothing
but the tokenizer's end token.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.sandbox

from alignjax.data.spelling import Unfit, added_tokens, control_tokens

CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- endif -%}
"""

LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
{{- message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif -%}
"""

GEMMA = """\
{{- bos_token -}}
{%- set turn = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set turn.system = message.content | trim + '\n\n' -%}
{%- else -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') }}
{{- '\n' + turn.system + message.content | trim + '<end_of_turn>\n' }}
{%- set turn.system = '' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<start_of_turn>model\n' }}
{%- endif -%}
"""

ZEPHYR = """\
{%- for message in messages -%}
{{ '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|assistant|>\n' }}
{%- endif -%}
"""

MISTRAL = """\
{{- bos_token -}}
{%- set turn = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set turn.system = message.content | trim + '\n\n' -%}
{%- elif message.role == 'user' -%}
{{ '[INST] ' + turn.system + message.content | trim + ' [/INST]' }}
{%- set turn.system = '' -%}
{%- else -%}
{{ ' ' + message.content | trim + eos_token }}
{%- endif -%}
{%- endfor -%}
"""

PLAIN = """\
{%- for message in messages -%}
{{ '' if loop.first else '\n\n' }}
{{- '' if message.role == 'system' else message.role | capitalize + ':\n' }}
{{- message.content }}
{{- eos_token if message.role == 'assistant' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '\n\nAssistant:\n' }}
{%- endif -%}
"""

BUILT_IN = {
  "chatml": CHATML,
  "llama3": LLAMA3,
  "gemma": GEMMA,
  "zephyr": ZEPHYR,
  "mistral": MISTRAL,
  "plain": PLAIN,
}

# What the tokenizer must know as one token each; "eos_token" stands for the
# tokenizer's own end token, "bos_token" for its beginning.
NEEDS = {
  "chatml": ("<|im_start|>", "<|im_end|>"),
  "llama3": (
    "bos_token",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
  ),
  "gemma": ("bos_token", "<start_of_turn>", "<end_of_turn>"),
  "zephyr": ("eos_token",),
  "mistral": ("bos_token", "eos_token"),
  "plain": ("eos_token",),
}

# Stands for an answer in a probe.
_ANSWER = "\U000ffff0"


class Template(NamedTuple):
  """A chat template, ready to render.

  name: a built-in name, a file, or "tokenizer".
  jinja: the compiled template.
  tokens: bos_token, eos_token ... as the template sees them.
  bos: put the tokenizer's beginning token first, where the tokenizer does so by
    default (only for `plain`: a chat template writes its own).
  end: text of the token that ends an assistant turn, None if there is none.
  source: its Jinja text, which a cache of rows is looked up by.
  """

  name: str
  jinja: jinja2.Template
  tokens: Mapping[str, str]
  bos: bool
  end: str | None
  source: str


class _Generation(jinja2.ext.Extension):
  """`{% generation %}` blocks, which some templates carry, as plain text."""

  tags = {"generation"}

  def parse(self, parser):
    next(parser.stream)
    return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def load_template(name: str | None, tokenizer: Any) -> Template:
  """The chat template `name` for this tokenizer.

  name: None for the tokenizer's own, a built-in name (`templates.BUILT_IN`), or
    a path to a .jinja file.

  Raises ValueError where the tokenizer has none, where a built-in needs control
  tokens it lacks, or for a template that does not compile; FileNotFoundError
  for a file that is not there.
  """
  names = ", ".join(BUILT_IN)
  if name is None:
    source = tokenizer.chat_template
    if isinstance(source, dict):
      source = source.get("default")
    if not source:
      raise ValueError(
        "the tokenizer has no chat template of its own\n"
        f"choose one: {names}, or a path to a .jinja file"
      )
  elif name in BUILT_IN:
    source = BUILT_IN[name]
    _check_needs(name, tokenizer)
  elif not name.endswith(".jinja"):
    raise ValueError(
      f"unknown chat template {name!r}\n"
      f"built in: {names}; or a path to a .jinja file"
    )
  elif not Path(name).is_file():
    raise FileNotFoundError(f"no such chat template: {name}; built in: {names}")
  else:
    source = Path(name).read_text("utf-8")
  called = name or "tokenizer"
  try:
    jinja = _environment().from_string(source)
  except jinja2.TemplateSyntaxError as e:
    raise ValueError(
      f"chat template {called}, line {e.lineno}: {e.message}"
    ) from e
  tokens = dict(tokenizer.special_tokens_map)
  template = Template(called, jinja, tokens, name == "plain", None, source)
  return template._replace(end=_end_token(tokenizer, template))


def _check_needs(name: str, tokenizer: Any) -> None:
  known = {t.content for t in added_tokens(tokenizer).values()}
  lacking = [
    need
    for need in NEEDS[name]
    if (getattr(tokenizer, need) if need.endswith("_token") else need)
    not in known
  ]
  if lacking:
    raise ValueError(
      f"the chat template {name!r} needs {', '.join(lacking)}, which this "
      f"tokenizer does not have\nits control tokens: "
      f"{', '.join(list(control_tokens(tokenizer))[:12]) or 'none'}\n"
      f"choose another template: {', '.join(BUILT_IN)}"
    )


def _environment() -> jinja2.Environment:
  """The sandbox transformers renders in: same options, globals and filters."""
  now = (
    datetime.datetime.now()
  )  # once, so that a run does not change its prompt

  def raise_exception(message):
    raise jinja2.TemplateError(message)

  def tojson(
    value, ensure_ascii=False, indent=None, separators=None, sort_keys=False
  ):
    return json.dumps(
      value,
      ensure_ascii=ensure_ascii,
      indent=indent,
      separators=separators,
      sort_keys=sort_keys,
    )

  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[_Generation, jinja2.ext.loopcontrols],
  )
  environment.filters["tojson"] = tojson
  environment.globals["raise_exception"] = raise_exception
  environment.globals["strftime_now"] = now.strftime
  return environment


def render(
  template: Template, messages: Iterable[Mapping], prompt: bool = False
) -> str:
  """The text of a conversation.

  prompt: end with the generation prompt, where an assistant turn would begin.
  Raises Unfit with the template's own complaint.
  """
  try:
    return template.jinja.render(
      messages=[dict(m) for m in messages],
      tools=None,
      documents=None,
      add_generation_prompt=prompt,
      **template.tokens,
    )
  except Exception as e:  # a template is a program: anything may go wrong
    raise Unfit(
      "template refuses",
      f"the chat template {template.name} refuses these turns: {e}",
    ) from e


def _end_token(tokenizer: Any, template: Template) -> str | None:
  """Renders a probe; the first added token after its answer ends a turn."""
  probe = [
    {"role": "user", "content": "A"},
    {"role": "assistant", "content": _ANSWER},
  ]
  try:
    tail = render(template, probe).rpartition(_ANSWER)[2].lstrip()
  except ValueError:
    return None
  added = added_tokens(tokenizer).values()
  ends = [t.content for t in added if t.content and tail.startswith(t.content)]
  return max(ends, key=len, default=None)


def stop_ids(
  tokenizer: Any, template: Template | None = None
) -> tuple[int, ...]:
  """Ids that end an answer: the tokenizer's end token, the template's."""
  ids = [tokenizer.eos_token_id]
  if template is not None and template.end is not None:
    ids.append(tokenizer.convert_tokens_to_ids(template.end))
  return tuple(dict.fromkeys(i for i in ids if i is not None))
