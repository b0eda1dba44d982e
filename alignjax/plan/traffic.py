"""What instructions read from memory and write to it, and send to others."""

import math
import re

from alignjax.plan.hlo import Computation, Instruction, Program, Shape

# Collectives that fusions carry on while they compute.
WHOLE = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all")


def operands(inside: Computation, i: Instruction) -> list[tuple[Shape, ...]]:
  """The shapes of each operand."""
  return [inside.named[n].shapes for n in i.operands if n in inside.named]


def in_main(shapes) -> float:
  return float(sum(s.bytes for s in shapes if s.main))


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
  program: Program, inside: Computation, i: Instruction
) -> float:
  """Of a fusion: what it takes of its operands, what it writes.

  An operand of which slices alone are taken is read as far as they go; one
  that is updated in place is written as far as the update goes. The result of a
  collective is written once, where it starts: what carries it on, and computes
  meanwhile, hands it through.
  """
  called, total = program.called(i), 0.0
  outs, ins = _handed_on(called, i)
  given = enumerate(zip(called.parameters, operands(inside, i)))
  for k, (parameter, shapes) in given:
    if k in ins or not any(s.main for s in shapes):
      continue
    whole, taken = in_main(shapes), _taken(program, called, parameter)
    total += whole if taken is None else min(taken, whole)
  return total + _put(called, i, outs)


def _taken(
  program: Program, called: Computation, i: Instruction
) -> float | None:
  """Bytes read of a value; None for all of it."""
  total = 0.0
  for use in called.uses.get(i.name, ()):
    if use.op in ("dynamic-slice", "slice", "gather"):
      if use.operands[0] != i.name:
        continue  # an index
      total += sum(s.bytes for s in use.shapes)
    elif use.op == "dynamic-update-slice" and use.operands[0] == i.name:
      continue  # written in place
    elif use.op in ("bitcast", "fusion"):
      again = [(called, use)]
      if use.op == "fusion":
        within = program.called(use)
        given = zip(within.parameters, use.operands)
        again = [(within, p) for p, name in given if name == i.name]
      more = [_taken(program, *place) for place in again]
      if None in more:
        return None
      total += sum(more)
    else:
      return None
  return total


def _handed_on(called: Computation, i: Instruction) -> tuple[set, set]:
  """Numbers of outputs and operands that are one buffer of a collective."""
  if not any(c.op in WHOLE for c in called.instructions):
    return set(), set()
  aliases = i.braces("output_to_operand_aliasing")
  same = re.findall(r"\{(\d*)\}: \((\d+), \{\}\)", aliases)
  return {int(out or 0) for out, _ in same}, {int(k) for _, k in same}


def _put(called: Computation, i: Instruction, handed_on: set) -> float:
  """What a fusion writes: of an update in place, the update alone."""
  root = called.root
  outs = [root]
  if root.op == "tuple":
    outs = [called.named[n] for n in root.operands]
  total = 0.0
  for k, (out, shape) in enumerate(zip(outs, i.shapes)):
    if k in handed_on:
      continue
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
