"""What a plan says, as a table and as JSON."""

from collections.abc import Sequence

from rich.table import Table

from alignjax.plan.chips import Chip
from alignjax.plan.measure import Measured, gib


def table(found: Sequence[Measured], chip: Chip | None, title: str) -> Table:
  """A column for each program, a row for each thing of one device."""
  made = Table(title=title, title_justify="left", title_style="bold")
  made.add_column("a device")
  for one in found:
    made.add_column(one.name, justify="right")
  for label, values in rows(found, chip):
    made.add_row(label, *values)
  return made


def rows(found: Sequence[Measured], chip: Chip | None):
  """(label, what stands in each column)."""
  parts = dict.fromkeys(name for m in found for name in m.memory.parts)
  for name in parts:
    yield name, [_size(m.memory.parts.get(name, 0)) for m in found]
  yield "temporaries", [_size(m.memory.temporaries) for m in found]
  yield "program", [_size(m.memory.code) for m in found]
  yield "memory at the peak", [_size(m.memory.peak) for m in found]
  if chip is not None:
    yield (
      f"of {chip.memory / 2**30:.1f} GiB",
      [f"{m.memory.peak / chip.memory:.0%}" for m in found],
    )
  yield (
    "largest array",
    [f"{m.costs.largest[0]} {_size(m.costs.largest[1])}" for m in found],
  )
  yield "TFLOPs of products", [f"{m.costs.flops / 1e12:.3g}" for m in found]
  yield "GB to and from memory", [f"{m.costs.memory / 1e9:.3g}" for m in found]
  kinds = sorted({k for m in found for k in m.costs.collectives})
  for kind in kinds:
    yield f"{kind}, GB sent", [_sent(m, kind) for m in found]
  if chip is not None:
    for name in ("products", "memory", "network"):
      yield (
        f"ms for {name}",
        [f"{m.times(chip)[name] * 1e3:.3g}" for m in found],
      )
    yield "waits for", [m.bound(chip)[0] for m in found]
    yield "tokens/s a chip at most", [f"{most(m, chip):,.0f}" for m in found]
    if any(m.useful for m in found):
      yield (
        "MFU at most",
        [f"{m.mfu(chip):.3f}"[: 5 * bool(m.useful)] for m in found],
      )
  if any(m.costs.unknown for m in found):
    yield (
      "loops counted once",
      [f"{len(m.costs.unknown)}" * bool(m.costs.unknown) for m in found],
    )
  yield "compiled in", [f"{m.seconds:.0f} s" for m in found]


def most(m: Measured, chip: Chip) -> float:
  """Tokens a second that one of `m.devices` chips can do at most."""
  return m.tokens / m.devices / m.bound(chip)[1]


def record(m: Measured, chip: Chip | None) -> dict:
  """One program as JSON: bytes, FLOPs and seconds of one device."""
  found = {
    "name": m.name,
    "tokens": m.tokens,
    "devices": m.devices,
    "memory": {
      **m.memory._asdict(),
      "idle": m.memory.idle,
      "peak": m.memory.peak,
    },
    "flops": m.costs.flops,
    "useful_flops": m.useful,
    "bytes": m.costs.memory,
    "collectives": {
      k: {"count": n, "bytes": size}
      for k, (n, size) in m.costs.collectives.items()
    },
    "largest": list(m.costs.largest),
    "uncounted_loops": list(m.costs.unknown),
    "compile_seconds": m.seconds,
  }
  if chip is not None:
    found["seconds"] = m.times(chip)
    found["tokens_per_second_per_chip"] = most(m, chip)
    found["mfu"] = m.mfu(chip)
  return found


def _size(size: float | int) -> str:
  if not size:
    return ""
  return gib(size) if size >= 2**28 else f"{size / 2**20:.1f} MiB"


def _sent(m: Measured, kind: str) -> str:
  number, size = m.costs.collectives.get(kind, (0, 0))
  return f"{size / 1e9:.3g} in {number}" if number else ""
