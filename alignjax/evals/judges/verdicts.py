"""Both orders of a comparison: what a judge says of a and b, and of b and a.

A judge that is shown two answers tends to like a place, most often the first
(Zheng et al. 2023, https://arxiv.org/abs/2306.05685, section 3.3), so that one
order alone says little.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

VERDICTS = ("first", "second", "tie", "none")

# (prompts, answers shown first, answers shown second) → a verdict each
Judge = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[str]]


class Verdicts(NamedTuple):
  """What a judge said of the answers a and b to one prompt.

  prompt: its index. ab: the verdict with a shown first; ba: with b shown first,
  so that "first" in ab and "second" in ba both speak for a. "none": no verdict
  was given; that is neither a tie nor a part of a rate. characters, words: the
  lengths of a and b; words stand between white space.
  """

  prompt: int
  ab: str
  ba: str
  characters: tuple[int, int]
  words: tuple[int, int]


def judged(
  judge: Judge, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]
) -> list[Verdicts]:
  """Verdicts on a[i] and b[i], answers to prompts[i], in both orders.

  The judge is called once, with both orders of every prompt.

  Raises ValueError where there are not as many answers as prompts, or where
  the judge gives anything but one of `VERDICTS` for each comparison.
  """
  n = len(prompts)
  if not len(a) == len(b) == n:
    raise ValueError(
      f"{n} prompts with {len(a)} answers of a and {len(b)} of b.\n"
      "Each prompt needs one of either."
    )
  if not n:
    return []
  said = list(judge([*prompts, *prompts], [*a, *b], [*b, *a]))
  wrong = Counter(repr(v) for v in said if v not in VERDICTS)
  if len(said) != 2 * n or wrong:
    (example, times), *_ = wrong.most_common(1) or [("", 0)]
    found = f", {times} of them {example[:80]}" if times else ""
    raise ValueError(
      f"The judge gave {len(said)} verdicts on {2 * n} comparisons{found}.\n"
      f"It must give one each; legal: {', '.join(VERDICTS)}."
    )
  return [
    Verdicts(
      i,
      said[i],
      said[n + i],
      (len(a[i]), len(b[i])),
      (len(a[i].split()), len(b[i].split())),
    )
    for i in range(n)
  ]
