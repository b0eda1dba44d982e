"""Prompts and continuations of items as tokens."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from alignjax.data import chat, pairs
from alignjax.data.preferences import Preference
from alignjax.data.templates import Template
from alignjax.evals.items import Item, Prompt
from alignjax.evals.packing import Asked


def context_ids(
  prompt: Prompt, tokenizer: Any, template: Template
) -> list[int]:
  """A prompt up to where it is to be gone on with.

  Plain text as the tokenizer begins texts; what looks like a control token in
  it is one, as in other harnesses. A conversation by the template.
  """
  if not isinstance(prompt, str):
    return chat.prompt_ids(prompt, tokenizer, template)
  return _ids(tokenizer, prompt) or [_first(tokenizer)]


def choices(item: Item, tokenizer: Any, template: Template) -> list[Asked]:
  """Each choice of an item after its prompt.

  White space between them belongs to the choice, and plain text is tokenised as
  one: the choice is what comes after as many tokens as the prompt alone has
  (the way of lm-evaluation-harness). After a conversation a choice is tokenised
  alone.

  Raises ValueError for a choice without a token.
  """
  if isinstance(item.prompt, str):
    found = after(item.prompt, item.choices, tokenizer)
  else:
    context = _array(context_ids(item.prompt, tokenizer, template))
    found = [
      Asked(context, _array(_ids(tokenizer, choice, special=False)))
      for choice in item.choices
    ]
  for choice, asked in zip(item.choices, found):
    if not len(asked.continuation):
      raise ValueError(
        f"{item.id}: choice {choice!r} has no token of its own.\n"
        "A choice needs text whose likelihood can be asked."
      )
  return found


def after(
  context: str, continuations: Sequence[str], tokenizer: Any
) -> list[Asked]:
  """A plain text and what may follow it, each."""
  bare = context.rstrip()
  n = len(_ids(tokenizer, bare)) if bare else 0
  wholes = tokenizer(
    [context + text for text in continuations],
    add_special_tokens=n > 0,
    verbose=False,
  )["input_ids"]
  if not n:
    first = _array([_first(tokenizer)])
    return [Asked(first, _array(whole)) for whole in wholes]
  return [Asked(_array(ids[:n]), _array(ids[n:])) for ids in wholes]


def answers(item: Item, tokenizer: Any, template: Template) -> list[Asked]:
  """Whole answers to a conversation, their end tokens included, as trained on.

  Raises BadRow where the template does not keep the prompt, or an answer is
  empty.
  """
  sides = [({"role": "assistant", "content": text},) for text in item.choices]
  said = Preference(item.prompt, tuple(sides), 1.0, 0.0, 1.0, item.id, {})
  ((row,), _) = pairs.encode(said, tokenizer, template, sys.maxsize, "drop")
  prompt = row.tokens[row.documents == 1]
  found = []
  for document in (2, 3):
    own = row.documents == document
    # What the template writes after the end token comes too late to count.
    n = int(np.flatnonzero(row.completions[own])[-1]) + 1
    found.append(Asked(prompt, row.tokens[own][:n]))
  return found


def windows(text: str, tokenizer: Any, most: int) -> list[Asked]:
  """A text whose every token is a continuation once.

  The first is predicted from the token that begins texts. Windows of `most`
  tokens follow each other; a later one has the last token of the one before as
  its only context.
  """
  ids = [_first(tokenizer), *_ids(tokenizer, text, special=False)]
  return [
    Asked(_array(ids[at : at + 1]), _array(ids[at + 1 : at + 1 + most]))
    for at in range(0, len(ids) - 1, most)
  ]


def _ids(tokenizer: Any, text: str, special: bool = True) -> list[int]:
  return tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]


def _first(tokenizer: Any) -> int:
  """What stands before a text: its begin token, else the end token."""
  for name in ("bos_token_id", "eos_token_id"):
    if getattr(tokenizer, name) is not None:
      return getattr(tokenizer, name)
  raise ValueError(
    "The tokenizer has neither a begin nor an end token, so nothing can stand "
    "before the first token of a text."
  )


def _array(ids: Sequence[int]) -> np.ndarray:
  return np.asarray(ids, np.int32)
