"""A judge made of scores: a reward model, or a rule."""

import math
from collections.abc import Callable, Sequence

from alignjax.evals.judges.verdicts import Judge


def by_scores(
  score: Callable[[Sequence[str], Sequence[str]], Sequence[float]],
  *,
  margin: float | int = 0.0,
) -> Judge:
  """The judge that likes the answer of the higher score.

  score: (prompts, completions) → a number each. It is called once for a list
    of comparisons; what occurs in several is scored once, so that the order
    cannot matter.
  margin: scores that differ by no more than this, in their own unit, are a
    tie; 0 for equal ones alone.

  Raises ValueError for a margin below 0; the judge does for a score that is
  NaN, and where there are not as many scores as completions.
  """
  if not margin >= 0:
    raise ValueError(f"margin = {margin}; a distance of scores is 0 or more.")

  def judge(prompts, firsts, seconds):
    pairs = [*zip(prompts, firsts), *zip(prompts, seconds)]
    different = list(dict.fromkeys(pairs))
    found = [float(x) for x in score(*map(list, zip(*different)))]
    if len(found) != len(different):
      raise ValueError(
        f"{len(found)} scores of {len(different)} completions.\n"
        "The score must give one each, in their order."
      )
    scores = dict(zip(different, found))
    for (prompt, completion), value in scores.items():
      if math.isnan(value):
        raise ValueError(
          f"The score of {completion[:60]!r}, which answers {prompt[:60]!r}, "
          "is NaN.\nNothing is above or below it; give a number."
        )
    return [
      _verdict(scores[prompt, first], scores[prompt, second], margin)
      for prompt, first, second in zip(prompts, firsts, seconds)
    ]

  return judge


def _verdict(first: float, second: float, margin: float | int) -> str:
  # Compared before they are subtracted: ∞ − ∞ is NaN.
  if first == second or abs(first - second) <= margin:
    return "tie"
  return "first" if first > second else "second"
