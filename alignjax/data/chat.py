"""Conversations as tokens, with the trained spans marked.

A trained span runs from the end of the generation prompt, where the model takes
over, to the end-of-turn token inclusive; white space a template writes after it
is not trained. A token is trained if it covers a character of a span, so one
that straddles the border of prompt and answer counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignjax.data.bad import BadRow
from alignjax.data.spelling import (
  Unfit,
  control_pattern,
  control_tokens,
  spare,
  spell,
)
from alignjax.data.templates import BUILT_IN, Template, render
from alignjax.types import Example, Row

TRAIN_ON = ("assistant", "last", "completion", "all")


class _Chat:
  """A conversation whose typed control tokens are told from the template's.

  given: its turns. full: its text as the model is to see it.
  quoted: the spans of `full` that somebody typed and that look like control
    tokens. They are rendered as private-use characters, then put back.
  """

  def __init__(self, messages, tokenizer, template, prompt=False):
    pattern = control_pattern(tokenizer)
    names = list(control_tokens(tokenizer))
    typed = "".join(m["content"] for m in messages)
    self.start, self.end, *stand_ins = spare(typed, 2 + len(names))
    self.template, self.messages, self.typed = template, list(messages), {}
    self.given = self.messages
    if template.end and template.end not in names and template.end in typed:
      raise Unfit(
        "control token",
        f"{template.end!r} is typed in a turn and ends turns; the tokenizer "
        "has it as an ordinary word, so the two cannot be told apart\n"
        "remove it from the row, or make it a special token",
      )
    if pattern.search(typed):
      self.typed = dict(zip(stand_ins, names))
      hide = dict(zip(names, stand_ins))
      self.messages = [
        m | {"content": pattern.sub(lambda t: hide[t[0]], m["content"])}
        for m in self.messages
      ]
    self.full = self.text(self.messages, prompt)
    self.quoted = []
    if self.typed:
      if self.full != render(template, messages, prompt):
        raise Unfit(
          "control token",
          f"the chat template {template.name} acts on control tokens typed in "
          "a turn, so they cannot be told from its own\n"
          "remove them from the row",
        )
      at = 0
      for char in render(template, self.messages, prompt):
        size = len(self.typed.get(char, char))
        if char in self.typed:
          self.quoted.append((at, at + size))
        at += size

  def text(self, messages, prompt=False):
    """The text of some turns, typed control tokens put back."""
    shown = render(self.template, messages, prompt)
    return shown.translate(str.maketrans(self.typed)) if self.typed else shown

  def border(self, turn, mark):
    """Where the content of a turn starts or ends in `full`, None if unclear.

    A mark is set inside the white space around the content, so that templates
    may trim it; taking it out must give the text without it.
    """
    content = self.messages[turn]["content"]
    text = content.strip()
    marked = mark + text if mark == self.start else text + mark
    messages = list(self.messages)
    messages[turn] = messages[turn] | {
      "content": content.replace(text, marked, 1)
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

  Raises BadRow where nothing would be trained, where a trained turn is empty,
  where its span cannot be found, and where typed text cannot be told from
  control tokens; ValueError where the config or the tokenizer is at fault.
  """
  if train_on not in TRAIN_ON:
    raise ValueError(f"train_on is {train_on!r}; legal: {', '.join(TRAIN_ON)}")
  if example.messages and template is None:
    raise ValueError(
      "a conversation needs a chat template; choose one: " + ", ".join(BUILT_IN)
    )
  try:
    if example.messages:
      ids, trained = _encode_chat(example, tokenizer, template, train_on)
    else:
      quoted = control_pattern(tokenizer).finditer(example.text)
      ids, _ = spell(tokenizer, example.text, [m.span() for m in quoted])
      ids = _beginning(tokenizer) + ids + [_eos(tokenizer)]
      trained = [True] * len(ids)
    if not any(trained[1:]):
      raise Unfit(
        "nothing trained",
        f"no trained token with train_on={train_on!r}\n"
        "give the row an answer, or choose another train_on: "
        f"{', '.join(TRAIN_ON)}",
      )
  except Unfit as e:
    raw = example.text or str(list(example.messages))
    raise BadRow(example.origin, e.kind, str(e), raw) from e
  completions = np.array([False, *trained[1:]], np.int32)
  return Row(np.array(ids, np.int32), completions, example.origin)


def _encode_chat(example, tokenizer, template, train_on):
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
    # Some control tokens swallow the white space after them.
    control = control_tokens(tokenizer).values()
    trained = [
      any(s < b and e > a and (s >= a or i not in control) for a, b, _ in spans)
      for i, (s, e) in zip(ids, offsets)
    ]
  beginning = _beginning(tokenizer) if template.bos else []
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
    raise Unfit(
      "empty completion",
      f"empty completion: turn {turn} would be trained and has no text\n"
      "write the answer, remove the row, or train on the last turn only",
    )
  head = chat.text(chat.messages[:turn], prompt=True)
  # A template may write a turn otherwise than its generation prompt announces
  # (a thinking header, say): then the span starts with the content.
  start, end = len(head), chat.border(turn, chat.end)
  if not chat.full.startswith(head):
    _check_kept(chat, turn, head)
    start = chat.border(turn, chat.start)
    if start is not None:  # white space after the header is the model's
      due, own = (_blank(text) for text in (chat.full[:start], head))
      start -= max(0, due - own)
  if start is None or end is None or start > end:
    raise Unfit(
      "span not found",
      f"the chat template {chat.template.name} rewrites turn {turn}, so what "
      "to train on cannot be found in its text\n"
      "choose another template, or train on the last turn only",
    )
  close = chat.template.end
  gap = len(chat.full[end:]) - len(chat.full[end:].lstrip())
  if close is None or not chat.full.startswith(close, end + gap):
    return start, end, False
  return start, end + gap + len(close), True


def _blank(text: str) -> int:
  """Characters of white space at the end of a text."""
  return len(text) - len(text.rstrip())


def _check_kept(chat: _Chat, turn: int, head: str) -> None:
  """Raises where a prompt shows a text that its answered form has lost."""
  for k, message in enumerate(chat.given[:turn]):
    text = message["content"].strip()
    lost = text in head and text not in chat.full
    if lost and message["role"] != "assistant":
      raise Unfit(
        "lost turn",
        f"the chat template {chat.template.name} shows turn {k} "
        f"({message['role']}) in prompts and leaves it out once turn {turn} "
        "answers them\nchoose another template, or move its text into the "
        "first user turn",
      )


def _eos(tokenizer: Any) -> int:
  if tokenizer.eos_token_id is None:
    raise ValueError(
      "the tokenizer has no end token, so the model could not learn to stop\n"
      "choose a chat template that ends its turns, or set eos_token"
    )
  return tokenizer.eos_token_id


def _beginning(tokenizer: Any) -> list[int]:
  """[bos] where the tokenizer puts it in front of a text by default."""
  bos = tokenizer.bos_token_id
  return [bos] if tokenizer("a")["input_ids"][:1] == [bos] else []


def prompt_ids(
  messages: Sequence[Mapping], tokenizer: Any, template: Template
) -> list[int]:
  """Ids of a conversation up to where the assistant begins to answer."""
  chat = _Chat(messages, tokenizer, template, prompt=True)
  ids, _ = spell(tokenizer, chat.full, chat.quoted)
  return (_beginning(tokenizer) if template.bos else []) + ids


def fit(row: Row, max_length: int, rule: str) -> Row | None:
  """A row of at most `max_length` tokens, None where it is dropped.

  rule: "drop"; "error"; "truncate" cuts on the right, after the last trained
    token that fits. Where the cut falls inside an answer, the row's last
    trained token (the end of an answer) takes the last place; where only that
    end would fit, the answer goes whole. None where no answer is left.

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
  tokens = row.tokens[:max_length].copy()
  completions = row.completions[:max_length].copy()
  if completions.any() and completions[-1] and row.completions[max_length]:
    if completions[-2:].all() and max_length > 1:
      tokens[-1] = row.tokens[np.flatnonzero(row.completions)[-1]]
    else:
      completions[-1] = 0  # an end token alone would teach silence
  kept = np.flatnonzero(completions)
  if not len(kept):
    return None
  return Row(tokens[: kept[-1] + 1], completions[: kept[-1] + 1], row.origin)
