"""What a method yields: a row, or what was left out and why."""

from collections.abc import Iterator
from pathlib import Path
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


def file(key: str, path: str) -> Path:
  """The file that a key of `config.method` names; raises where it is none."""
  if not Path(path).is_file():
    raise ValueError(
      f"config.method.{key} = {path!r} is no file.\n"
      f"Name one: --config.method.{key}=FILE."
    )
  return Path(path)


def at_least(least: int, **options: int) -> None:
  """Raises where an option of `config.method` is below what makes sense."""
  for key, value in options.items():
    if value < least:
      raise ValueError(
        f"config.method.{key} = {value}.\nLegal: {least} or more."
      )
