"""How long a response is: words, sentences, paragraphs."""

import re

from alignjax.evals.instructions.relations import holds
from alignjax.evals.instructions.sentences import count_sentences

_PUNCTUATION = re.compile("[.,?!'\"]")


def number_words(response: str, *, relation: str, num_words: int) -> bool:
  """Words are runs of letters, digits and underscores."""
  return holds(len(re.findall(r"\w+", response)), relation, num_words)


def number_sentences(
  response: str, *, relation: str, num_sentences: int
) -> bool:
  """Sentences by `count_sentences`, which is not the published splitter."""
  return holds(count_sentences(response), relation, num_sentences)


def number_paragraphs(response: str, *, num_paragraphs: int) -> bool:
  """Exactly so many paragraphs, divided by `***`."""
  return len(divided(response, "***")) == num_paragraphs


def nth_paragraph_first_word(
  response: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
  """Exactly so many paragraphs, divided by an empty line, and how one begins.

  Paragraphs of nothing but space are not counted, but they do move those behind
  them, as they do in the published scores. The word ends at its first mark;
  case is ignored.

  Raises:
    ValueError: nth_paragraph is not among the paragraphs.
  """
  if not 1 <= nth_paragraph <= num_paragraphs:
    raise ValueError(
      f"nth_paragraph is {nth_paragraph}; it must be between 1 and "
      f"num_paragraphs = {num_paragraphs}."
    )
  paragraphs = response.split("\n\n")
  words = paragraphs[nth_paragraph - 1 : nth_paragraph]
  words = words[0].split() if words else []
  if not words or sum(map(_filled, paragraphs)) != num_paragraphs:
    return False
  word = _PUNCTUATION.split(words[0].lstrip("'").lstrip('"'))[0]
  return word.lower() == first_word.lower()


def divided(response: str, divider: str) -> list[str]:
  """The stripped parts of a response; none where one inside is empty.

  An empty part before the first divider or behind the last is left out.
  """
  parts = response.split(divider)
  if not all(map(_filled, parts[1:-1])):
    return []
  return [part.strip() for part in parts if _filled(part)]


def _filled(text: str) -> bool:
  return bool(text.strip())
