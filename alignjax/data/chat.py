"""Chat templates, and conversations as tokens with the trained spans marked.

A trained span runs from the end of the generation prompt, where the model takes
over, to the end-of-turn token inclusive; white space a template writes after it
is not trained. A token is trained if it covers a character of a span, so one
that straddles the border of prompt and answer counts.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.sandbox
import numpy as np

from alignjax.data.spelling import control_pattern, control_tokens, spell
from alignjax.data.templates import BUILT_IN, NEEDS
from alignjax.types import Example, Row

TRAIN_ON = ("assistant", "last", "completion", "all")

# Stand-ins in rendered text: for control tokens that somebody typed, and for
# the borders of a turn's content. Plane 15 is for private use.
_TYPED = 0xF0000
_START, _END = "\U000ffff0", "\U000ffff1"


class Template(NamedTuple):
  """A chat template, ready to render.

  name: a built-in name, a file, or "tokenizer".
  jinja: the compiled template.
  tokens: bos_token, eos_token ... as the template sees them.
  bos: put the tokenizer's beginning token first, where the tokenizer does so by
    default (only for `plain`: a chat template writes its own).
  end: text of the token that ends an assistant turn, None if there is none.
  """

  name: str
  jinja: jinja2.Template
  tokens: Mapping[str, str]
  bos: bool
  end: str | None


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
  template = Template(called, jinja, tokens, name == "plain", None)
  return template._replace(end=_end_token(tokenizer, template))


def _check_needs(name: str, tokenizer: Any) -> None:
  known = tokenizer.backend_tokenizer.get_added_tokens_decoder()
  known = {t.content for t in known.values()}
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
  Raises ValueError with the template's own complaint.
  """
  try:
    return template.jinja.render(
      messages=[dict(m) for m in messages],
      tools=None,
      documents=None,
      add_generation_prompt=prompt,
      **template.tokens,
    )
  except jinja2.TemplateError as e:
    raise ValueError(
      f"the chat template {template.name} refuses these turns: {e}"
    ) from e


def _end_token(tokenizer: Any, template: Template) -> str | None:
  """Renders a probe; the first added token after its answer ends a turn."""
  probe = [
    {"role": "user", "content": "A"},
    {"role": "assistant", "content": _END},
  ]
  try:
    tail = render(template, probe).rpartition(_END)[2].lstrip()
  except ValueError:
    return None
  added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
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


class _Chat:
  """A conversation whose typed control tokens are told from the template's.

  `text` renders turns as the model is to see them; `quoted` are the spans of
  the whole text that somebody typed and that look like control tokens.
  """

  def __init__(self, messages, tokenizer, template, prompt=False):
    pattern = control_pattern(tokenizer)
    self.template, self.messages, self.typed = template, list(messages), {}
    shown = template, self.messages, prompt
    if any(pattern.search(m["content"]) for m in self.messages):
      names = control_tokens(tokenizer)
      stand_ins = {t: chr(_TYPED + i) for t, i in names.items()}
      self.typed = {s: t for t, s in stand_ins.items()}
      self.messages = [
        m
        | {"content": pattern.sub(lambda t: stand_ins[t.group()], m["content"])}
        for m in self.messages
      ]
    self.full, self.quoted, at = "", [], 0
    for char in render(template, self.messages, prompt):
      text = self.typed.get(char, char)
      if char in self.typed:
        self.quoted.append((at, at + len(text)))
      at += len(text)
    self.full = self.text(self.messages, prompt)
    if self.typed and self.full != render(*shown):
      raise ValueError(
        f"the chat template {template.name} acts on control tokens typed in a "
        "turn, so they cannot be told from its own\nremove them from the row"
      )

  def text(self, messages, prompt=False):
    shown = render(self.template, messages, prompt)
    return shown.translate(str.maketrans(self.typed)) if self.typed else shown

  def border(self, turn, mark):
    """Where the content of a turn starts or ends in `full`, None if unclear.

    A mark is set inside the white space around the content, so that templates
    may trim it; taking it out must give the text without it.
    """
    content = self.messages[turn]["content"]
    text = content.strip()
    marked = mark + text if mark == _START else text + mark
    messages = list(self.messages)
    messages[turn] = messages[turn] | {
      "content": content.replace(text, marked, 1) if text else marked
    }
    before, found, after = self.text(messages).partition(mark)
    return len(before) if found and before + after == self.full else None


def encode(
  example: Example, tokenizer: Any, template: Template | None, *, train_on: str
) -> Row:
  """An example as tokens, with every trained token in completion 1.

  template: may be None for plain text, which is trained whole and ends with the
    tokenizer's end token.
  train_on: "assistant" every assistant turn; "last" the last one; "completion"
    the assistant turns that came from the completion of a prompt/completion
    row, the last one elsewhere; "all" every token. The first token of a row is
    never trained: nothing comes before it.

  Raises ValueError, naming the origin, where nothing would be trained, where a
  trained turn is empty or where its span cannot be found.
  """
  if train_on not in TRAIN_ON:
    raise ValueError(f"train_on is {train_on!r}; legal: {', '.join(TRAIN_ON)}")
  try:
    if example.messages:
      ids, trained = _encode_chat(example, tokenizer, template, train_on)
    else:
      quoted = control_pattern(tokenizer).finditer(example.text)
      ids, _ = spell(tokenizer, example.text, [m.span() for m in quoted])
      ids = _beginning(tokenizer, ids) + ids + [_eos(tokenizer)]
      trained = [True] * len(ids)
  except ValueError as e:
    raise ValueError(f"{example.origin}: {e}") from e
  tokens = np.array(ids, np.int32)
  completions = np.array(trained, np.int32)
  completions[:1] = 0
  if not completions.any():
    raise ValueError(
      f"{example.origin}: no trained token with train_on={train_on!r}\n"
      "give the row an answer, or choose another train_on: "
      f"{', '.join(TRAIN_ON)}"
    )
  return Row(tokens, completions, example.origin)


def _encode_chat(example, tokenizer, template, train_on):
  if template is None:
    raise ValueError(
      "a conversation needs a chat template; choose one: " + ", ".join(BUILT_IN)
    )
  chat = _Chat(example.messages, tokenizer, template)
  turns = _trained_turns(example, train_on)
  spans = [_span(chat, turn, tokenizer) for turn in turns]
  text, eos = chat.full, []
  if spans and turns[-1] == len(chat.messages) - 1 and not spans[-1][2]:
    # The template does not end the last turn: the tokenizer's end token does.
    text, eos = text[: spans[-1][1]], [_eos(tokenizer)]
  ids, offsets = spell(tokenizer, text, chat.quoted)
  if train_on == "all":
    trained = [True] * len(ids)
  else:
    trained = [
      any(s < b and (e > a or s == e == a) for a, b, _ in spans)
      for s, e in offsets
    ]
  beginning = _beginning(tokenizer, ids) if template.bos else []
  ids = beginning + ids + eos
  return ids, [False] * len(beginning) + trained + [True] * len(eos)


def _trained_turns(example: Example, train_on: str) -> list[int]:
  roles = [m["role"] for m in example.messages]
  turns = [i for i, role in enumerate(roles) if role == "assistant"]
  if train_on == "completion" and "prompt_turns" in example.fields:
    return [i for i in turns if i >= example.fields["prompt_turns"]]
  return turns[-1:] if train_on in ("last", "completion") else turns


def _span(chat: _Chat, turn: int, tokenizer: Any) -> tuple[int, int, bool]:
  """(start, end, whether an end token closes it) of a turn in `chat.full`."""
  if not chat.messages[turn]["content"].strip():
    raise ValueError(
      f"empty completion: turn {turn} would be trained and has no text\n"
      "write the answer, remove the row, or train on the last turn only"
    )
  head = chat.text(chat.messages[:turn], prompt=True)
  # A template may write a turn otherwise than its generation prompt announces
  # (a thinking header, say): then the span starts with the content.
  own = chat.full.startswith(head)
  start = len(head) if own else chat.border(turn, _START)
  end = chat.border(turn, _END)
  if start is None or end is None or start > end:
    raise ValueError(
      f"the chat template {chat.template.name} rewrites turn {turn}, so what "
      "to train on cannot be found in its text\n"
      "choose another template, or train on the last turn only"
    )
  close = chat.template.end
  gap = len(chat.full[end:]) - len(chat.full[end:].lstrip())
  if close is None or not chat.full.startswith(close, end + gap):
    return start, end, False
  return start, end + gap + len(close), True


def _eos(tokenizer: Any) -> int:
  if tokenizer.eos_token_id is None:
    raise ValueError(
      "the tokenizer has no end token, so the model could not learn to stop\n"
      "choose a chat template that ends its turns, or set eos_token"
    )
  return tokenizer.eos_token_id


def _beginning(tokenizer: Any, ids: Sequence[int]) -> list[int]:
  """[bos] where the tokenizer puts it first by default and `ids` lack it."""
  bos = tokenizer.bos_token_id
  default = tokenizer("a")["input_ids"]
  return [bos] if default[:1] == [bos] and list(ids[:1]) != [bos] else []


def prompt_ids(
  messages: Sequence[Mapping], tokenizer: Any, template: Template
) -> list[int]:
  """Ids of a conversation up to where the assistant begins to answer."""
  chat = _Chat(messages, tokenizer, template, prompt=True)
  ids, _ = spell(tokenizer, chat.full, chat.quoted)
  return (_beginning(tokenizer, ids) if template.bos else []) + ids


def fit(row: Row, max_length: int, rule: str) -> Row | None:
  """A row of at most `max_length` tokens, None where it is dropped.

  rule: "drop"; "error"; "truncate" cuts on the right and, where the cut falls
    inside a trained span, puts that span's end token last. A row that would
    keep no token of an answer beside the end is dropped.

  Raises ValueError with the length, the limit and the remedy under "error".
  """
  legal = ("drop", "error", "truncate")
  if rule not in legal:
    raise ValueError(f"too-long rule {rule!r}; legal: {', '.join(legal)}")
  size = len(row.tokens)
  if size <= max_length:
    return row
  if rule == "drop":
    return None
  if rule == "error":
    raise ValueError(
      f"{row.origin}: {size} tokens, the limit is {max_length}\n"
      "raise the length limit, shorten the row, or choose the rule 'drop' or "
      "'truncate'"
    )
  tokens, completions = row.tokens[:max_length], row.completions[:max_length]
  if not completions.any():
    return None
  if completions[-1] and row.completions[max_length]:
    tokens = tokens.copy()
    tokens[-1] = row.tokens[np.flatnonzero(row.completions)[-1]]
    if not completions[:-1].any():
      return None
  last = np.flatnonzero(completions)[-1] + 1
  return Row(tokens[:last], completions[:last], row.origin)
