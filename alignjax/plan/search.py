"""Plans of several shapes of one run: which fits and is fastest, what grows."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ml_collections import ConfigDict
from rich.table import Table

from alignjax import build
from alignjax.plan.chips import Target, target
from alignjax.plan.measure import Measured, TooLarge, gib, measure
from alignjax.plan.programs import jobs
from alignjax.plan.report import most

# From what computes least to what keeps least.
POLICIES = ("none", "dots", "full")
MOST = 16  # microbatches
# Shapes of 8 to 256 chips, as Google Cloud sells them.
SLICES = {
  "v5e": ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
  "v6e": ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
  "v5p": ("2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8"),
}


class Tried(NamedTuple):
  """One way to train, and what it needs, or that it does not fit."""

  accumulate: int
  remat: str
  measured: Measured | TooLarge

  @property
  def options(self) -> str:
    return (
      f"--config.train.accumulate={self.accumulate} "
      f"--config.model.remat={self.remat}"
    )


def train_step(config: ConfigDict, aim: Target, prompt: int) -> Measured:
  """The plan of an update alone."""
  place = build.placement(config, aim.devices)
  return measure(jobs(config, place, prompt)[-1], aim)


def fit(
  config: ConfigDict,
  topology: str,
  prompt: int,
  say: Callable[[object], None],
) -> Tried:
  """Tries microbatches and rematerialisation, and says which is fastest.

  What computes more than something that fits with as many microbatches is not
  tried: it is slower. Nor are more microbatches, once nothing is made twice.

  Raises TooLarge where none fits.
  """
  aim = target(topology)
  best, error = None, None
  for tried in _tries(config, aim, prompt):
    if isinstance(tried.measured, TooLarge):
      error = tried.measured
      say(f"{tried.options}: does not fit")
      continue
    seconds = _seconds(tried.measured, aim)
    say(
      f"{tried.options}: {gib(tried.measured.memory.peak)}, "
      f"{seconds * 1e3:,.0f} ms a step at least"
    )
    if best is None or seconds < _seconds(best.measured, aim):
      best = tried
  if best is None:
    raise error
  say(f"fastest of what fits: {best.options}")
  return best


def _tries(config: ConfigDict, aim: Target, prompt: int) -> Iterator[Tried]:
  ways = build.placement(config, aim.devices).row_multiple
  rows, policies = config.train.batch // ways, POLICIES
  counts = [k for k in range(1, min(MOST, rows) + 1) if rows % k == 0]
  for accumulate in counts:
    for place, remat in enumerate(policies):
      one = ConfigDict(config.to_dict())
      one.train.accumulate, one.model.remat = accumulate, remat
      try:
        found = train_step(one, aim, prompt)
      except TooLarge as error:
        yield Tried(accumulate, remat, error)
        continue
      yield Tried(accumulate, remat, found)
      policies = policies[:place]
      break
    if not policies:
      return


def _seconds(measured: Measured, aim: Target) -> float:
  """What is waited for longest; where no chip is known, its products."""
  if aim.chip is None:
    return measured.costs.flops
  return measured.bound(aim.chip)[1]


def scaling(
  config: ConfigDict,
  topology: str,
  prompt: int,
  say: Callable[[object], None],
) -> list[Measured]:
  """One run on 8 to 256 chips, as many rows for each as on `topology`; on those
  of them that the mesh divides.

  Raises ValueError for what is no TPU, and for a mesh that divides none.
  """
  kind = topology.partition(":")[0]
  if kind not in SLICES:
    raise ValueError(
      f"--scaling is of {', '.join(SLICES)}; --topology={topology!r} is none."
    )
  given = target(topology)
  rows = config.train.batch / len(given.devices)
  made = Table(title=f"{rows:g} rows a chip", title_justify="left")
  for name in (
    *("chips", "mesh", "peak", "TFLOPs", "GB of memory"),
    *("GB sent", "waits for", "tokens/s a chip", "compiled in"),
  ):
    made.add_column(name, justify="right")
  found = []
  fixed = math.prod(n for n in config.mesh if n > 0)
  for shape in SLICES[kind]:
    aim = target(f"{kind}:{shape}")
    if len(aim.devices) % fixed:
      continue
    one = ConfigDict(config.to_dict())
    one.train.batch = round(rows * len(aim.devices))
    m = train_step(one, aim, prompt)
    mesh = build.placement(one, aim.devices).mesh.shape
    made.add_row(
      f"{len(aim.devices)}",
      "×".join(map(str, mesh.values())),
      gib(m.memory.peak),
      f"{m.costs.flops / 1e12:.3g}",
      f"{m.costs.memory / 1e9:.3g}",
      f"{m.costs.network / 1e9:.3g}",
      m.bound(aim.chip)[0],
      f"{most(m, aim.chip):,.0f}",
      f"{m.seconds:.0f} s",
    )
    found.append(m)
  if not found:
    raise ValueError(
      f"mesh = {tuple(config.mesh)} divides no slice of 8 to 256 chips.\n"
      "Give powers of two; one may be -1, for all that is left."
    )
  say(made)
  return found
