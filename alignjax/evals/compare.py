"""Models side by side on the same items: what alignment brought and cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alignjax.evals.summary import plain
from alignjax.log.records import read_metrics
from alignjax.statistics import intervals, paired


def compare(
  models: Mapping[str, Path],
  *,
  seed: int,
  trained: Sequence[str] = (),
  groups: bool = False,
) -> dict:
  """One row a task and metric: the first model's value, the others beside it.

  models: name → folder of `alignjax evaluate` (or its summary.json). trained:
    tasks that models were trained on, told apart in what is said. groups: also
    a row for each group of a task.

  A difference is of the items that both have, paired, items of one cluster
  drawn together; "better" or "worse" where Holm's procedure over all
  differences of the comparison rejects that there is none at 5 %, else "".

  Raises ValueError for folders whose items are not of the same task.
  """
  if len(models) < 2:
    raise ValueError("A comparison needs two models or more, NAME=FOLDER.")
  folders = {
    name: p.parent if p.name == "summary.json" else p
    for name, p in models.items()
  }
  summaries = {name: _summary(name, folder) for name, folder in folders.items()}
  base, *others = models
  tasks = summaries[base]["tasks"]
  unknown = sorted(set(trained) - set(tasks))
  if unknown:
    raise ValueError(
      f"--trained {unknown[0]} is no task of {base}; it has {', '.join(tasks)}."
    )
  rows = []
  for task, told in tasks.items():
    lines = {name: _lines(folders, name, base, task) for name in models}
    ways = [""]
    if groups:
      known = [line.get("group", "") for line in lines[base].values()]
      ways += [group for group in dict.fromkeys(known) if group]
    for group in ways:
      for metric, way in told["main"].items():
        row = _row(lines, metric, group, seed)
        if row is not None:
          head = {"task": task, "group": group, "metric": metric}
          rows.append(head | {"way": way, "trained": task in trained} | row)
  _mark(rows, others)
  return plain(
    {"base": base, "models": list(models), "seed": seed, "rows": rows}
  )


def _row(lines: Mapping, metric: str, group: str, seed: int) -> dict | None:
  """Values and differences of one metric; None where it is not there."""

  def scores(name):
    return {
      k: line["scores"][metric]
      for k, line in sorted(lines[name].items())  # sums are of one order
      if metric in line["scores"] and group in ("", line.get("group", ""))
    }

  base, *others = lines
  first = scores(base)
  if not first:
    return None
  clusters = {k: line.get("cluster") or k for k, line in lines[base].items()}

  def value(own):
    at = np.unique([clusters[k] for k in own], return_inverse=True)[1]
    return intervals.mean(np.array([*own.values()], float), at, seed=seed)

  found = {"values": {base: value(first)}, "differences": {}}
  for name in others:
    second = scores(name)
    if not second:
      return None
    ids, b, a = paired.shared(first, second)
    at = np.unique([clusters[k] for k in ids], return_inverse=True)[1]
    found["values"][name] = value(second)
    change = paired.difference(a, b, at, seed=seed)
    found["differences"][name] = change.estimate._asdict() | {"p": change.p}
  return found


def _mark(rows: Sequence[dict], others: Sequence[str]) -> None:
  """Holm over all differences together, groups' among them."""
  every = [row["differences"][name] for row in rows for name in others]
  ways = [row["way"] for row in rows for _ in others]
  for way, found, p in zip(
    ways, every, paired.adjusted([x["p"] for x in every])
  ):
    up = (found["mean"] > 0) == (way == "up")
    found["adjusted"] = p
    found["verdict"] = ("better" if up else "worse") if p <= 0.05 else ""


def _summary(name: str, folder: Path) -> dict:
  file = folder / "summary.json"
  if not file.is_file():
    raise FileNotFoundError(
      f"{name}: no {file}.\nGive a folder that `alignjax evaluate --workdir` "
      "wrote to its end."
    )
  return json.loads(file.read_text("utf-8"))


def _lines(folders: Mapping, name: str, base: str, task: str) -> dict:
  """id → line of a task; the task must be the base's."""
  keys = {}
  for who in (base, name):
    file = folders[who] / "items" / f"{task}.json"
    if not file.is_file():
      raise ValueError(
        f"{who} was not asked {task}; evaluate all models on the same tasks."
      )
    keys[who] = json.loads(file.read_text("utf-8"))["task"]
  if keys[name] != keys[base]:
    raise ValueError(
      f"{base} and {name} were asked other items of {task}, or in another way."
      "\nEvaluate both with the same config."
    )
  rows = read_metrics(folders[name] / "items" / f"{task}.jsonl")
  return {row["id"]: row for row in rows}
