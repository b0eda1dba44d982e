"""Tasks with instances (Wang et al. 2023) as rows: a reader.

  data.train.reader = "alignjax.data.self_instruct.read"

A line is a task: `instruction` and `instances`, each with `input` and `output`.
"""

from collections.abc import Iterator

from alignjax.data import folders
from alignjax.data.bad import BadRow
from alignjax.data.lines import Item, read_nested


def read(path: str, split: str) -> Iterator[Item]:
  """An Alpaca row for each instance of each task, in file order.

  path: a file of JSON Lines, or a folder with the split in their names. The
    origin of a row is `file:line#instance`, counted from 0.
  """
  for file in folders.find(path, split):
    yield from read_nested(file, _rows)


def _rows(task: dict, origin: str) -> list[Item]:
  if "instruction" not in task or not isinstance(task.get("instances"), list):
    keys = ", ".join(task) or "none"
    reason = f"a task needs instruction and a list of instances, keys: {keys}"
    raise BadRow(origin, "missing field", reason, str(task))
  found = []
  for i, one in enumerate(task["instances"]):
    if not isinstance(one, dict) or not {"input", "output"} <= one.keys():
      reason = f"instance {i} must have input and output: {repr(one)[:60]}"
      raise BadRow(origin, "missing field", reason, str(task))
    row = {k: one[k] for k in ("input", "output")}
    found.append((row | {"instruction": task["instruction"]}, f"{origin}#{i}"))
  return found
