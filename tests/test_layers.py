"""Who may import whom: floors, rooms and cycles, read from the source."""

import ast
import shutil
from graphlib import CycleError, TopologicalSorter

import pytest

# Room → floor. A file imports only from lower floors and from its own room.
# F4: gradients, samples, weights in and out. F5 rests on their records.
FLOORS = {
  "types": 0,
  "ops": 1,
  "statistics": 1,
  "sharding": 1,
  "models": 2,
  "kernels": 2,
  "data": 2,
  "metrics": 2,
  "alarms": 2,
  "optim": 2,
  "log": 2,
  "remote": 3,
  "losses": 3,
  "rewards": 3,
  "totals": 3,
  "step": 4,
  "annotate": 4,
  "sample": 4,
  "pretrained": 4,
  "checkpoint": 5,
  "experience": 5,
  "generate": 5,
  "rollout": 5,
  "report": 5,
  "scoring": 6,
  "evals": 7,
  "instruct": 8,
  "build": 9,
  "train": 10,
  "inspection": 10,
  "feedback": 10,
  "studies": 11,
  "plan": 11,
  "options": 12,
  "cli": 13,
  "": 13,  # alignjax/__init__.py, the public face
}


def imports_of(file, known):
  """Modules that a file imports, wherever in it; `known` are files of ours."""
  for node in ast.walk(ast.parse(file.read_text("utf-8"))):
    if isinstance(node, ast.Import):
      yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = "." * node.level + (node.module or "")
      for name in node.names:
        inner = f"{base}.{name.name}"
        yield inner if inner in known else base


def graph_of(root):
  """file name → (module, imported modules), of the package."""
  files = sorted((root / "alignjax").rglob("*.py"))
  names = {}
  for file in files:
    parts = file.relative_to(root).with_suffix("").parts
    names[".".join(p for p in parts if p != "__init__")] = file
  return {
    module: (file.relative_to(root), sorted(set(imports_of(file, names))))
    for module, file in names.items()
  }


def room(module):
  return module.split(".")[1] if "." in module else ""


def faults(root):
  """One line for every import that breaks a rule: importer, imported, rule."""
  graph, found = graph_of(root), []

  def fault(file, imported, rule):
    found.append(f"{file} imports {imported}: {rule}")

  for module, (file, imported) in graph.items():
    here = room(module)
    if here not in FLOORS:
      found.append(f"{file}: room {here!r} has no floor; add it to FLOORS")
      continue
    for other in imported:
      if other.startswith("."):
        fault(file, other, "relative imports are not used")
      if other.split(".")[0] == "configs":
        fault(file, other, "the package knows no config")
      if other.split(".")[0] != "alignjax":
        continue
      there = room(other)
      if there == here:
        continue
      if there not in FLOORS:
        fault(file, other, "there is no such room")
      elif FLOORS[there] > FLOORS[here]:
        rule = f"floor {FLOORS[here]} may not import floor {FLOORS[there]}"
        fault(file, other, rule)
      elif FLOORS[there] == FLOORS[here]:
        fault(file, other, "rooms on one floor do not import each other")
  edges = {m: [o for o in i if o in graph] for m, (_, i) in graph.items()}
  try:
    list(TopologicalSorter(edges).static_order())
  except CycleError as error:
    ring = " imports ".join(str(graph[m][0]) for m in reversed(error.args[1]))
    found.append(f"{ring}: cycles are not allowed")
  for file in sorted((root / "configs").glob("*.py")):
    for other in set(imports_of(file, {"configs.common"})):
      if other not in ("ml_collections", "configs.common"):
        rule = "a config imports ml_collections and configs.common alone"
        fault(file.relative_to(root), other, rule)
  return found


def test_every_import_goes_down(root):
  found = faults(root)
  assert not found, "\n".join(found)


CULPRITS = [
  (
    "alignjax/losses/sft.py",
    "from alignjax import train",
    "alignjax/losses/sft.py imports alignjax.train: "
    "floor 3 may not import floor 10",
  ),
  (
    "alignjax/models/lm.py",
    "def f():\n  from alignjax.data.loader import collate",
    "alignjax/models/lm.py imports alignjax.data.loader: "
    "rooms on one floor do not import each other",
  ),
  (
    "alignjax/ops/attention.py",
    "import alignjax.ops.masked",
    "alignjax/ops/masked.py imports alignjax/ops/attention.py imports "
    "alignjax/ops/masked.py: cycles are not allowed",
  ),
  (
    "alignjax/utils.py",
    "import os",
    "alignjax/utils.py: room 'utils' has no floor; add it to FLOORS",
  ),
  (
    "alignjax/optim.py",
    "from .types import Batch",
    "alignjax/optim.py imports .types: relative imports are not used",
  ),
  (
    "alignjax/build/models.py",
    "from configs import common",
    "alignjax/build/models.py imports configs: the package knows no config",
  ),
  (
    "configs/sft.py",
    "import jax",
    "configs/sft.py imports jax: "
    "a config imports ml_collections and configs.common alone",
  ),
]


@pytest.mark.parametrize("file, line, message", CULPRITS)
def test_a_planted_culprit_is_named(root, tmp_path, file, line, message):
  for folder in ("alignjax", "configs"):
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / folder, tmp_path / folder, ignore=ignore)
  with open(tmp_path / file, "a") as f:
    f.write(f"\n{line}\n")
  assert faults(tmp_path) == [message]
