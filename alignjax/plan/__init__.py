"""What a run costs, known from its compiled programs before it is made."""

import json
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from alignjax import build
from alignjax.log.records import replace_file
from alignjax.plan.chips import check, prepare, target
from alignjax.plan.measure import Measured, TooLarge, measure
from alignjax.plan.programs import jobs
from alignjax.plan.report import record, table
from alignjax.plan.search import fit, scaling

__all__ = [
  "Measured",
  "TooLarge",
  "check",
  "fit",
  "plan",
  "prepare",
  "scaling",
]


def plan(
  config: ConfigDict,
  topology: str = "",
  *,
  prompt: int = 0,
  out: str = "",
  say: Callable[[object], None] = print,
) -> list[Measured]:
  """Compiles all that a run of `config` would, and tells what a device needs.

  Nothing is read, allocated or run. topology: `v5e:4x4`, `cpu:8`; "" for the
  devices that are here. prompt: tokens of a conversation that are not trained.
  out: a file for the same as JSON.

  Raises TooLarge where a program does not fit.
  """
  aim = target(topology)
  place = build.placement(config, aim.devices)
  found = [measure(job, aim) for job in jobs(config, place, prompt)]
  mesh = "×".join(map(str, place.mesh.shape.values()))
  kind = aim.chip.name if aim.chip else place.mesh.devices.flat[0].device_kind
  say(table(found, aim.chip, f"mesh {mesh} of {place.mesh.size} {kind}"))
  if out:
    records = [record(m, aim.chip) for m in found]
    made = {"topology": topology, "mesh": mesh, "programs": records}
    replace_file(Path(out), json.dumps(made, indent=1) + "\n")
  return found
