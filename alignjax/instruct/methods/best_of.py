"""Rejection sampling: of n answers the one that a reward scores highest.

The rows that RAFT trains on (Dong et al. 2023,
https://arxiv.org/abs/2304.06767, section 3): sample, rank, keep the best of
each prompt; `alignjax train --config configs/sft.py` on them is its other half,
and what comes out of it may sample the next round.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path

from alignjax.instruct import prompts as asked
from alignjax.instruct.made import Left, Made, Tools, at_least
from alignjax.instruct.writers import Request
from alignjax.scoring.answers import scorer


def make(
  tools: Tools,
  *,
  prompts: str,
  split: str,
  limit: int,
  n: int,
  reward: str,
  least: float,
) -> Made:
  """A conversation of each prompt, with the best of `n` answers and its score.

  prompts, split, limit: as of `prompts.read`. reward: the folder of a reward
    model, or `module.function` of one of yours as in `alignjax.rewards`.
  least: the score below which no answer is good enough.

  Raises ValueError for n below 2, and for a reward that cannot be read or does
  not take what rules take.
  """
  at_least(2, n=n)
  if math.isnan(least):
    raise ValueError("config.method.least = nan.\nLegal: a number.")
  found = asked.read(prompts, split, limit)
  score = _reward(reward)  # before anything is sampled
  replies = tools.ask([Request(p.turns, k) for p in found for k in range(n)])
  given = [
    (p, [r for r in replies[i * n : i * n + n] if _whole(r)])
    for i, p in enumerate(found)
  ]
  scores = iter(score([(p, r.text) for p, several in given for r in several]))
  for i, (p, several) in enumerate(given):
    own = [(next(scores), r.text) for r in several]
    known = [(s, x) for s, x in own if s is not None and math.isfinite(s)]
    if not known:
      refused = replies[i * n].refused
      reason = refused or "no answer that is whole and has a score"
      yield Left(reason, {"prompt": p.id})
      continue
    best, text = max(known, key=lambda one: one[0])  # the first of equals
    if best < least:
      reason = f"no answer scores {least:g} or more"
      yield Left(reason, {"prompt": p.id, "score": best, "answer": text})
      continue
    yield {
      "id": f"best-of-{n}/{p.id}",
      **p.carried(),
      "messages": [*p.turns, {"role": "assistant", "content": text}],
      "score": best,
      "made": {
        "how": "best of n",
        "n": n,
        "reward": reward,
        "mean": sum(s for s, _ in known) / len(known),
        "prompt": p.id,
      },
    }


def _whole(reply) -> bool:
  """An answer that was cut would be learnt from as one without an end."""
  return bool(reply.text.strip()) and not reply.cut


def _reward(reward: str) -> Callable:
  """(prompt, answer) pairs → a score of each, None for none."""
  if reward and Path(reward).is_dir():
    model, _ = scorer(reward, None)

    def judged(pairs):
      found = model([(p.id, p.turns, text) for p, text in pairs])
      return [found.get((p.id, text)) for p, text in pairs]

    return judged
  module, _, name = reward.rpartition(".")
  sys.path.append(str(Path.cwd()))  # a command's own is where Python's is
  try:
    rule = getattr(importlib.import_module(module), name)
    inspect.signature(rule).bind([], [], [])
  except (ImportError, AttributeError, ValueError, TypeError) as error:
    raise ValueError(
      f"method.reward = {reward!r} is no folder of a reward model, and no rule "
      f"of (prompts, answers, rows): {error}.\nGive what `alignjax export` "
      "writes of a run of configs/reward.py, or module.function."
    ) from error

  def scored(pairs):
    turns, texts = [p.turns for p, _ in pairs], [text for _, text in pairs]
    found = [*rule(turns, texts, [p.row for p, _ in pairs])]
    if len(found) != len(texts):
      raise ValueError(
        f"method.reward = {reward!r} gives {len(found)} scores for "
        f"{len(texts)} answers.\nIt must give one for each, None for none."
      )
    return [None if s is None else float(s) for s in found]

  return scored
