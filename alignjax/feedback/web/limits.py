"""How often somebody may ask: a bucket of permits for each key."""

import threading
import time
from collections.abc import Callable

KEYS = 10_000  # that are remembered at a time


class Limit:
  """`burst` permits at once, `rate` further ones a second, for each key.

  Threads may share it. A key whose bucket is full again is forgotten, and of
  more than `KEYS` that are not, those that asked longest ago.
  """

  def __init__(
    self,
    burst: int,
    rate: float,
    clock: Callable[[], float] = time.monotonic,
  ):
    self.burst, self.rate, self.clock = burst, rate, clock
    self._lock = threading.Lock()
    self._left: dict[str, tuple[float, float]] = {}  # permits, when

  def take(self, key: str) -> float:
    """0 where there is a permit, which is taken; else seconds until one is."""
    with self._lock:
      now = self.clock()
      left = self._now(key, now)
      self._left.pop(key, None)
      self._left[key] = (left - 1 if left >= 1 else left, now)
      if len(self._left) > KEYS:
        self._forget(now)
      return 0.0 if left >= 1 else (1 - left) / self.rate

  def give(self, key: str) -> None:
    """A permit back: what it was taken for does not count."""
    with self._lock:
      now = self.clock()
      self._left[key] = (min(self.burst, self._now(key, now) + 1), now)

  def _now(self, key: str, now: float) -> float:
    left, when = self._left.get(key, (float(self.burst), now))
    return min(float(self.burst), left + (now - when) * self.rate)

  def _forget(self, now: float) -> None:
    kept = {
      key: found
      for key, found in self._left.items()
      if self._now(key, now) < self.burst
    }
    # A dict keeps the order in which keys asked last.
    self._left = dict(list(kept.items())[-KEYS:])
