"""Summaries as tables for people."""

from collections.abc import Mapping

from rich.table import Table


def cell(found: Mapping) -> str:
  """`0.512 [0.482, 0.541]`; the interval is left out where there is none."""
  if found["mean"] is None:
    return "–"
  text = f"{found['mean']:.3f}"
  if found["low"] is None or found["high"] is None:
    return text
  return f"{text} [{found['low']:.3f}, {found['high']:.3f}]"


def table(summary: Mapping) -> Table:
  """Every metric of every task, with n and the 95 % interval."""
  out = Table("task", "metric", "value [95 %]", "n", box=None, pad_edge=False)
  for name, task in summary["tasks"].items():
    shown = name
    for metric, found in task["metrics"].items():
      out.add_row(shown, metric, cell(found), str(found["n"]))
      shown = ""
    for metric, found in task.get("macro", {}).items():
      groups = len(task["groups"])
      out.add_row(
        "", f"{metric}, mean of {groups} groups", cell(found), str(found["n"])
      )
  return out
