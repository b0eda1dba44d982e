"""Tasks of lm-evaluation-harness, and what a model finds in them."""

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from alignjax.evals.answering import Subject
from alignjax.evals.harness import harness, missing
from alignjax.evals.run import Show
from alignjax.evals.summary import numbers, plain
from alignjax.log.provenance import environment

# Of what the harness returns: not what it finds out of the machine.
KEPT = ("results", "groups", "configs", "versions", "n-shot", "n-samples")
KEPT += ("config", "samples")


def index(tasks: Sequence[str], include_path: str | Path | None = None) -> Any:
  """The `lm_eval.tasks.TaskManager` that knows these tasks.

  include_path: a folder of task files (YAML), looked into first. The harness's
  own, of which there are thousands, are read only where they are needed.

  Raises ImportError without the package, FileNotFoundError for a folder that is
  not there, ValueError for an unknown task.
  """
  try:
    from lm_eval.tasks import TaskManager
  except ImportError as error:
    raise missing(error) from error
  if include_path and not Path(include_path).is_dir():
    raise FileNotFoundError(f"No folder of task files {include_path}.")
  if include_path:
    own = TaskManager(include_path=include_path, include_defaults=False)
    if set(tasks) <= set(own.all_subtasks):
      return own
  found = TaskManager(include_path=include_path)
  known = found.all_tasks
  for name in tasks:
    if name not in known:
      close = ", ".join(difflib.get_close_matches(name, known, 5)) or "none"
      raise ValueError(
        f"The harness has no task {name!r}; close to it: {close}.\n"
        "Give the folder that holds its YAML file: --include-path."
      )
  return found


def run(
  subject: Subject,
  tasks: Sequence[str],
  *,
  about: Mapping,
  shots: int | None,
  limit: int | None,
  index: Any,
  chat: bool,
  show: Show = lambda name, done, total: None,
) -> dict:
  """Tasks of the harness, by name: what they find, ready for JSON.

  about: what is known of the model. shots: examples, None for the task's own
  number; a task that asks for none is left at none. limit: items a task, None
  for all. index: what `index` found. chat: prompts are conversations, examples
  turns of them.

  "tasks" is as in a summary of `run.evaluate`; a metric that is not a mean over
  items has no interval. "harness" is what the harness returns, its samples and
  seeds among it; the seeds are its defaults, so that examples are those of
  other tables.

  Raises what the methods of `harness` do.
  """
  model = harness(subject, show)
  from lm_eval import simple_evaluate
  from lm_eval.utils import handle_non_serializable

  found = simple_evaluate(
    model=model,
    tasks=list(tasks),
    num_fewshot=shots,
    limit=limit,
    bootstrap_iters=0,  # intervals are made here, without other processes
    apply_chat_template=chat,
    task_manager=index,
  )
  text = json.dumps(found, default=handle_non_serializable)
  found = json.loads(text)
  kept = {k: found[k] for k in KEPT if k in found}
  return plain(
    {
      "model": dict(about),
      "chat": chat,
      "tasks": {k: _numbers(k, found) for k in found["results"]},
      "harness": {"version": found["lm_eval_version"], **kept},
      "code": environment(),
    }
  )


def _numbers(name: str, found: Mapping) -> dict:
  """A task, or a group of them, as in a summary."""
  own = found["results"][name]
  lines = [
    {
      "id": str(sample["doc_id"]),
      "scores": {
        f"{k},{sample['filter']}": float(sample[k])
        for k in sample["metrics"]
        if isinstance(sample[k], Real) and math.isfinite(sample[k])
      },
    }
    for sample in found["samples"].get(name, ())
  ]
  means = numbers(lines, seed=0)["metrics"]
  metrics = {}
  for key, value in own.items():
    metric, comma, filtered = key.partition(",")
    if not comma or metric.endswith("_stderr") or not isinstance(value, Real):
      continue
    # A score of items may be made into something other than its mean.
    known = means.get(key, {"mean": None})
    if known["mean"] is None or not math.isclose(known["mean"], value):
      n = own.get("sample_len")
      known = {"mean": value, "error": None, "low": None, "high": None, "n": n}
    metrics[metric if filtered == "none" else key] = known
  about = {"kind": "harness", "shots": found["n-shot"].get(name)}
  return {"about": about, "items": own.get("sample_len"), "metrics": metrics}
