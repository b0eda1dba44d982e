"""The record of a run that is saved beside its arrays, and its comparison."""

import json
from collections.abc import Mapping

RECORD = "record.json"  # beside the arrays of a step
SHOWN = 3  # differences that a message has room for


def differing(found: Mapping, wanted: Mapping) -> list[str]:
  """A line for every key of `wanted` that the record has otherwise."""
  wanted = json.loads(json.dumps(dict(wanted)))  # tuples are lists in a record
  return [
    f"{k} = {found.get(k)!r}; the config says {v!r}"
    for k, v in wanted.items()
    if k not in found or found[k] != v
  ]


def refuse(found: Mapping, wanted: Mapping) -> None:
  """Raises ValueError where a record is not of the run that is wanted."""
  lines = differing(found, wanted)
  if not lines:
    return
  shown = lines[:SHOWN]
  if len(lines) > SHOWN:
    rest = (line.split(" = ")[0] for line in lines[SHOWN:])
    shown[-1] += f" (and {', '.join(rest)})"
  raise ValueError(
    "\n".join(
      (
        "The run's checkpoint was made with other values:",
        *shown,
        "Use another --workdir, or the first values.",
      )
    )
  )
