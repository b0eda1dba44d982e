"""The log of one run."""

import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from typing import SupportsFloat

import numpy as np

from alignjax.log.events import Events
from alignjax.log.progress import Progress
from alignjax.log.records import Lines, cut
from alignjax.log.table import KEPT, NAME, line, spread, three

RESERVED = ("step", "nonfinite", "wall_s")
FILES = ("metrics", "evaluations", "samples", "events")


class RunLog:
  """Writes a run's numbers and samples to its folder, and shows progress.

  A resumed run (`start_step` > 0) keeps the rows up to and with that step and
  cuts later ones, which it is about to write again; a run from step 0 starts
  empty files. `kept` counts the rows of each step, by file; not those of
  rollouts, which are no answers to the fixed prompts.

  Args:
    workdir: the run folder, made if missing.
    total_steps: steps of the whole run, for the estimate of the time left.
    start_step: the last step already done.
    tensorboard: whether to write events too.
    wandb: arguments of `wandb.init`, None for no Weights & Biases.
    patient: rows that the disk refuses wait in memory and are written when it
      takes them; otherwise they are an error.
    stream: where progress goes, standard error by default.

  Raises:
    ImportError: wandb is asked for and not installed.
    NotADirectoryError: `workdir` is a file.
  """

  def __init__(
    self,
    workdir: str | Path,
    *,
    total_steps: int,
    start_step: int = 0,
    tensorboard: bool = True,
    wandb: dict | None = None,
    patient: bool = False,
    stream: TextIOBase | None = None,
  ):
    workdir = Path(workdir)
    if workdir.exists() and not workdir.is_dir():
      raise NotADirectoryError(
        f"{workdir} is a file; the run folder must be a directory\n"
        "choose another --workdir"
      )
    workdir.mkdir(parents=True, exist_ok=True)
    # Before rows are cut: a missing package must cost nothing.
    self._wandb = None if wandb is None else _start_wandb(workdir, wandb)
    self.kept, self._files = {}, {}
    for name in FILES:
      path = workdir / f"{name}.jsonl"
      rows = cut(path, start_step)
      self.kept[name] = Counter(
        row.get("step", 0) for row in rows if row.get("name") != NAME
      )
      self._files[name] = Lines(path, patient)
      if name == "metrics":
        before = rows[-1].get("wall_s", 0.0) if rows else 0.0
        self._began = time.monotonic() - before
    self._progress = Progress(stream or sys.stderr, total_steps, start_step)
    self._events = None
    if tensorboard:
      # Events from here on belong to rows that were cut above.
      first = start_step + 1 if start_step else 0
      self._events = Events(workdir / "tensorboard", first, self.message)

  def write(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
    """Appends a step's row to metrics.jsonl; one row a step.

    `wall_s`, seconds of training, is added.

    A number that is not finite is written as null and its name listed under
    "nonfinite", so that every line is valid JSON.

    Raises:
      ValueError: a value is named as one of the row's own fields.
    """
    self._write("metrics", step, values, "")

  def _write(self, file: str, step: int, values: Mapping, prefix: str):
    taken = [name for name in RESERVED if name in values]
    if taken:
      raise ValueError(
        f"a metric may not be called {taken[0]!r}: the log writes that itself\n"
        f"rename it; taken names: {', '.join(RESERVED)}"
      )
    numbers = {name: _number(value) for name, value in values.items()}
    bad = [name for name, x in numbers.items() if not _finite(x)]
    row = {"step": int(step), **numbers, **dict.fromkeys(bad)}
    if bad:
      row["nonfinite"] = bad
    row["wall_s"] = round(time.monotonic() - self._began, 3)
    self._append(file, [row])
    shown = {prefix + name: x for name, x in numbers.items()}
    if self._events is not None:
      self._events.scalars(row["step"], shown)
    if self._wandb is not None:
      self._wandb.log(shown, step=row["step"])

  def evaluation(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
    """Appends held-out metrics to evaluations.jsonl.

    As `write`; TensorBoard and W&B show the names after "eval/".
    """
    self._write("evaluations", step, values, "eval/")

  def event(self, step: int, kind: str, values: Mapping) -> None:
    """Appends to events.jsonl what befell a step: its `kind`, and more."""
    finite = {k: v if _finite(v) else None for k, v in values.items()}
    self._append("events", [{"step": int(step), "kind": kind, **finite}])

  def text(self, step: int, name: str, samples: Sequence[dict]) -> None:
    """Appends sampled completions, each with "prompt" and "completion"."""
    rows = []
    for sample in samples:
      known = {k: v if _finite(v) else None for k, v in sample.items()}
      rows.append({"step": int(step), "name": name, **known})
    self._append("samples", rows)
    if self._events is not None and samples:
      self._events.text(int(step), name, _markdown(samples))

  def rollout(
    self,
    step: int,
    metrics: Mapping[str, float],
    table: Sequence[dict],
    *,
    drawn: bool,
  ) -> None:
    """Tells the means of a rollout in a line and keeps `KEPT` of its rows.

    They go to samples.jsonl, under the name "rollouts". step: the first that
    learns from it. drawn: three rows are shown too (`log.table.three`).
    """
    self.text(step, NAME, spread(table, KEPT))
    self.message(f"step {step}: {line(metrics)}")
    if drawn:
      self._progress.table(three(table))

  def progress(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
    """Shows step, loss, tokens/s and time left: a bar or plain lines."""
    self._progress.show(int(step), values)

  def message(self, text: str) -> None:
    """Prints a line above the progress bar."""
    self._progress.message(text)

  def close(self) -> None:
    """Flushes and closes every file; the log takes no more rows."""
    self._progress.close()
    for file in self._files.values():
      if lost := file.close():
        self.message(lost)
    if self._events is not None:
      self._events.close()
    if self._wandb is not None:
      self._wandb.finish()

  def _append(self, name: str, rows: Sequence[Mapping]) -> None:
    if trouble := self._files[name].append(rows):
      self.message(trouble)

  def __enter__(self) -> "RunLog":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()


class NoLog:
  """The log of a host that keeps none: `RunLog`'s methods, without effect."""

  def __init__(self):
    self.kept = dict.fromkeys(FILES, Counter())

  def write(self, step: int, values: Mapping) -> None: ...
  def evaluation(self, step: int, values: Mapping) -> None: ...
  def event(self, step: int, kind: str, values: Mapping) -> None: ...
  def text(self, step: int, name: str, samples: Sequence[dict]) -> None: ...
  def rollout(self, step: int, metrics: Mapping, table, *, drawn) -> None: ...
  def progress(self, step: int, values: Mapping) -> None: ...
  def message(self, text: str) -> None: ...
  def close(self) -> None: ...
  def __enter__(self) -> "NoLog":
    return self

  def __exit__(self, *error: object) -> None: ...


def _number(value: SupportsFloat) -> int | float:
  array = np.asarray(value)
  return int(array) if array.dtype.kind in "iub" else float(array)


def _finite(value: object) -> bool:
  return not isinstance(value, float) or math.isfinite(value)


def _markdown(samples: Sequence[dict]) -> str:
  blocks = []
  for sample in samples:
    for part in ("prompt", "completion"):
      # An indented block keeps the text literal.
      body = str(sample.get(part, "")).replace("\n", "\n    ")
      blocks.append(f"**{part}**\n\n    {body}")
  text = "\n\n".join(blocks)
  return text.encode("utf-8", "replace").decode("utf-8")


def _start_wandb(workdir: Path, arguments: dict):
  try:
    import wandb
  except ImportError as error:
    raise ImportError(
      "logging to Weights & Biases needs the package wandb\n"
      "pip install 'alignjax[wandb]', or switch it off"
    ) from error
  return wandb.init(**{"dir": str(workdir), **arguments})
