"""FLOPs of the instructions that multiply matrices."""

import json
import math
import re

from alignjax.kernels import BLOCK, LANES
from alignjax.plan.hlo import Computation, Instruction, Shape
from alignjax.plan.traffic import operands


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
  if name == "tpu_custom_call":
    return _splash(inside, i)
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


def _splash(inside: Computation, i: Instruction) -> float:
  """Splash attention of `alignjax.kernels`: the blocks it visits.

  Two products of a block forward; five backward, of which one makes the
  probabilities again (Dao et al. 2022, algorithm 4).
  """
  which = re.match(r"splash_mha_(fwd|dkv)", i.name)
  if not which:
    return 0.0
  shapes = [s[0] for s in operands(inside, i)]
  *_, length, width = shapes[2].sizes
  heads = shapes[2].elements / length / width  # of all rows
  # Of each block of queries, the blocks of keys; backward the other way round.
  _, queries, keys = shapes[0].sizes
  if which.group(1) == "fwd":
    visited = sum(min(i + 1, keys) for i in range(queries)) / queries**2
  else:
    blocks = length // (BLOCK if length >= BLOCK else LANES)
    wide = blocks // keys  # a block of keys, in blocks of queries
    seen = (min(blocks - wide * j, queries) for j in range(keys))
    visited = wide * sum(seen) / blocks**2
  products = 2 if which.group(1) == "fwd" else 5
  return products * 2.0 * heads * length * length * width * visited
