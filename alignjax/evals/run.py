"""A model through its tasks: items and numbers on disk, as far as it has come.

A folder holds `items/TASK.jsonl`, a line an item in the task's order, beside it
`TASK.json`, what the items are of, and `summary.json`, every number of which
can be computed again from them. What is answered is kept batch by batch in
`items/TASK.part.jsonl`, so the same command goes on where it stopped. One host
reads and writes; the others are told what is left to ask.
"""

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from alignjax.evals import answering, summary
from alignjax.evals.answering import Subject
from alignjax.evals.items import Item, Line, Task, line_of
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
  """The summary of all tasks, written to the folder; {} on other hosts.

  about: what is known of the model, with its "sha256"; kept in the summary.
  show: called with a task's name, its batches that are done and all of them.

  Raises ValueError where the folder holds items of another model, or of another
  form of the task, and where two items have one id.
  """
  first = jax.process_index() == 0
  for name, task in tasks.items():  # all of them, before any is answered
    _check(name, task, subject)
    if first:
      (folder / "items").mkdir(parents=True, exist_ok=True)
      _held(folder, name, _key(task, about))
  found, seconds = {}, {}
  for name, task in tasks.items():
    began = time.monotonic()
    lines = _lines(name, task, subject, folder, _key(task, about), show)
    if first:
      found[name] = {
        "about": {"kind": task.kind, **task.about},
        "main": task.main,
        **summary.numbers(lines, seed=seed, totals=task.totals),
      }
    seconds[name] = round(time.monotonic() - began, 1)
  if not first:
    return {}
  out = {
    "model": dict(about),
    "seed": seed,
    "tasks": {**_others(folder, about, seed), **found},
    "code": environment(),
    "seconds": seconds,
  }
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
) -> list[Line]:
  """All lines of a task in its order; those not on disk yet are made."""
  first = jax.process_index() == 0
  known = _held(folder, name, key) if first else {}
  left = _left(task, known)
  if not first:
    for _, done, total in _asked(task, left, subject):
      show(name, done, total)
    return []
  whole = folder / "items" / f"{name}.jsonl"
  part = whole.with_suffix(".part.jsonl")
  if left:
    # Without a last line that was cut short.
    replace_file(part, "".join(map(line, [{"of": key}, *known.values()])))
    file = Lines(part, patient=False)
    for found, done, total in _asked(task, left, subject):
      rows = [_scored(name, task, left[i], found[i]) for i in found]
      # As they are read back, so that no number depends on a resumption.
      known |= {row["id"]: json.loads(line(row)) for row in rows}
      file.append(rows)
      show(name, done, total)
    file.close()
  lines = [known[item.id] for item in task.items]
  # In this order: a kill between two of them leaves what the next run mends.
  replace_file(whole.with_suffix(".json"), json.dumps(key) + "\n")
  replace_file(whole, "".join(map(line, lines)))
  part.unlink(missing_ok=True)
  return lines


def _asked(task: Task, left: list[Item], subject: Subject) -> Iterator:
  return answering.outputs(task, left, subject) if left else iter(())


def _scored(name: str, task: Task, item: Item, output: Mapping) -> Line:
  row = line_of(item)
  numbers = [x for k in ("logps", "scores") for x in output.get(k, ())]
  if not all(map(math.isfinite, numbers)):
    raise ValueError(
      f"{name}: {item.id}: the model says {numbers}, which are no finite "
      "numbers.\nTake --config.model.dtype=float32, or look at its weights."
    )
  return row | {"output": dict(output), "scores": task.score(row, output)}


def _left(task: Task, known: Mapping[str, Line]) -> list[Item]:
  """What is to be asked yet, as the first host knows it."""
  mask = np.array([item.id not in known for item in task.items])
  if jax.process_count() > 1:
    mask = multihost_utils.broadcast_one_to_all(mask)
  return [item for item, missing in zip(task.items, mask) if missing]


def _held(folder: Path, name: str, key: dict) -> dict[str, Line]:
  """Items answered before, by id.

  Raises ValueError where they are of something else.
  """
  whole = folder / "items" / f"{name}.jsonl"
  part, of = whole.with_suffix(".part.jsonl"), whole.with_suffix(".json")
  rows: list[Line] = []
  if whole.exists() and of.exists():
    said, rows = json.loads(of.read_text("utf-8")), read_metrics(whole)
  elif part.exists():
    head, *rows = read_metrics(part) or [{}]
    said = head.get("of", {})
  elif whole.exists():
    raise ValueError(
      f"{whole} has no {of.name} beside it, which says what its items are of."
      "\nGive another --workdir, or remove that file."
    )
  else:
    return {}
  other = [k for k in key if said.get(k) != key[k]]
  if other:
    raise ValueError(
      f"{folder} holds items of {name} with another {other[0]}: "
      f"{said.get(other[0])}, now {key[other[0]]}.\n"
      "Give another --workdir, or remove that one."
    )
  return {row["id"]: row for row in rows}


def _others(folder: Path, about: Mapping, seed: int) -> dict:
  """Tasks that an earlier summary of the same model has."""
  file = folder / "summary.json"
  if not file.is_file():
    return {}
  told = json.loads(file.read_text("utf-8"))
  same = told["model"] == dict(about) and told["seed"] == seed
  return told["tasks"] if same else {}


def _check(name: str, task: Task, subject: Subject) -> None:
  """Raises ValueError for what cannot be asked, before anything is."""
  if not task.items:
    raise ValueError(f"{name} has no item; check its path, split and limit.")
  (often, count), *_ = Counter(x.id for x in task.items).most_common(1)
  if count > 1:
    raise ValueError(
      f"{name}: {count} items have the id {often!r}; each needs its own."
    )
  most = subject.lm.config.max_length
  if task.max_tokens >= most:
    raise ValueError(
      f"{name}: max_tokens = {task.max_tokens} leaves no room for a prompt; "
      f"the model takes {most}.\nLower --config.tasks.{name}.max_tokens."
    )
  if task.kind in ("choices", "answers", "texts") and subject.lm.config.scores:
    raise ValueError(
      f"{name} asks a language model, and this is a reward model.\n"
      "It can be asked preferences."
    )


def _key(task: Task, about: Mapping) -> dict:
  """What items on disk must have been made of to be gone on with."""
  # Where a row came from may be written in many ways.
  items = [line_of(item) | {"origin": ""} for item in task.items]
  rules = task.kind, task.about, task.max_tokens, task.stop
  asked = json.dumps([items, rules], sort_keys=True)
  return {
    "model": str(about.get("sha256", ""))[:16],
    "arithmetic": str(about.get("dtype", "")),
    "template": str(about.get("template", "")),
    "task": hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16],
  }
