"""How far the run is: a bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, SupportsFloat

import rich.console
import rich.progress
import rich.table

from alignjax.log.table import WIDTH, plain

PLAIN_EVERY_S = 5.0  # off a terminal, at most one progress line in this time


class Progress:
  """Step, numbers and time left: a bar on a terminal, lines elsewhere."""

  def __init__(self, stream: Any, total: int, start: int):
    self.stream, self.total = stream, total
    self.times = deque([], maxlen=50)  # (step, seconds), for the recent rate
    self.printed = -math.inf
    self.bar = None
    if stream.isatty():
      self.bar = rich.progress.Progress(
        rich.progress.TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.TextColumn("{task.fields[numbers]}", markup=False),
        console=rich.console.Console(file=stream),
        refresh_per_second=4,
        # Output sent to a file must not be drawn into the terminal.
        redirect_stdout=sys.stdout.isatty(),
      )
      self.task = self.bar.add_task(
        "", total=total, completed=start, numbers=""
      )

  def show(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
    """A step's loss and rate, and the time left."""
    now = time.monotonic()
    self.times.append((step, now))
    numbers = "  ".join(_shown(values) + self._left(step))
    if self.bar is not None:
      self.bar.start()
      self.bar.update(self.task, completed=step, numbers=numbers)
    elif now - self.printed >= PLAIN_EVERY_S or step >= self.total:
      self.printed = now
      self.message(f"step {step}/{self.total}  {numbers}".rstrip())

  def _left(self, step: int) -> list[str]:
    (first, began), (_, now) = self.times[0], self.times[-1]
    if step <= first:
      return []  # one step says nothing: it holds the compilation
    seconds = (now - began) / (step - first) * max(self.total - step, 0)
    return [f"eta {_clock(seconds)}"]

  def message(self, text: str) -> None:
    """A line of its own, above the bar where there is one."""
    if self.bar is not None:
      self.bar.console.print(text, markup=False, highlight=False)
    else:
      self.stream.write(text + "\n")
      self.stream.flush()

  def table(self, table: rich.table.Table) -> None:
    """A table, above the bar where there is one; plain lines elsewhere."""
    if self.bar is None:
      self.message(plain(table))
    else:
      console = self.bar.console
      console.print(table, width=min(WIDTH, console.width))

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self.bar is not None:
      self.bar.stop()


def _shown(values: Mapping[str, SupportsFloat]) -> list[str]:
  shown = []
  if "loss" in values:
    shown.append(f"loss {float(values['loss']):.4f}")
  if "tokens_per_s" in values:
    shown.append(f"tokens/s {float(values['tokens_per_s']):.0f}")
  return shown


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minutes:02}:{seconds:02}"
  return f"{minutes}:{seconds:02}"


class Counting:
  """Rows done of each source: a counter on a terminal, lines elsewhere."""

  def __init__(self, stream: Any, what: str):
    self.stream, self.what = stream, what
    self.printed, self.tasks = time.monotonic(), {}
    self.bar = None
    if stream.isatty():
      self.bar = rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.TextColumn("{task.completed:,.0f} rows"),
        rich.progress.TimeElapsedColumn(),
        console=rich.console.Console(file=stream),
        redirect_stdout=sys.stdout.isatty(),
      )

  def __enter__(self) -> "Counting":
    return self

  def __call__(self, name: str, done: int) -> None:
    label = f"{self.what} {name}".rstrip()
    if self.bar is not None:
      self.bar.start()
      if name not in self.tasks:
        self.tasks[name] = self.bar.add_task(label, total=None)
      self.bar.update(self.tasks[name], completed=done)
    elif time.monotonic() - self.printed >= PLAIN_EVERY_S:
      self.printed = time.monotonic()
      self.stream.write(f"{label}: {done:,} rows\n")
      self.stream.flush()

  def __exit__(self, *error: object) -> None:
    if self.bar is not None:
      self.bar.stop()
