"""The one place of chance: stable hashes that split, order and choose.

`hash()` changes from process to process and `random` from Python to Python;
SHA-256 does neither.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

# One key in six is held out.
_SHARE = 6


def digest(*parts: object) -> int:
  """A 64-bit number that depends on the text of the parts alone."""
  text = "\x1f".join(map(str, parts))
  return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def side(key: str) -> str:
  """The split of a key: "train" or "heldout".

  The cluster has no say, so clusters that share a fact keep it on one side.
  """
  return "heldout" if digest("split", key) % _SHARE == 0 else "train"


def pick(options: Sequence[T], *parts: object) -> T:
  """One of the options, chosen by the parts."""
  return options[digest("pick", *parts) % len(options)]


def other(options: Iterable[T], avoid: Collection[T], *parts: object) -> T:
  """One of the options that is not to be avoided, chosen by the parts."""
  return pick([o for o in options if o not in avoid], *parts)


def shuffle(items: Iterable[T], *parts: object) -> list[T]:
  """The items in an order chosen by the parts, not by their own order."""
  return sorted(items, key=lambda item: digest("shuffle", *parts, item))
