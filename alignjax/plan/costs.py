"""What a compiled program does on one device: FLOPs, bytes, collectives.

`compiled.cost_analysis()` counts the body of a loop once, so the layers of a
scanned model vanish from it. Here every loop counts as often as it runs.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from alignjax.plan.hlo import Computation, Instruction, Program, Shape
from alignjax.plan.loops import trip_count
from alignjax.plan.products import flops
from alignjax.plan.traffic import fusion_bytes, plain_bytes, sent_bytes

COLLECTIVES = (
  "all-gather",
  "all-reduce",
  "reduce-scatter",
  "collective-permute",
  "all-to-all",
)
# No data is read or written by them.
FREE = {
  "parameter",
  "constant",
  "get-tuple-element",
  "tuple",
  "bitcast",
  "after-all",
  "partition-id",
  "replica-id",
  "while",
  "conditional",
  "call",
  "optimization-barrier",
  "async-update",
  "async-done",
  "iota",
}


class Costs(NamedTuple):
  """Of one device and one call.

  flops: of products of matrices; what is done element by element is left out.
  memory: bytes read from and written to main memory, about: each instruction
    reads its operands and writes its result once, slices as much as they take.
  collectives: kind → (how many, bytes that leave the device).
  largest: the largest array that is no argument, and its bytes.
  unknown: loops whose length could not be read, and is not given.
  """

  flops: float
  memory: float
  collectives: Mapping[str, tuple[int, float]]
  largest: tuple[str, float]
  unknown: tuple[str, ...]

  @property
  def network(self) -> float:
    """Bytes that leave the device."""
    return sum(size for _, size in self.collectives.values())


def costs(program: Program, rounds: int = 0) -> Costs:
  """Walks a program from its entry, each loop times its trips.

  rounds: of a loop that ends where its data say so; 0 is for one round, and the
    loop is noted.
  """
  return Counting(program, rounds).total()


class Counting:
  """One walk over a program."""

  def __init__(self, program: Program, rounds: int):
    self.program, self.rounds = program, rounds
    self.flops, self.memory = 0.0, 0.0
    self.collectives, self.channels = {}, set()
    self.largest, self.unknown = ("", 0.0), []

  def total(self) -> Costs:
    self.walk(self.program.computations[self.program.entry], 1)
    return Costs(
      self.flops,
      self.memory,
      dict(sorted(self.collectives.items())),
      self.largest,
      tuple(self.unknown),
    )

  def walk(self, computation: Computation, times: int) -> None:
    """Adds what a computation does, `times` over."""
    for i in computation.instructions:
      if i.op == "while":
        body = self.program.called(i, "body")
        self.walk(body, times * self.trips(computation, i, body))
      elif i.op in ("call", "async-start"):
        key = "calls" if i.attribute("calls") else "to_apply"
        self.walk(self.program.called(i, key), times)
      elif i.op == "conditional":
        self.walk(self.dearest(i), times)
      else:
        self.one(computation, i, times)

  def dearest(self, i: Instruction) -> Computation:
    """The branch that multiplies most: the plan is of the worst case."""
    names = i.braces("branch_computations").split(", ")
    if names == [""]:
      names = [i.attribute(f"{k}_computation") for k in ("true", "false")]
    found = [self.program.computations[n.lstrip("%")] for n in names]

    def flops(computation):
      other = Counting(self.program, self.rounds)
      other.walk(computation, 1)
      return other.flops, other.memory

    return max(found, key=flops)

  def one(self, inside: Computation, i: Instruction, times: int) -> None:
    """An instruction that holds no others, or a fusion."""
    self.flops += times * flops(inside, i)
    kind = collective(i.op)
    if kind:
      self.collect(kind, inside, i, times)
    if i.op == "fusion":
      self.fused(self.program.called(i), times)
      self.memory += times * fusion_bytes(self.program, inside, i)
    elif i.op not in FREE and not i.op.endswith(("-done", "-update")):
      self.memory += times * plain_bytes(inside, i)
    if i.op not in ("parameter", "tuple", "get-tuple-element", "bitcast"):
      for shape in i.shapes:
        if shape.main and shape.bytes > self.largest[1]:
          self.largest = (written(shape), shape.bytes)

  def fused(self, computation: Computation, times: int) -> None:
    """Products and collectives within a fusion; its memory is its own."""
    for i in computation.instructions:
      self.flops += times * flops(computation, i)
      kind = collective(i.op)
      if kind:
        self.collect(kind, computation, i, times)
      if i.op == "fusion":
        self.fused(self.program.called(i), times)

  def collect(self, kind, inside, i: Instruction, times: int) -> None:
    # One collective may stand in several fusions, a part of it in each.
    channel = i.attribute("channel_id")
    if channel and (kind, channel) in self.channels:
      return
    self.channels.add((kind, channel))
    number, size = self.collectives.get(kind, (0, 0.0))
    sent = sent_bytes(kind, inside, i)
    self.collectives[kind] = (number + times, size + times * sent)

  def trips(self, inside, i: Instruction, body: Computation) -> int:
    """How often a loop runs; where it is not told, as `costs` says."""
    told = re.search(r'"known_trip_count":\{"n":"(\d+)"', i.rest)
    if told:
      return int(told.group(1))
    found = trip_count(
      self.program, inside, i, self.program.called(i, "condition"), body
    )
    if found is None and not self.rounds:
      self.unknown.append(i.name)
    return (self.rounds or 1) if found is None else found


def collective(op: str) -> str:
  """The kind of a collective; "" of all else and of what waits for one."""
  plain = op.removesuffix("-start")
  return plain if plain in COLLECTIVES else ""


def written(shape: Shape) -> str:
  return f"{shape.dtype}[{','.join(map(str, shape.sizes))}]"
