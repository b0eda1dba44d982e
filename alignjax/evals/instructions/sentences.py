"""Counting sentences.

The published scores come from NLTK's Punkt model for English (Kiss & Strunk
2006). This is a small rule in its place. It knows the abbreviations below,
where Punkt has learned more and also weighs the word that follows. Like Punkt
it takes `e.g.`, `P.S.` and the number of a list's item (`1.`) for ends.
"""

import re

_ABBREVIATIONS = frozenset(
  """adm ave bros co col corp dr gen inc jr lt ltd maj messrs mr mrs ms prof rep
  sen sr st vs jan feb aug sept oct nov dec a.d a.m d.c n.y p.m ph.d u.k u.n
  u.s""".split()
)

# An end, and the quotes, brackets and emphasis that close with it.
_END = re.compile(r"([.?!]+)[\"'”’)\]}*_]*$")


def count_sentences(text: str) -> int:
  """Number of sentences.

  A sentence ends with a word that ends in `.`, `?` or `!`, whatever case
  follows; a line break alone ends none. A period ends none after an initial or
  an abbreviation, nor an ellipsis before a small letter. What stands after the
  last end is one more.
  """
  words = text.split()
  ends = [_ends(*pair) for pair in zip(words, words[1:])]
  return sum(ends) + bool(words)


def _ends(word: str, following: str) -> bool:
  """Whether a word is the last of its sentence."""
  end = _END.search(word)
  if end is None:
    return False
  marks, stem = end[1], word[: end.start()].lstrip("\"'“‘([{*_")
  if set(marks) != {"."}:
    return True
  if len(marks) > 1:
    return not following[0].islower()
  initial = len(stem) == 1 and stem.isupper()
  return not initial and stem.lower() not in _ABBREVIATIONS
