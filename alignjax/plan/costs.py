"""What a compiled program does on one device: FLOPs, bytes, collectives.

`compiled.cost_analysis()` counts the body of a loop once, so the layers of a
scanned model vanish from it. Here every loop counts as often as it runs.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from alignjax.plan.hlo import Computation, Instruction, Program, Shape

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
  unknown: loops whose length could not be read; they are counted once.
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


def costs(program: Program) -> Costs:
  """Walks a program from its entry, each loop times its trips."""
  return Counting(program).total()


class Counting:
  """One walk over a program."""

  def __init__(self, program: Program):
    self.program = program
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
        body = self.named(i, "body")
        self.walk(body, times * self.trips(computation, i, body))
      elif i.op in ("call", "async-start"):
        key = "calls" if i.attribute("calls") else "to_apply"
        self.walk(self.named(i, key), times)
      elif i.op == "conditional":
        self.walk(self.dearest(i), times)
      else:
        self.one(computation, i, times)

  def named(self, i: Instruction, key: str) -> Computation:
    return self.program.computations[i.attribute(key).lstrip("%")]

  def dearest(self, i: Instruction) -> Computation:
    """The branch that multiplies most: the plan is of the worst case."""
    names = i.braces("branch_computations").split(", ")
    if names == [""]:
      names = [i.attribute(f"{k}_computation") for k in ("true", "false")]
    found = [self.program.computations[n.lstrip("%")] for n in names]

    def flops(computation):
      other = Counting(self.program)
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
      called = self.named(i, "calls")
      self.fused(called, times)
      self.memory += times * fusion_bytes(inside, i, called)
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
        self.fused(self.named(i, "calls"), times)

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
    """How often a loop runs; 1, noted in `unknown`, where it is not told."""
    told = re.search(r'"known_trip_count":\{"n":"(\d+)"', i.rest)
    if told:
      return int(told.group(1))
    found = trip_count(
      self.program, inside, i, self.named(i, "condition"), body
    )
    if found is None:
      self.unknown.append(i.name)
      return 1
    return found


def collective(op: str) -> str:
  """The kind of a collective; "" of all else and of what waits for one."""
  plain = op.removesuffix("-start")
  return plain if plain in COLLECTIVES else ""


def written(shape: Shape) -> str:
  return f"{shape.dtype}[{','.join(map(str, shape.sizes))}]"


def operands(inside: Computation, i: Instruction) -> list[tuple[Shape, ...]]:
  """The shapes of each operand."""
  return [inside.named[n].shapes for n in i.operands if n in inside.named]


def in_main(shapes) -> float:
  return float(sum(s.bytes for s in shapes if s.main))


# Memory.


def plain_bytes(inside: Computation, i: Instruction) -> float:
  """Of an instruction outside of fusions."""
  read = operands(inside, i)
  if i.op in ("dynamic-slice", "slice", "gather"):
    return 2 * in_main(i.shapes)
  if i.op == "dynamic-update-slice":
    return 2 * in_main(read[1])
  if i.op.endswith("-start") and len(i.shapes) > 1:  # (operand, result, …)
    return in_main(read[0]) + in_main(i.shapes[1:2])
  if i.op == "custom-call" and not read:  # a buffer, no data
    return 0.0
  return sum(map(in_main, read)) + in_main(i.shapes)


def fusion_bytes(
  inside: Computation, i: Instruction, called: Computation
) -> float:
  """Of a fusion: what it takes of its operands, what it writes.

  An operand of which slices alone are taken is read as far as they go; one
  that is updated in place is written as far as the update goes.
  """
  total, updated = 0.0, 0
  for parameter, shapes in zip(called.parameters, operands(inside, i)):
    if not any(s.main for s in shapes):
      continue
    taken, changed = _taken(called, parameter)
    updated += changed
    total += (
      min(taken, in_main(shapes)) if taken is not None else in_main(shapes)
    )
  return total + _put(called, i)


def _taken(called: Computation, i: Instruction) -> tuple[float | None, bool]:
  """(bytes read of a value, None for all of it; whether it is updated)."""
  total, changed = 0.0, False
  for use in called.uses.get(i.name, ()):
    if use.op in ("dynamic-slice", "slice", "gather"):
      if use.operands[0] != i.name:
        continue  # an index
      total += sum(s.bytes for s in use.shapes)
    elif use.op == "dynamic-update-slice" and use.operands[0] == i.name:
      changed = True
    elif use.op == "bitcast":
      more, also = _taken(called, use)
      if more is None:
        return None, False
      total, changed = total + more, changed or also
    else:
      return None, False
  return total, changed


def _put(called: Computation, i: Instruction) -> float:
  """What a fusion writes: of an update in place, the update alone."""
  root = called.root
  outs = [root]
  if root.op == "tuple":
    outs = [called.named[n] for n in root.operands]
  total = 0.0
  for out, shape in zip(outs, i.shapes):
    while out.op == "bitcast":
      out = called.named[out.operands[0]]
    if not shape.main:
      continue
    if out.op == "dynamic-update-slice":
      update = called.named[out.operands[1]].shapes[0]
      total += min(update.bytes, shape.bytes)
    elif out.op != "parameter":  # handed through
      total += shape.bytes
  return total


# Network.


def sent_bytes(kind: str, inside: Computation, i: Instruction) -> float:
  """Bytes that leave a device, by the ring algorithm of each kind."""
  if kind == "collective-permute":
    return float(sum(s.bytes for s in operands(inside, i)[0]))
  n = group_size(i)
  before = sum(s.bytes for shapes in operands(inside, i) for s in shapes)
  if kind == "all-gather":
    return float(before * (n - 1))
  return before * (n - 1) / n * (2 if kind == "all-reduce" else 1)


def group_size(i: Instruction) -> int:
  """Devices that take part in a collective together."""
  named = re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", i.rest)
  if named:
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", named.group(1)))
    axes = re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", named.group(2))
    return math.prod(int(part or sizes[axis]) for axis, _, part in axes)
  iota = re.search(r"replica_groups=\[\d+,(\d+)\]<=", i.rest)
  if iota:
    return int(iota.group(1))
  groups = re.search(r"replica_groups=\{\{([\d,]*)\}", i.rest)
  return len(groups.group(1).split(",")) if groups else 1


# FLOPs.


def flops(inside: Computation, i: Instruction) -> float:
  """2 · multiplications and additions of a product; 0 of all else."""
  if i.op == "dot":
    left = operands(inside, i)[0][0]
    over = [int(n) for n in i.braces("lhs_contracting_dims").split(",") if n]
    return 2.0 * i.shapes[0].elements * math.prod(left.sizes[d] for d in over)
  if i.op == "convolution":
    return _convolution(i, *(s[0] for s in operands(inside, i)[:2]))
  if i.op == "custom-call":
    return _called(inside, i)
  return 0.0


def _convolution(i: Instruction, left: Shape, right: Shape) -> float:
  """Products of a convolution, without those with its padding.

  The TPU's compiler writes every product of matrices as one.
  """
  labels, out_labels = i.attribute("dim_labels").split("->")
  left_labels, right_labels = labels.split("_")
  out = dict(zip(out_labels, i.shapes[0].sizes))
  of_left = dict(zip(left_labels, left.sizes))
  of_right = dict(zip(right_labels, right.sizes))
  window = _window(i.braces("window"))
  total = 2.0 * out["b"] * out["f"] * of_right["i"]
  for place, axis in enumerate(a for a in out_labels if a.isdigit()):
    get = {k: v[place] for k, v in window.items()}
    total *= _meetings(of_left[axis], of_right[axis], out[axis], **get)
  return total


def _window(text: str) -> dict[str, list]:
  """size, stride, pad … of each spatial dimension."""
  found = dict(part.split("=") for part in text.split())
  n = len(found["size"].split("x")) if "size" in found else 0

  def numbers(key, otherwise):
    return (
      [int(x) for x in found[key].split("x")]
      if key in found
      else ([otherwise] * n)
    )

  pads = found["pad"].split("x") if "pad" in found else ["0_0"] * n
  return {
    "stride": numbers("stride", 1),
    "before": [int(p.split("_")[0]) for p in pads],
    "spread": numbers("lhs_dilate", 1),
    "apart": numbers("rhs_dilate", 1),
  }


def _meetings(
  size: int,
  kernel: int,
  out: int,
  stride: int,
  before: int,
  spread: int,
  apart: int,
) -> int:
  """Pairs (place of the result, place of the kernel) that meet an input."""
  last = (size - 1) * spread
  found = 0
  for k in range(kernel):
    # 0 <= place · stride + offset <= last, at a multiple of `spread`
    offset = k * apart - before
    low = max(0, -(offset // stride))
    high = min(out - 1, (last - offset) // stride)
    if spread == 1:
      found += max(0, high - low + 1)
      continue
    found += sum(
      (p * stride + offset) % spread == 0 for p in range(low, high + 1)
    )
  return found


def _called(inside: Computation, i: Instruction) -> float:
  """Products that are left to a library, and attention kernels."""
  target = re.search(r'custom_call_target="([^"]*)"', i.rest)
  name = target.group(1) if target else ""
  if "matmul" not in name and "gemm" not in name:
    return 0.0
  shapes = operands(inside, i)
  told = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', i.rest)
  if told:
    over = json.loads(f"[{told.group(1)}]")
    depth = math.prod(shapes[0][0].sizes[int(d)] for d in over)
  else:  # [m, k] · [k, n]
    depth = shapes[0][0].sizes[-1]
  return 2.0 * i.shapes[0].elements * depth


# Loops.


def trip_count(
  program: Program,
  inside: Computation,
  loop: Instruction,
  condition: Computation,
  body: Computation,
) -> int | None:
  """(limit − start) / step of `i < limit`, from the text; None where it is not
  of this form."""
  test = condition.root
  named, get = condition.named, None
  if test.op == "fusion":  # compare(gte, constant), fused
    called = program.computations[test.attribute("calls").lstrip("%")]
    passed = dict(zip((p.name for p in called.parameters), test.operands))
    named = condition.named | called.named
    test = called.root
    get = passed
  if test.op != "compare":
    return None
  sides = [_source(named, get, name) for name in test.operands]
  counter = next((s for s in sides if s.op == "get-tuple-element"), None)
  limit = next((s for s in sides if s.op == "constant"), None)
  if counter is None or limit is None:
    return None
  place = int(counter.attribute("index"))
  start = _start(inside, loop, place)
  step = _step(program, body, place)
  if start is None or not step:
    return None
  direction, bound = test.attribute("direction"), int(limit.inside)
  bound += direction in ("LE", "GE")
  return max(0, -(-(bound - start) // step))


def _source(named, passed, name: str) -> Instruction:
  """The instruction behind copies and the arguments of a fusion."""
  i = named[name]
  while i.op in ("copy", "bitcast", "convert") or (
    i.op == "parameter" and passed and i.name in passed
  ):
    i = named[passed[i.name] if i.op == "parameter" else i.operands[0]]
  return i


def _start(inside: Computation, loop: Instruction, place: int) -> int | None:
  made = inside.named.get(loop.operands[0])
  if made is None or made.op != "tuple":
    return None
  i = _source(inside.named, None, made.operands[place])
  return int(i.inside) if i.op == "constant" else None


def _step(program: Program, body: Computation, place: int) -> int | None:
  """What the counter grows by in a round."""
  root = body.root
  if root.op != "tuple":
    return None
  i = _source(body.named, None, root.operands[place])
  named, passed = body.named, None
  if i.op == "fusion":
    called = program.computations[i.attribute("calls").lstrip("%")]
    passed = dict(zip((p.name for p in called.parameters), i.operands))
    named = body.named | called.named
    i = called.root
  if i.op != "add":
    return None
  for name in i.operands:
    found = _source(named, passed, name)
    if found.op == "constant":
      return int(found.inside)
  return None
