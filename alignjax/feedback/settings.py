"""What a study is begun with."""

from typing import NamedTuple


class Settings(NamedTuple):
  """What a study is begun with and keeps.

  seed: of the sides. overlap: raters of a pair. lease: seconds that a rater has
  a pair for. gold_every: of each so many tasks one is a pair whose answer is
  known, while there are such; which one, and where among them, is drawn for
  each rater; 0: such pairs are like others. repeat_every: of each so many tasks
  one is a pair the rater had before, sides changed; 0: never.
  """

  seed: int
  overlap: int
  lease: float
  gold_every: int
  repeat_every: int


def check(s: Settings) -> None:
  """Raises ValueError where a setting makes no sense."""
  rules = {
    "seed": (abs(s.seed) < 2**63, "64 bits"),
    "overlap": (s.overlap >= 1, "raters of a pair: 1 or more"),
    "lease": (10 <= s.lease < 1e6, "seconds: 10 or more, below a million"),
  }
  for name in ("gold_every", "repeat_every"):
    every = getattr(s, name)
    rules[name] = (every == 0 or every >= 2, "tasks: 0 (never), 2 or more")
  for name, (good, rule) in rules.items():
    if not good:
      raise ValueError(f"{name} = {getattr(s, name)}; it is a number of {rule}")
