"""Shares with their 95 % intervals."""

import math
from typing import NamedTuple

Z = 1.959964  # of a 95 % interval


class Share(NamedTuple):
  """Hits of n."""

  hits: int
  n: int

  def interval(self) -> tuple[float, float]:
    """95 % interval (Wilson 1927); (0, 1) of nothing."""
    if not self.n:
      return 0.0, 1.0
    n, share = self.n, self.hits / self.n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    half *= Z / (1 + Z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
