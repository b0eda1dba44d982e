"""What a method yields: a row, or what was left out and why."""

from collections.abc import Iterator
from typing import NamedTuple

from alignjax.instruct.writers import Ask


class Left(NamedTuple):
  """What did not become a row: the reason, and what is known of it."""

  reason: str
  about: dict


class Tools(NamedTuple):
  """What a method works with. judge: who compares answers, or None."""

  ask: Ask
  judge: Ask | None
  seed: int


Made = Iterator[dict | Left]
