"""Whether a text is new: ROUGE-L against all that were accepted before.

Self-instruct keeps an instruction whose similarity with every earlier one is
below 0.7 (Wang et al. 2023, https://arxiv.org/abs/2212.10560, section 2.2).
"""

import re
from collections.abc import Iterable

from alignjax.metrics import common_subsequence


def words(text: str) -> list[str]:
  """Words without case and punctuation."""
  return re.findall(r"\w+", text.casefold())


class Pool:
  """Texts, and how much another is like the likest of them."""

  def __init__(self, texts: Iterable[str] = ()):
    self._known: list[list[str]] = []
    for text in texts:
      self.add(text)

  def add(self, text: str) -> None:
    """A text that others must differ from."""
    self._known.append(words(text))

  def likeness(self, text: str) -> float:
    """The largest ROUGE-L F1 with a text of the pool, 0 to 1.

    2 · LCS / (m + n) of words (Lin 2004).
    """
    own, best = words(text), 0.0
    for other in self._known:
      # LCS is at most the shorter one's length.
      most = 2 * min(len(own), len(other)) / max(1, len(own) + len(other))
      if most > best:
        common = common_subsequence(own, other)
        best = max(best, 2 * common / max(1, len(own) + len(other)))
    return best
