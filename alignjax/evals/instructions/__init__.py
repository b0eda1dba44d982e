"""Verifiable instructions: whether a response did what its prompt asked.

The 25 types of IFEval (Zhou et al. 2023, arXiv 2311.07911, table 1), judged by
rule. Sentences and languages are told apart by small rules in place of the
packages behind the published scores; `sentences` and `language` say how.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence

from alignjax.evals.instructions import formats, language, lengths, words

# The keyword-only signature of a function is what its instruction needs.
_INSTRUCTIONS = {
  "keywords:existence": words.existence,
  "keywords:frequency": words.frequency,
  "keywords:forbidden_words": words.forbidden_words,
  "keywords:letter_frequency": words.letter_frequency,
  "language:response_language": language.response_language,
  "length_constraints:number_sentences": lengths.number_sentences,
  "length_constraints:number_paragraphs": lengths.number_paragraphs,
  "length_constraints:number_words": lengths.number_words,
  "length_constraints:nth_paragraph_first_word": (
    lengths.nth_paragraph_first_word
  ),
  "detectable_content:number_placeholders": formats.number_placeholders,
  "detectable_content:postscript": formats.postscript,
  "detectable_format:number_bullet_lists": formats.number_bullet_lists,
  "detectable_format:constrained_response": formats.constrained_response,
  "detectable_format:number_highlighted_sections": (
    formats.number_highlighted_sections
  ),
  "detectable_format:multiple_sections": formats.multiple_sections,
  "detectable_format:json_format": formats.json_format,
  "detectable_format:title": formats.title,
  "combination:two_responses": formats.two_responses,
  "combination:repeat_prompt": formats.repeat_prompt,
  "startend:end_checker": formats.end_checker,
  "startend:quotation": formats.quotation,
  "change_case:capital_word_frequency": words.capital_word_frequency,
  "change_case:english_capital": language.english_capital,
  "change_case:english_lowercase": language.english_lowercase,
  "punctuation:no_comma": words.no_comma,
}


def ids() -> tuple[str, ...]:
  """The names of the instructions, as they stand in the published rows."""
  return tuple(_INSTRUCTIONS)


def follows(
  instruction_id: str, kwargs: Mapping, prompt: str, response: str
) -> bool:
  """Whether a response follows one instruction; an empty one follows none.

  Args:
    instruction_id: one of `ids()`.
    kwargs: what the instruction needs, by the published names; null stands for
      what it does not.
    prompt: what was asked. None of the 25 reads it: a request to repeat is in
      the kwargs.
    response: the answer, whole.

  Raises:
    ValueError: an unknown instruction, or kwargs that are missing, unknown to
      it or of another type.
  """
  if instruction_id not in _INSTRUCTIONS:
    raise ValueError(
      f"instruction_id is {instruction_id!r}; it must be one of\n"
      f"{', '.join(_INSTRUCTIONS)}."
    )
  check = _INSTRUCTIONS[instruction_id]
  try:
    arguments = _arguments(check, kwargs)
    return bool(response.strip()) and check(response, **arguments)
  except ValueError as error:
    raise ValueError(f"{instruction_id}: {error}") from None


def strict(row: Mapping, response: str) -> list[bool]:
  """Which of a row's instructions the response follows as it is.

  Args:
    row: of the published layout; read are `prompt`, `instruction_id_list` and
      `kwargs`, one mapping an instruction.

  Raises:
    ValueError: a row of another layout, or as `follows`.
  """
  return _judge(row, [response])


def loose(row: Mapping, response: str) -> list[bool]:
  """Which of a row's instructions any of the response's `variants` follows.

  Args and errors as `strict`.
  """
  return _judge(row, variants(response))


def variants(response: str) -> list[str]:
  """A response and its seven looser readings (section 2.2 of the paper).

  Without asterisks; without the first line, the last, or both (an introduction,
  an outro), stripped; and these three without asterisks.
  """
  lines = response.split("\n")
  cuts = [
    "\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1])
  ]
  texts = [response, *cuts]
  return texts + [text.replace("*", "") for text in texts]


def _judge(row: Mapping, texts: Sequence[str]) -> list[bool]:
  missing = {"prompt", "instruction_id_list", "kwargs"} - row.keys()
  if missing:
    raise ValueError(
      f"The row has no {', '.join(sorted(missing))}; it needs prompt, "
      f"instruction_id_list and kwargs, and has {', '.join(sorted(row))}."
    )
  names, kwargs = row["instruction_id_list"], row["kwargs"]
  if len(names) != len(kwargs):
    raise ValueError(
      f"The row has {len(names)} instructions and {len(kwargs)} kwargs; each "
      "instruction needs its own, {} where it takes none."
    )
  return [
    any(follows(name, given, row["prompt"], text) for text in texts)
    for name, given in zip(names, kwargs)
  ]


def _arguments(check: Callable, kwargs: Mapping) -> dict:
  """The kwargs that are set, checked against a function's signature."""
  kinds = {
    name: parameter.annotation
    for name, parameter in inspect.signature(check).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
  }
  given = {k: v for k, v in kwargs.items() if v not in (None, "", [])}
  if given.keys() != kinds.keys():
    raise ValueError(
      f"kwargs are {given}; they must be {', '.join(kinds) or 'empty'}. "
      "Others may be null."
    )
  for name, value in given.items():
    # A column with nulls in it reads whole numbers as floats.
    if kinds[name] is int and isinstance(value, float) and value.is_integer():
      given[name] = int(value)
    elif not isinstance(value, kinds[name]) or isinstance(value, bool):
      raise ValueError(
        f"{name} is {value!r}; it must be of type {kinds[name].__name__}."
      )
  return given
