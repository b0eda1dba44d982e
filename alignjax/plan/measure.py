"""Compiles a job and tells what one device would need, do and wait for."""

import math
import re
import time
from typing import NamedTuple

import jax

from alignjax.plan import hlo
from alignjax.plan.chips import Chip, Target
from alignjax.plan.costs import Costs, costs
from alignjax.plan.programs import Job


class Memory(NamedTuple):
  """Bytes of one device.

  parts: name → what stands there between calls. arguments: all that is handed
    over, parts and batch. outputs: what is not written over an argument.
    temporaries: what lives within a call, activations mostly. code: of it.
  """

  parts: dict[str, int]
  arguments: int
  outputs: int
  temporaries: int
  code: int

  @property
  def idle(self) -> int:
    """Of the parts, what this program does not take and finds there."""
    return max(0, sum(self.parts.values()) - self.arguments)

  @property
  def peak(self) -> int:
    used = self.arguments + self.outputs + self.temporaries + self.code
    return used + self.idle


class Measured(NamedTuple):
  """One program of a run on one of its devices.

  tokens: of a call, over all devices. useful: FLOPs that one device cannot do
    without; 0 where it is not known. seconds: of the compilation.
  """

  name: str
  tokens: int
  devices: int
  memory: Memory
  costs: Costs
  useful: float
  seconds: float

  def times(self, chip: Chip) -> dict[str, float]:
    """Seconds that a call takes at least, by what it waits for."""
    return {
      "products": self.costs.flops / chip.flops,
      "memory": self.costs.memory / chip.bandwidth,
      "network": self.costs.network / chip.network,
    }

  def bound(self, chip: Chip) -> tuple[str, float]:
    """What a call waits for longest, and for how many seconds."""
    return max(self.times(chip).items(), key=lambda item: item[1])

  def mfu(self, chip: Chip) -> float:
    """The most of the chip's FLOPs that can go to what is useful (Chowdhery et
    al. 2022, appendix B)."""
    return self.useful / chip.flops / self.bound(chip)[1]


class TooLarge(ValueError):
  """A program that does not fit; `job` and what was said of it."""


def measure(job: Job, target: Target) -> Measured:
  """Compiles a job for its devices.

  Raises TooLarge where the compiler finds no way to fit it.
  """
  start = time.perf_counter()
  parts = {name: held(*of) for name, of in job.parts.items()}
  try:
    compiled = job.lower().compile()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise TooLarge(_too_large(job, parts, str(error), target.chip)) from None
  seconds = time.perf_counter() - start
  m = compiled.memory_analysis()
  memory = Memory(
    {name: size for name, size in parts.items() if size},
    m.argument_size_in_bytes,
    m.output_size_in_bytes - m.alias_size_in_bytes,
    m.temp_size_in_bytes,
    m.generated_code_size_in_bytes,
  )
  found = costs(hlo.program(compiled.as_text()), job.rounds)
  useful = job.useful / job.devices
  of = job.tokens, job.devices, memory, found, useful, seconds
  return Measured(job.name, *of)


def held(shapes, shardings) -> int:
  """Bytes of a tree on one device."""
  return sum(
    math.prod(sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings))
  )


def gib(size: float | int) -> str:
  return f"{size / 2**30:.2f} GiB"


def _too_large(job: Job, parts: dict, text: str, chip: Chip | None) -> str:
  """One readable message: what it needs, what there is, what to change."""
  said = re.search(r"temporaries \(([\d.]+)\w\) exceeds", text)
  within = f"{said.group(1)} GiB within a call and " if said else ""
  stands = ", ".join(f"{k} {gib(v)}" for k, v in parts.items() if v)
  there = f"a {chip.name} has {gib(chip.memory)}" if chip else "there is less"
  return (
    f"{job.name} does not fit: {there}, and it would need {within}"
    f"{gib(sum(parts.values()))} between calls\n({stands}).\n"
    "Raise --config.train.accumulate, set --config.model.remat=full, split "
    "over more devices (--config.mesh=1,-1,1),\nlower data.max_length, or "
    "tune adapters (configs with `lora`)."
  )
