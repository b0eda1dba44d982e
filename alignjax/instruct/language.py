"""Whether a text is in the language it should be in."""

import re

from alignjax.evals.instructions.language import LANGUAGES, hits

UNDECIDED = "undecided"
# Words by which another language must be ahead. Of 8,967 English prompts and
# answers of five published sets, many of them of few words, 19 are then taken
# for another language, and three of those are English or code.
MARGIN = 2
# "a" and "o" are words of Portuguese, and stand in English, lists and code.
_LETTER = re.compile(r"\b[a-z]\b")


def told(text: str, language: str) -> str:
  """The code of the language a text is in, "other" or "undecided".

  Another one than `language` must have `MARGIN` more of its commonest words, or
  a script of its own; "other" is a script of no language of `LANGUAGES`. Too
  short to tell is what has no such word, and what is near a tie. A language
  outside of `LANGUAGES` (Dutch, Turkish) is often not told.

  Raises ValueError for a `language` that is not told apart.
  """
  if language not in LANGUAGES:
    raise ValueError(
      f"language = {language!r} is not told apart; legal: "
      f"{', '.join(LANGUAGES)}"
    )
  found = hits(_LETTER.sub(" ", text.casefold()))
  if not found:
    return "other"
  best = max(found, key=found.__getitem__)
  own = found.get(language)
  if own is None:
    return best
  if found[best] - own >= MARGIN:
    return best
  return language if own and own == found[best] else UNDECIDED
