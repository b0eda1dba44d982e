"""Which part of a mixture the n-th row comes from, and which of its rows.

Parts take turns as their shares say, so that after n rows each part has given
its share of n, give or take a row or so; no random draw decides.
"""

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction

import grain

FINEST = 10**9  # the largest denominator of a share: 1/3 stays 1/3


class Order:
  """An endless sequence of (part, row), a function of (seed, n) alone.

  Every part is gone through in a new permutation each of its epochs, by (seed,
  name, epoch). `grain.MapDataset.mix` is not used for the turns: it rounds
  shares to hundredths of the least one.
  """

  def __init__(
    self, sizes: Mapping[str, int], shares: Mapping[str, float], seed: int
  ):
    # The largest first: what a part gets is rounded within what those before
    # it leave.
    self.names = sorted(sizes, key=lambda name: -shares[name])
    self.sizes = dict(sizes)
    exact = [Fraction(shares[k]).limit_denominator(FINEST) for k in self.names]
    whole = math.lcm(*(x.denominator for x in exact))
    self._units = [int(x * whole) for x in exact]
    self._rows = {
      name: grain.MapDataset.source(range(n))
      .seed(seed_of(seed, name))
      .shuffle()
      .repeat(None)
      for name, n in sizes.items()
    }

  def drawn(self, n: int) -> dict[str, int]:
    """Rows that each part has given after n."""
    left, units, found = n, sum(self._units), {}
    for name, unit in zip(self.names, self._units):
      rest = left * (units - unit) // units if units > unit else 0
      found[name] = left - rest
      left, units = rest, units - unit
    return found

  def __getitem__(self, n: int) -> tuple[str, int]:
    before, after = self.drawn(n), self.drawn(n + 1)
    name = next(name for name in self.names if after[name] > before[name])
    return name, int(self._rows[name][before[name]])

  def epochs(self, n: int) -> dict[str, float]:
    """Passes over each part after n rows."""
    return {name: k / self.sizes[name] for name, k in self.drawn(n).items()}


def seed_of(seed: int, name: str) -> int:
  """The seed of a part; that of a source with no name is the seed itself."""
  if not name:
    return seed
  hashed = hashlib.sha256(f"{seed} {name}".encode()).digest()
  return int.from_bytes(hashed[:4], "little")


def shares(
  rows: Mapping[str, int],
  weights: Mapping[str, float],
  caps: Mapping[str, int],
) -> dict[str, float]:
  """The part of the rows that each part gives; they sum to 1.

  By the weights, or where all are 0 by min(rows, cap): examples-proportional
  mixing with a maximum (Raffel et al. 2020, section 3.5.2; Chung et al. 2022,
  appendix). A cap of 0 is none.
  """
  if not any(weights.values()):
    weights = {k: min(n, caps[k] or n) for k, n in rows.items()}
  total = sum(weights.values())
  return {name: weight / total for name, weight in weights.items()}


def of_packs(
  shares: Mapping[str, float],
  rows: Mapping[str, int],
  packs: Mapping[str, int],
) -> dict[str, float]:
  """Shares of packed rows that give these shares of the rows in them.

  A pack of a part holds rows / packs of its rows on average.
  """
  wanted = {k: share * packs[k] / rows[k] for k, share in shares.items()}
  total = sum(wanted.values())
  return {name: x / total for name, x in wanted.items()}
