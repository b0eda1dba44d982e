"""Pairs that people compared, a file a round: those to train on and to ask.

A fifth of the prompts is held out, by a seeded hash, the same ones in every
file, so that no round is asked what another was trained on.
"""

import json
import math
from hashlib import sha256
from pathlib import Path

from alignjax.data import preferences, sources

HELD = 0.2  # of the prompts


def name(path: str) -> str:
  """What a file's pairs are called in tables and folders."""
  return Path(path).name.split(".")[0]


def split(path: str, seed: int) -> tuple[list[dict], list[dict]]:
  """(rows to train on, rows to ask), each in an order drawn by the seed.

  A pair is one row, whatever rows the file has of it: it chooses what more
  weight is for, `weight` is their sum, `label` the share of it that is for
  `chosen`. Pairs of which neither side is preferred are left out. Rows to ask
  have the direction alone.

  Raises ValueError where either has none.
  """
  found: dict[str, list] = {}  # prompt, two sides, weight, weight for the first
  for row, origin in sources.read(path):
    for pair in preferences.read_row(row, origin):
      if not isinstance(pair, preferences.Preference):
        raise ValueError(f"{origin} is no pair.\nThis study reads pairs alone.")
      sides = sorted(pair.sides, key=_text)
      first = pair.label if sides[0] == pair.sides[0] else 1 - pair.label
      key = _text([pair.prompt, sides])
      kept = found.setdefault(key, [pair.prompt, *sides, 0.0, 0.0])
      kept[3] += pair.weight
      kept[4] += pair.weight * first
  parts: tuple[list, list] = ([], [])
  for prompt, *sides, weight, first in found.values():
    label = first / weight if weight else 0.5
    if math.isclose(label, 0.5):
      continue
    chosen, rejected = sides if label > 0.5 else sides[::-1]
    made = {
      "prompt": list(prompt),
      "chosen": list(chosen),
      "rejected": list(rejected),
    }
    held, place = _place(seed, made["prompt"]) < HELD, _place(seed, made)
    if not held:
      made |= {"label": max(label, 1 - label), "weight": weight}
    parts[held].append((place, made))
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


def _text(value) -> str:
  return json.dumps(value, sort_keys=True)


def _place(seed: int, value) -> float:
  """A number from 0 to 1 that seed and value alone say."""
  said = _text([seed, value]).encode()
  return int.from_bytes(sha256(said).digest()[:8], "big") / 2**64
