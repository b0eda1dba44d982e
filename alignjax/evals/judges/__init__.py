"""Judges: which of two answers to a prompt is better.

A judge is a function of prompts and the answers that are shown first and
second; it gives "first", "second", "tie" or "none" for each. `judged` asks one
in both orders.
"""

from alignjax.evals.judges.endpoints import endpoint
from alignjax.evals.judges.question import TEMPLATE
from alignjax.evals.judges.scores import by_scores
from alignjax.evals.judges.verdicts import VERDICTS, Judge, Verdicts, judged

__all__ = [
  "TEMPLATE",
  "VERDICTS",
  "Judge",
  "Verdicts",
  "by_scores",
  "endpoint",
  "judged",
]
