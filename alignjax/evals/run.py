"""A model through its tasks: items and numbers on disk, as far as it has come.

A folder holds `items/TASK.jsonl`, a line an item in the task's order, and
`summary.json`, every number of which can be computed again from them. What is
answered is kept batch by batch in `items/TASK.part.jsonl`, so the same command
goes on where it stopped.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax

from alignjax.evals import answering, summary
from alignjax.evals.answering import Subject
from alignjax.evals.items import Task, line_of
from alignjax.log.provenance import environment
from alignjax.log.records import Lines, line, read_metrics, replace_file

Show = Callable[[str, int, int], None]


def evaluate(
  tasks: Mapping[str, Task],
  subject: Subject,
  folder: Path,
  *,
  about: Mapping,
  seed: int,
  show: Show,
) -> dict:
  """The summary of all tasks, written to the folder.

  about: what is known of the model, with its "sha256"; kept in the summary.
  show: called with a task's name, its batches that are done and all of them.

  Raises ValueError where the folder holds items of another model, or of another
  form of the task.
  """
  (folder / "items").mkdir(parents=True, exist_ok=True)
  for name, task in tasks.items():  # all of them, before any is answered
    _held(folder, name, _key(task, about))
  found, seconds = {}, {}
  for name, task in tasks.items():
    began = time.monotonic()
    lines = _lines(name, task, subject, folder, _key(task, about), show)
    found[name] = {
      "about": {"kind": task.kind, **task.about},
      "main": task.main,
      **summary.numbers(lines, seed=seed, totals=task.totals),
    }
    seconds[name] = round(time.monotonic() - began, 1)
  out = {
    "model": dict(about),
    "seed": seed,
    "tasks": found,
    "code": environment(),
    "seconds": seconds,
  }
  if jax.process_index() == 0:
    text = json.dumps(out, indent=1, ensure_ascii=False)
    replace_file(folder / "summary.json", text + "\n")
  return out


def _lines(
  name: str,
  task: Task,
  subject: Subject,
  folder: Path,
  key: dict,
  show: Show,
) -> list[dict]:
  """All lines of a task in its order; those not on disk yet are made."""
  whole = folder / "items" / f"{name}.jsonl"
  part = whole.with_suffix(".part.jsonl")
  if whole.exists():
    return read_metrics(whole)
  known = {row["id"]: row for row in _held(folder, name, key)}
  left = [item for item in task.items if item.id not in known]
  first = jax.process_index() == 0
  if first and not part.exists():
    replace_file(part, line({"of": key}))
  elif first:  # without a last line that was cut short
    rows = [{"of": key}, *known.values()]
    replace_file(part, "".join(map(line, rows)))
  file = Lines(part, patient=False) if first else None
  outputs = answering.outputs(task, left, subject) if left else ()
  for found, done, total in outputs:
    rows = []
    for i, output in found.items():
      row = line_of(left[i])
      scores = task.score(row, output)
      rows.append(row | {"output": dict(output), "scores": scores})
    # As they are read back, so that no number depends on a resumption.
    known |= {row["id"]: json.loads(line(row)) for row in rows}
    if file is not None:
      file.append(rows)
    show(name, done, total)
  lines = [known[item.id] for item in task.items]
  if file is not None:
    file.close()
    replace_file(whole, "".join(map(line, lines)))
    replace_file(whole.with_suffix(".json"), json.dumps(key) + "\n")
    part.unlink()
  return lines


def _held(folder: Path, name: str, key: dict) -> list[dict]:
  """Items answered before; ValueError where they are of something else."""
  part = folder / "items" / f"{name}.part.jsonl"
  kept = folder / "items" / f"{name}.json"
  rows: list[dict] = []
  if kept.exists():
    said = json.loads(kept.read_text("utf-8"))
  elif part.exists():
    head, *rows = read_metrics(part) or [{"of": {}}]
    said = head.get("of", {})
  else:
    return []
  other = [k for k in key if said.get(k) != key[k]]
  if other:
    raise ValueError(
      f"{folder} holds items of {name} with another {other[0]}: "
      f"{said.get(other[0])}, now {key[other[0]]}.\n"
      "Give another --workdir, or remove that one."
    )
  return rows


def _key(task: Task, about: Mapping) -> dict:
  """What items on disk must have been made of to be gone on with."""
  items = [line_of(item) for item in task.items]
  rules = task.kind, task.about, task.max_tokens, task.stop
  asked = json.dumps([items, rules], sort_keys=True)
  return {
    "model": str(about.get("sha256", ""))[:16],
    "arithmetic": str(about.get("dtype", "")),
    "template": str(about.get("template", "")),
    "task": hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16],
  }
