"""Prompts of a config, to be answered by the policy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from alignjax.build.parts import parts
from alignjax.build.rows import answered
from alignjax.build.tokens import Reading, items
from alignjax.data import chat
from alignjax.data.bad import BadRows
from alignjax.data.templates import Template
from alignjax.models.config import ModelConfig
from alignjax.rollout import Question
from alignjax.types import Example


def questions(
  config: ConfigDict,
  spec: ConfigDict,
  name: str,
  tokenizer: Any,
  template: Template,
  model: ModelConfig,
) -> tuple[list[Question], str]:
  """The prompts of a source, and a line on what was read.

  The last answer of a row is left out, and kept as the row's "completion"; a
  row may have a prompt alone. A prompt of more than `data.max_length` tokens is
  dropped and counted.

  Raises ValueError for bad rows as the config says, and where none is left.
  """
  d = config.data
  rules = Reading(config, tokenizer, template, None, None).rules
  if rules.rows == "examples":
    rules = rules._replace(rows="questions")
  bad = BadRows(d.on_bad_row, d.bad_rows_limit)
  found, dropped = [], 0
  for part, one in parts(spec, name, held=True).items():
    del part
    for item in items(one, rules, bad):
      turns = answered(item)
      if turns is None:
        raise ValueError(
          f"{item.origin}: a plain text asks nothing.\nRollouts need prompts: "
          "rows of messages, or with a prompt."
        )
      messages, gold = turns
      ids = np.array(chat.prompt_ids(messages, tokenizer, template), np.int32)
      if len(ids) > d.max_length:
        dropped += 1
        continue
      if ids.max() >= model.vocab:
        raise ValueError(
          f"{item.origin}: token {ids.max()} is outside the model's vocabulary "
          f"of {model.vocab}.\nThe tokenizer is not this model's."
        )
      fields = item.fields if isinstance(item, Example) else {}
      row = fields if gold is None else {**fields, "completion": gold}
      found.append(Question(ids, tuple(messages), row, item.origin))
  bad.check(len(found) + dropped)
  line = f"{spec.path or name}: {len(found)} prompts"
  if dropped:
    line += f", {dropped} dropped: longer than {d.max_length} tokens"
  if not found:
    raise ValueError(
      f"{line}: no prompt is left.\nCheck path, split and limit, or raise "
      "data.max_length."
    )
  return found, line


def longest(questions: Sequence[Question], multiple: int = 16) -> int:
  """Tokens that hold every prompt."""
  return -(-max(len(q.ids) for q in questions) // multiple) * multiple
