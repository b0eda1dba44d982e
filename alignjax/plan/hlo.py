"""Reading compiled programs: the text of scheduled HLO, as records.

Of each instruction: its shape, its operation, what it is of. Costs are counted
in `alignjax.plan.costs`.
"""

import math
import re
from functools import cached_property
from typing import NamedTuple

# Bytes of an element; sub-byte types are packed.
SIZES = {
  "pred": 1,
  "s4": 0.5,
  "u4": 0.5,
  "s8": 1,
  "u8": 1,
  "s16": 2,
  "u16": 2,
  "f16": 2,
  "bf16": 2,
  "s32": 4,
  "u32": 4,
  "f32": 4,
  "s64": 8,
  "u64": 8,
  "f64": 8,
  "c64": 8,
  "c128": 16,
}


class Shape(NamedTuple):
  """One array: its type, sizes, and whether it lies in main memory.

  main: False for what the compiler keeps on the chip (memory spaces other than
  0) and for what is no data (tokens).
  """

  dtype: str
  sizes: tuple[int, ...]
  main: bool

  @property
  def elements(self) -> int:
    return math.prod(self.sizes)

  @property
  def bytes(self) -> float:
    width = SIZES.get(self.dtype)
    if width is None:  # f8e4m3fn and its kin; tokens have none
      width = 1 if self.dtype.startswith("f8") else 0
    return float(self.elements * width)


class Instruction(NamedTuple):
  """shapes: of its result, one or those of a tuple. operands: names.

  rest: all that stands behind the operands.
  """

  name: str
  shapes: tuple[Shape, ...]
  op: str
  operands: tuple[str, ...]
  rest: str
  root: bool
  inside: str  # what stands between the brackets, as it is

  def attribute(self, key: str) -> str:
    """`calls`, `body`, `dim_labels` …; "" where it has none."""
    found = re.search(rf"\b{key}=([^,\s]+)", self.rest)
    return found.group(1) if found else ""

  def braces(self, key: str) -> str:
    """What stands in `key={…}`, one level deep; "" where it has none."""
    found = re.search(
      rf"\b{key}=\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", self.rest
    )
    return found.group(1) if found else ""


class Computation:
  """Instructions in the order of the schedule, also by name."""

  def __init__(self, name: str):
    self.name, self.instructions = name, []

  @cached_property
  def named(self) -> dict[str, Instruction]:
    return {i.name: i for i in self.instructions}

  @cached_property
  def root(self) -> Instruction:
    return next(i for i in self.instructions if i.root)

  @cached_property
  def parameters(self) -> list[Instruction]:
    """In the order of the arguments."""
    found = [i for i in self.instructions if i.op == "parameter"]
    return sorted(found, key=lambda i: int(i.inside))

  @cached_property
  def uses(self) -> dict[str, list[Instruction]]:
    """name → who reads it."""
    found = {}
    for i in self.instructions:
      for name in i.operands:
        found.setdefault(name, []).append(i)
    return found


class Program(NamedTuple):
  """computations: by name. entry: the name of the one that is run."""

  computations: dict[str, Computation]
  entry: str
  head: str

  def called(self, i: Instruction, key: str = "calls") -> Computation:
    """The computation that an instruction names."""
    return self.computations[i.attribute(key).lstrip("%")]


_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(ROOT )?%([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,<=]*)\](\{[^{}]*\})?")
_SPACE = re.compile(r"S\((\d+)\)")
_NAME = re.compile(r"%([\w.\-]+)")


def program(text: str) -> Program:
  """The program of `compiled.as_text()`."""
  lines = text.splitlines()
  computations, entry, current = {}, "", None
  for line in lines:
    if not line.startswith(" "):
      head = _HEAD.match(line)
      if head:
        current = Computation(head.group(2))
        computations[current.name] = current
        entry = current.name if head.group(1) else entry
      continue
    found = _LINE.match(line)
    if found and current is not None:
      current.instructions.append(_instruction(*found.groups()))
  return Program(computations, entry, lines[0] if lines else "")


def _instruction(root: str | None, name: str, text: str) -> Instruction:
  end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
  shapes, text = text[:end], text[end:].lstrip()
  start = text.index("(")
  close = _closing(text, start)
  inside = text[start + 1 : close]
  return Instruction(
    name,
    tuple(_shapes(shapes)),
    text[:start],
    tuple(_NAME.findall(inside)),
    text[close + 1 :],
    bool(root),
    inside,
  )


def _closing(text: str, start: int) -> int:
  """Where the bracket closes that opens at `start`."""
  depth = 0
  for i in range(start, len(text)):
    depth += (text[i] == "(") - (text[i] == ")")
    if not depth:
      return i
  raise ValueError(f"No closing bracket in {text[:80]!r}.")


def _shapes(text: str):
  for dtype, sizes, layout in _ARRAY.findall(text):
    space = _SPACE.search(layout)
    numbers = tuple(int(n.lstrip("<=")) for n in sizes.split(",") if n)
    yield Shape(dtype, numbers, space is None or space.group(1) == "0")
