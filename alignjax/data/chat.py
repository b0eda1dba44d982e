"""Conversations as tokens, with the trained ones marked; rows cut to length.

A token is trained if it covers a character of a turn's span, so one that
straddles the border of prompt and answer counts: where a template keeps the
white space an answer begins with, and ends its generation prompt with some, the
two may be one token, which sampling would see as two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignjax.data.bad import BadRow
from alignjax.data.conversation import Conversation
from alignjax.data.spelling import (
  Unfit,
  control_pattern,
  control_tokens,
  spell,
)
from alignjax.data.templates import BUILT_IN, Template
from alignjax.types import Example, Row

TRAIN_ON = ("assistant", "last", "completion", "all")


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

  `fields["weight"]` is what each token of the row counts in the loss.

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
      ids, trained = spell_turns(
        example.messages,
        _trained_turns(example, train_on),
        tokenizer,
        template,
        everything=train_on == "all",
      )
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
  tokens = np.array(ids, np.int32)
  completions = np.array([False, *trained[1:]], np.int32)
  weights = None
  if "weight" in example.fields:
    weights = np.full(len(ids), example.fields["weight"], np.float32)
  return Row(tokens, completions, example.origin, weights=weights)


def spell_turns(
  messages: Sequence[Mapping],
  turns: Sequence[int],
  tokenizer: Any,
  template: Template,
  everything: bool = False,
) -> tuple[list[int], list[bool]]:
  """Ids of a conversation, and whether each is of one of some turns.

  turns: their indices, ascending. everything: all tokens are trained.

  Raises Unfit where a turn is empty or cannot be found.
  """
  chat = Conversation(messages, tokenizer, template)
  spans = [chat.span(turn) for turn in turns]
  text, eos = chat.full, []
  if spans and turns[-1] == len(chat.messages) - 1 and not spans[-1][2]:
    # The template does not end the last turn: the tokenizer's end token does.
    text, eos = text[: spans[-1][1]], [_eos(tokenizer)]
  ids, offsets = spell(tokenizer, text, chat.quoted)
  if everything:
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
  chat = Conversation(messages, tokenizer, template, prompt=True)
  ids, _ = spell(tokenizer, chat.full, chat.quoted)
  return (_beginning(tokenizer) if template.bos else []) + ids


def fit(row: Row, max_length: int, rule: str) -> list[Row]:
  """What becomes of a row under a limit of tokens: [row] where it fits.

  rule: "drop" → []; "error"; "truncate" → one row or none; "split" → windows of
    at most `max_length` tokens, each beginning with the last token of the one
    before. That token is context alone, so every trained token is trained once;
    windows without any are left out. Later ones have less to go on.

  "truncate" cuts on the right, after the last trained token that fits. Where
  the cut falls inside an answer, the row's last trained token (the end of an
  answer) takes the last place; where only that end would fit, the answer goes
  whole. None is left where there is no room for an answer.

  Raises ValueError with the length, the limit and the remedy under "error".
  """
  legal = ("drop", "error", "split", "truncate")
  if rule not in legal:
    raise ValueError(f"too-long rule {rule!r}; legal: {', '.join(legal)}")
  size = len(row.tokens)
  if size <= max_length:
    return [row]
  if rule == "error":
    raise ValueError(
      f"{row.origin}: {size} tokens, the limit is {max_length}\n"
      "raise the length limit, shorten the row, or choose another rule: "
      f"{', '.join(legal)}"
    )
  if rule == "split":
    return _split(row, max_length)
  return _truncate(row, max_length) if rule == "truncate" else []


def _split(row: Row, max_length: int) -> list[Row]:
  if max_length < 2:  # no room for a token and one before it
    return []
  starts = range(0, len(row.tokens) - 1, max_length - 1)
  windows = [_cut(row, start, start + max_length) for start in starts]
  for k, window in enumerate(windows):
    window.completions[0] = 0
    origin = f"{row.origin} part {k + 1}/{len(windows)}"
    windows[k] = window._replace(origin=origin)
  return [window for window in windows if window.completions.any()]


def _truncate(row: Row, max_length: int) -> list[Row]:
  left = _cut(row, 0, max_length)
  tokens, completions = left.tokens, left.completions
  if completions.any() and completions[-1] and row.completions[max_length]:
    if completions[-2:].all() and max_length > 1:
      tokens[-1] = row.tokens[np.flatnonzero(row.completions)[-1]]
    else:
      completions[-1] = 0  # an end token alone would teach silence
  kept = np.flatnonzero(completions)
  return [_cut(left, 0, int(kept[-1]) + 1)] if len(kept) else []


def _cut(row: Row, start: int, end: int) -> Row:
  """Some tokens of a row, as a row of its own."""
  arrays = {k: v for k, v in row._asdict().items() if isinstance(v, np.ndarray)}
  return row._replace(**{k: v[start:end].copy() for k, v in arrays.items()})
