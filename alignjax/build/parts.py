"""The sources of data.train and data.eval: one, or the parts of a mixture."""

import math

from ml_collections import ConfigDict


def given(spec: ConfigDict) -> bool:
  """Whether there is anything to read."""
  return bool(spec.path or spec.reader or spec.parts)


def parts(spec: ConfigDict, name: str, held: bool) -> dict[str, ConfigDict]:
  """The sources of `data.train` or `data.eval` by name; "" where it is one.

  held: whether all rows are taken once, so that shares mean nothing.

  Raises ValueError for options without effect.
  """
  if not spec.parts:
    if spec.weight or spec.cap:
      raise ValueError(
        f"{name}: weight = {spec.weight} and cap = {spec.cap} are for parts of "
        f"a mixture.\nSet both to 0, or make it a part of {name}.parts."
      )
    return {"": spec}
  own = [key for key in ("path", "reader", "weight", "cap") if spec[key]]
  if own:
    raise ValueError(
      f"{name} has parts, so {', '.join(own)} of its own would have no effect."
      f"\nMove it into a part of {name}.parts."
    )
  found = dict(sorted(spec.parts.items()))
  for part, s in found.items():
    where = f"{name}.parts.{part}"
    if s.parts:
      raise ValueError(
        f"{where} has parts of its own.\nA mixture has one level: write them "
        f"into {name}.parts."
      )
    if s.weight < 0 or s.cap < 0 or not math.isfinite(s.weight):
      raise ValueError(
        f"{where}: weight = {s.weight}, cap = {s.cap}; neither may be negative."
        "\nLeave the part out to take none of its rows."
      )
    if held and (s.weight or s.cap):
      raise ValueError(
        f"{where}: weight = {s.weight}, cap = {s.cap}; held-out rows are all "
        "taken, once.\nSet both to 0; limit takes the first rows."
      )
  weighted = [part for part, s in found.items() if s.weight]
  if weighted and len(weighted) < len(found):
    lacking = [part for part in found if part not in weighted]
    raise ValueError(
      f"{name}: {', '.join(weighted)} have a weight, {', '.join(lacking)} "
      "none.\nGive all parts one, or none: then shares are by min(rows, cap)."
    )
  capped = [part for part, s in found.items() if s.cap]
  if weighted and capped:
    raise ValueError(
      f"{name}: {', '.join(capped)} have a cap, which has no effect beside "
      "weights.\nUse limit to take fewer rows of a part."
    )
  return found
