"""Pairs that people compared, a file a round: those to train on and to ask.

A fifth of the prompts is held out, by a seeded hash, the same ones in every
file, so that no round is asked what another was trained on.
"""

import json
from hashlib import sha256
from pathlib import Path

from alignjax.data import preferences, sources

HELD = 0.2  # of the prompts


def name(path: str) -> str:
  """What a file's pairs are called in tables and folders."""
  return Path(path).name.split(".")[0]


def split(path: str, seed: int) -> tuple[list[dict], list[dict]]:
  """(rows to train on, rows to ask), each in an order drawn by the seed.

  Rows with no preference (a label of 0.5) are left out.

  Raises ValueError where either has none.
  """
  parts: tuple[list, list] = ([], [])
  for row, origin in sources.read(path):
    for pair in preferences.read_row(row, origin):
      if not isinstance(pair, preferences.Preference):
        raise ValueError(f"{origin} is no pair.\nThis study reads pairs alone.")
      if pair.label == 0.5:
        continue
      chosen, rejected = pair.sides if pair.label > 0.5 else pair.sides[::-1]
      made = {
        "prompt": list(pair.prompt),
        "chosen": list(chosen),
        "rejected": list(rejected),
      }
      held = _place(seed, made["prompt"]) < HELD
      parts[held].append((_place(seed, made), made))
  for part, what in zip(parts, ("to train on", "to ask")):
    if not part:
      raise ValueError(
        f"{path} leaves no pair {what}: a fifth of its prompts is held out.\n"
        "Give a file of more prompts."
      )
  train, held = (
    [row for _, row in sorted(part, key=lambda x: x[0])] for part in parts
  )
  return train, held


def _place(seed: int, value) -> float:
  """A number from 0 to 1 that seed and value alone say."""
  text = json.dumps([seed, value], sort_keys=True)
  return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
