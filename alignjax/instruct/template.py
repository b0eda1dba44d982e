"""A template of a data set, and what it makes of a row: prompt and answers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignjax import metrics
from alignjax.data.bad import BadRow
from alignjax.instruct.sandbox import NULL, Compiled, LeftOut, without_null

# What phrasings may read beside the fields; a field of such a name is hidden.
GIVEN = ("gold", "answers", "choices")


class Phrasing(NamedTuple):
  """One wording. answers: its own, None for those of the data set."""

  line: int
  prompt: Compiled
  completion: Compiled
  answers: Compiled | None
  metric: str


class Template(NamedTuple):
  """A template file that was read and checked; `phrasings` has its keys.

  sha256: of the file, 16 digits. example: a made-up row of its fields.
  """

  file: Path
  sha256: str
  name: str
  cluster: str
  source: str
  licence: str
  rows: str
  fields: tuple[str, ...]
  example: Mapping[str, Any]
  choices: Compiled | tuple[str, ...]
  label: Compiled | None
  answers: Compiled | None
  metric: str
  phrasings: tuple[Phrasing, ...]


def values(template: Template, row: Mapping, origin: str) -> dict[str, Any]:
  """What the phrasings read of a row: its fields, and `GIVEN`.

  Raises LeftOut where there is nothing to learn, BadRow where a field is
  missing.
  """
  lost = [name for name in template.fields if name not in row]
  if lost:
    raise BadRow(
      origin,
      "missing field",
      f"a row for the template {template.file} needs {', '.join(lost)}\n"
      f"fields there: {', '.join(map(str, row)) or 'none'}\n"
      f"it fits rows of: {template.rows}",
    )
  made = {name: without_null(row[name]) for name in template.fields}
  choices = template.choices
  if isinstance(choices, Compiled):
    choices = _texts(choices, made, origin)
    if "" in choices:
      raise LeftOut("empty choice")
  made["choices"] = list(choices)
  if template.label is not None:
    found = [choices[_index(template.label(made, origin), choices)]]
  else:
    found = _accepted(template.answers, made, origin)
  return made | {"answers": found, "gold": found[0]}


def word(
  template: Template, index: int, made: Mapping[str, Any], origin: str
) -> dict[str, Any]:
  """Prompt, completion, answers, metric, and choices if it is one of them.

  made: of `values`. Raises LeftOut where a text is empty, or where the metric
  would not take the completion for right.
  """
  phrasing = template.phrasings[index]
  answers = made["answers"]
  if phrasing.answers is not None:
    answers = _accepted(phrasing.answers, made, origin)
  prompt = phrasing.prompt(made, origin).strip()
  completion = phrasing.completion(made, origin).strip()
  if not prompt:
    raise LeftOut("empty prompt")
  if not completion:
    raise LeftOut("empty completion")
  if not is_right(phrasing.metric, completion, answers):
    raise LeftOut("completion wrong by its metric")
  row = {
    "prompt": prompt,
    "completion": completion,
    "answers": answers,
    "metric": phrasing.metric,
  }
  if answers[0] in made["choices"]:
    row["choices"] = made["choices"]
  return row


def is_right(metric: str, completion: str, answers: Sequence[str]) -> bool:
  """Whether a completion has the full score."""
  if metric == "rouge_l" and completion in answers:
    return re.search(r"\w", completion) is not None  # without its n² steps
  try:
    return metrics.score(metric, completion, answers) == 1.0
  except ValueError:  # an answer that the metric cannot read
    return False


def _accepted(found: Compiled, made: Mapping, origin: str) -> list[str]:
  """The texts of an expression, each once; LeftOut where all are empty."""
  texts = [text for text in dict.fromkeys(_texts(found, made, origin)) if text]
  if not texts:
    raise LeftOut("no answer")
  return texts


def _texts(found: Compiled, made: Mapping, origin: str) -> list[str]:
  """The text or the list of texts that an expression gives, stripped."""
  value = found(made, origin)
  listed = value if isinstance(value, list | tuple) else [value]
  texts = ["" if one is NULL else one for one in listed]
  for one in texts:
    if isinstance(one, bool) or not isinstance(one, str | int | float):
      raise ValueError(
        f"{found.what}: {repr(one)[:60]} is no text\n"
        f"row: {origin}\nwrite an expression for a text or a list of texts"
      )
  return [str(one).strip() for one in texts]


def _index(label: Any, choices: Sequence[str]) -> int:
  """Which of the choices a label means: its number from 0, or its text.

  −1, null and "" stand for none, as in test splits without labels.
  """
  if label is NULL or label in (-1, "", "-1"):
    raise LeftOut("no label")
  text = label.strip() if isinstance(label, str) else ""
  if text in choices:
    return choices.index(text)
  if isinstance(label, int):  # a truth value is one
    text = str(int(label))
  if not text.isdecimal() or int(text) >= len(choices):
    raise LeftOut("label is no choice")
  return int(text)
