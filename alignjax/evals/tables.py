"""Summaries and comparisons as tables for people."""

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


def comparison(found: Mapping) -> Table:
  """One row a task and metric; `*` marks what Holm's procedure lets stand."""
  base, *others = found["models"]
  heads = [base, *(f"{name} − {base}" for name in others)]
  out = Table("task", "metric", *heads, "n", box=None, pad_edge=False)
  for row in found["rows"]:
    name = row["task"] + (" (trained)" if row["trained"] else "")
    value = row["values"][base]
    out.add_row(
      row["group"] or name,
      row["metric"] + (" ↓" if row["way"] == "down" else ""),
      cell(value),
      *(change(row["differences"][k]) for k in others),
      str(value["n"]),
    )
  return out


def change(found: Mapping) -> str:
  """`+0.031 [−0.004, +0.066]`, with `*` where it is marked."""
  mark = " *" if found["verdict"] else ""
  if found["low"] is None or found["high"] is None:
    return f"{found['mean']:+.3f}{mark}"
  return (
    f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]{mark}"
  )
