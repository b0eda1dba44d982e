"""Completions of one prompt as tokens: pairs, and judged answers.

A row is laid with its prompt once (document 1), and each completion as a
document that continues it (parent 1), whatever layout it has in a batch:
`layouts.Apart` writes the prompt out for each.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from alignjax.data import chat
from alignjax.data.bad import BadRow
from alignjax.data.preferences import Judged, Preference
from alignjax.data.spelling import Unfit
from alignjax.data.templates import Template
from alignjax.types import Row


def encode(
  item: Preference | Judged,
  tokenizer: Any,
  template: Template,
  max_length: int,
  too_long: str,
) -> tuple[list[Row], bool]:
  """A pair or a judged answer as a row, and whether a side was too long.

  No row is left of it where it is dropped for that.

  The assistant's turns of completion s + 1, end tokens included, are trained
  under that id. Fields: "label" of each completion, and "margin" of a pair, on
  its first side.

  max_length: of the prompt and any one completion together, in tokens.
  too_long: "drop"; "error"; "truncate": completions are cut on the right, as
    `chat.fit` does, the prompt never.

  Raises BadRow where the template does not write the prompt in front of a
  completion as it writes it alone, where a completion is empty or nothing is
  left of it, where both are the same tokens; ValueError under "error", and
  where a rule is unknown.
  """
  if too_long == "split":
    raise ValueError(
      "data.too_long = 'split' cuts a row into several, and completions of one "
      "prompt\nmust stay together; choose drop, truncate or error."
    )
  judged = isinstance(item, Judged)
  sides = (item.completion,) if judged else item.sides
  names = ("completion",) if judged else ("chosen", "rejected")
  try:
    prompt = chat.prompt_ids(item.prompt, tokenizer, template)
    rows = [
      _whole(item, side, name, prompt, tokenizer, template)
      for side, name in zip(sides, names)
    ]
    long = max(len(row.tokens) for row in rows) > max_length
    kept = [_fitted(row, max_length, too_long) for row in rows]
    if None in kept and too_long == "truncate":
      side = names[kept.index(None)]
      raise Unfit(
        "nothing left",
        f"the prompt has {len(prompt)} tokens, and nothing to train on is left "
        f"of {side} at {max_length}\nraise data.max_length, or remove the row",
      )
    if None in kept:
      return [], long
    if not judged and np.array_equal(kept[0].tokens, kept[1].tokens):
      raise Unfit(
        "identical sides",
        f"chosen and rejected are the same tokens at {max_length} tokens\n"
        "raise data.max_length, or remove the row",
      )
  except Unfit as e:
    raise BadRow(item.origin, e.kind, str(e), _raw(item)) from e
  label, fields = float(item.label), {}
  if judged:
    fields["label"] = [label]
  else:
    fields |= {"label": [label, 1 - label], "margin": [item.margin, 0]}
  fields = {k: np.array(v, np.float32) for k, v in fields.items()}
  row = shared(kept, len(prompt), item.origin, fields)
  if item.weight != 1:
    row = row._replace(weights=np.full(len(row.tokens), item.weight, "float32"))
  return [row], long


def shared(rows: Sequence[Row], prompt: int, origin: str, fields: dict) -> Row:
  """Rows that begin with the same `prompt` tokens as one, with these once."""
  ends = [rows[0].tokens[:prompt], *(row.tokens[prompt:] for row in rows)]
  trained = [row.completions[prompt:] > 0 for row in rows]
  documents = np.repeat(
    np.arange(1, len(ends) + 1), [len(piece) for piece in ends]
  )
  nothing = np.zeros(prompt, np.int32)
  return Row(
    np.concatenate(ends),
    np.concatenate(
      [nothing, *(t * s for s, t in enumerate(trained, 1))]
    ).astype(np.int32),
    origin,
    documents=documents.astype(np.int32),
    parents=(documents > 1).astype(np.int32),
    fields=fields,
  )


def _whole(item, side, name, prompt, tokenizer, template) -> Row:
  """Prompt and one completion as a row of one document."""
  messages, first = (*item.prompt, *side), len(item.prompt)
  turns = [
    i for i, m in enumerate(messages) if i >= first and m["role"] == "assistant"
  ]
  try:
    ids, trained = chat.spell_turns(messages, turns, tokenizer, template)
  except Unfit as e:
    raise Unfit(e.kind, f"{name}: {e}") from e
  if ids[: len(prompt)] != prompt:
    both = zip(ids, prompt)
    at = next((i for i, (a, b) in enumerate(both) if a != b), len(ids))
    raise Unfit(
      "prompt not kept",
      f"{name}: the chat template {template.name} or the tokenizer writes the "
      f"prompt otherwise\nonce it is answered, from token {at} of "
      f"{len(prompt)} on, so both sides would not share it\n"
      "choose another template, or take white space off the answer's start",
    )
  return Row(np.array(ids, np.int32), np.array(trained, np.int32), item.origin)


def _fitted(row: Row, max_length: int, too_long: str) -> Row | None:
  found = chat.fit(row, max_length, too_long)
  return found[0] if found else None


def _raw(item: Preference | Judged) -> str:
  return json.dumps(item._asdict(), ensure_ascii=False, default=str)
