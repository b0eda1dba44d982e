"""Which words, letters and marks a response has, and how often."""

import re

from alignjax.evals.instructions.relations import holds

# Where words end that are counted for their capitals: the Penn Treebank's
# rules, so that a hyphen joins while `IT'S` and `CANNOT` are two.
_WORD_END = re.compile(
  r"[\s;@#$%&?!*()\[\]{}<>\"«»“”„‘’`–—]+|--+|\.\.+|[,:](?!\d)"
  r"|(?<=\w)(?='(?:s|m|d|ll|re|ve)\b)|(?<=\w)(?=n't\b)|(?<=\bcan)(?=not\b)",
  re.IGNORECASE,
)


def existence(response: str, *, keywords: list) -> bool:
  """Every keyword stands somewhere, inside words too, in any case."""
  return all(_occurrences(word, response) for word in keywords)


def frequency(
  response: str, *, keyword: str, frequency: int, relation: str
) -> bool:
  """How often a keyword stands, inside words too, in any case."""
  return holds(_occurrences(keyword.strip(), response), relation, frequency)


def forbidden_words(response: str, *, forbidden_words: list) -> bool:
  """None of the words stands as a whole word, in any case."""
  return not any(
    re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE)
    for word in forbidden_words
  )


def letter_frequency(
  response: str, *, letter: str, let_frequency: int, let_relation: str
) -> bool:
  """How often a character stands, a letter in any case.

  Raises:
    ValueError: more than one character.
  """
  if len(letter) != 1:
    raise ValueError(f"letter is {letter!r}; it must be one character.")
  count = response.lower().count(letter.lower())
  return holds(count, let_relation, let_frequency)


def capital_word_frequency(
  response: str, *, capital_frequency: int, capital_relation: str
) -> bool:
  """How many words have letters and no small ones; `I` and `A4` are such.

  The published scores use NLTK's word tokenizer, which has a few rules more
  (`GON|NA`).
  """
  words = _WORD_END.split(response)
  count = sum(word.isupper() for word in words)
  return holds(count, capital_relation, capital_frequency)


def no_comma(response: str) -> bool:
  """No comma at all, not even in a number."""
  return "," not in response


def _occurrences(keyword: str, text: str) -> int:
  return len(re.findall(re.escape(keyword), text, re.IGNORECASE))
