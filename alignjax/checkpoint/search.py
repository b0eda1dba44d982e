"""The newest step that is whole."""

import json
from typing import NamedTuple

import jax

from alignjax.checkpoint import manifest
from alignjax.checkpoint.hosts import Meeting
from alignjax.checkpoint.record import RECORD
from alignjax.checkpoint.steps import Steps


class Found(NamedTuple):
  """A step that verifies, and lines on the newer ones that do not."""

  step: int
  record: dict
  passed: list[str]


def newest(steps: Steps, hosts: Meeting) -> tuple[Found | None, list[int]]:
  """The newest step that verifies, and the damaged ones above it.

  The first host chooses; all of them read, each its share of the files. None
  where nothing was ever committed. Raises ValueError where steps were, and none
  of them verifies.
  """
  damaged, passed = [], []
  for step, committed in hosts.tell(steps.newest_first):
    where = f"{steps.folder.name}/{step}"
    if not committed:
      passed.append(f"{where}: no commit marker: its save was cut short")
      continue
    faults = _faults(steps, hosts, step)
    if not faults:
      return Found(step, _record(steps, hosts, step), passed), damaged
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    passed.append(f"{where}: {faults[0]}{more}")
    damaged.append(step)
  if damaged:
    raise ValueError(
      "\n".join(
        (
          f"{steps.folder}: no checkpoint is whole.",
          *passed[:3],
          "Put back a copy of one, or move the folder away to train from the "
          "start.",
        )
      )
    )
  return None, damaged


def _faults(steps: Steps, hosts: Meeting, step: int) -> list[str]:
  place = jax.process_index(), jax.process_count()
  told = hosts.share(lambda: manifest.faults(steps.path(step), *place))
  return list(dict.fromkeys(line for lines in told for line in lines))


def _record(steps: Steps, hosts: Meeting, step: int) -> dict:
  file = steps.path(step) / RECORD
  return hosts.tell(lambda: json.loads(file.read_text("utf-8")))
