"""From the folders of a pipeline's stages to one report.

The folder holds `pipeline.json`, which says what the stages are (a list of
{"name", "title", "after", "folder", "commands", "seconds", "peak_mb"}), a run
folder for each that trains, `evals/MODEL` of `alignjax evaluate` for each
model, and `comparison.json` of `alignjax compare`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from alignjax.log import read_metrics, replace_file
from alignjax.log.provenance import environment
from alignjax.report.curves import draw, scatter
from alignjax.report.page import filled
from alignjax.report.pipeline_page import PAGE
from alignjax.report.write import duration, flat

# A stage's number from the first to the last evaluation, and what it is called.
TOLD = (
  ("objective/scores", "held-out score"),
  ("rewards/accuracies", "held-out accuracy"),
  ("loss", "held-out loss"),
)
ANSWERS = 6  # prompts whose answers are shown


def write_pipeline_report(folder: str | Path) -> Path:
  """Writes report.html of a pipeline; returns its path.

  Raises FileNotFoundError where a stage has not left what it should.
  """
  folder = Path(folder)
  told = json.loads((folder / "pipeline.json").read_text("utf-8"))
  compared = json.loads((folder / "comparison.json").read_text("utf-8"))
  stages = [_stage(folder, stage) for stage in told["stages"]]
  page = filled(
    PAGE,
    title=told["title"],
    subtitle=told["subtitle"],
    stages=stages,
    caution=told["caution"],
    models=compared["models"],
    rows=[_row(row, compared["models"]) for row in compared["rows"]],
    pictures=[
      {"name": name, "svg": Markup(svg)}
      for name, svg in _pictures(folder, told, compared)
    ],
    curves=[curve for stage in stages for curve in stage["curves"]],
    answers=_answers(folder, compared["models"]),
    environment=flat(environment()),
  )
  path = folder / "report.html"
  replace_file(path, page.encode("utf-8", "replace").decode("utf-8"))
  return path


def _stage(folder: Path, stage: Mapping) -> dict:
  """Title, result, costs and curves of a stage."""
  result, curves = stage.get("result", ""), []
  run = folder / stage["folder"] if stage.get("folder") else None
  if run is not None and (run / "evaluations.jsonl").is_file():
    held = read_metrics(run / "evaluations.jsonl")
    rows = read_metrics(run / "metrics.jsonl")
    for name, called in TOLD:
      if name in held[0]:
        first, last = held[0][name], held[-1][name]
        result = f"{called} {first:.3f} → {last:.3f}"
        curves = [_curve(stage, name, called, rows, held)]
        break
  return {
    "title": stage["title"],
    "after": stage.get("after", ""),
    "result": result,
    "time": duration(stage["seconds"]),
    "memory": f"{stage['peak_mb'] / 1024:.1f} GB at its peak",
    "commands": stage["commands"],
    "curves": curves,
  }


def _curve(stage, name, called, rows, held) -> dict:
  train = _points(rows, name)
  last = max(row["step"] for row in rows)
  label = f"{stage['title']}: {called.removeprefix('held-out ')}"
  seen = _points(held, name)
  svg = draw(label, train, seen, last=last, key=f"s-{stage['name']}")
  return {"name": label, "train": train, "held": seen, "svg": Markup(svg)}


def _points(rows: Sequence[Mapping], name: str):
  own = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
  return tuple(zip(*own)) or None


def _row(row: Mapping, models: Sequence[str]) -> dict:
  return {
    "task": row["task"],
    "note": "trained on" if row["trained"] else "",
    "metric": row["metric"] + (" ↓" if row["way"] == "down" else ""),
    "cells": [_cell(row, name) for name in models],
    "n": row["values"][models[0]]["n"],
  }


def _cell(row: Mapping, name: str) -> dict:
  value, change = row["values"][name], row["differences"].get(name)
  found = {
    "value": f"{value['mean']:.3f}",
    "between": _between(value, "{:.3f}"),
    "change": "",
  }
  if change is None:
    return found
  return found | {
    "change": f"{change['mean']:+.3f}",
    "around": _between(change, "{:+.3f}"),
    "verdict": change["verdict"],
  }


def _between(found: Mapping, form: str) -> str:
  if found["low"] is None or found["high"] is None:
    return ""
  return f"[{form.format(found['low'])}, {form.format(found['high'])}]"


def _pictures(folder: Path, told: Mapping, compared: Mapping):
  """Gain on what was trained on against change elsewhere; reward against KL.

  The first trained metric against the first of each task elsewhere: numbers of
  different units are not mixed.
  """
  rows = compared["rows"]
  gained = [x for x in rows if x["trained"] and x["task"] == "suite"]
  gained = gained or [x for x in rows if x["trained"]]
  elsewhere = {x["task"]: x for x in reversed(rows) if not x["trained"]}
  for task, row in sorted(elsewhere.items() if gained else ()):
    signs = [1 if x["way"] == "up" else -1 for x in (gained[0], row)]
    points = [
      (
        name,
        *(
          sign * x["differences"][name]["mean"]
          for sign, x in zip(signs, (gained[0], row))
        ),
      )
      for name in compared["models"][1:]
    ]
    title = f"Gain on {gained[0]['task']}, and change on {task}"
    yield (
      title,
      scatter(
        title,
        [(compared["base"], 0.0, 0.0), *points],
        x=f"{gained[0]['task']} {gained[0]['metric']}, better →",
        y=f"{task} {row['metric']}, better →",
        key=f"p-tax-{task}",
      ),
    )
  for stage in told["stages"]:
    file = folder / (stage.get("folder") or "") / "metrics.jsonl"
    rows = read_metrics(file) if file.is_file() else []
    trace = [
      (row["objective/kl"], row["objective/scores"])
      for row in rows
      if "objective/kl" in row and "objective/scores" in row
    ]
    if trace:
      title = f"{stage['title']}: reward against KL"
      yield (
        title,
        scatter(
          title,
          [("start", *trace[0]), ("end", *trace[-1])],
          x="KL to the start, nats a completion",
          y="score",
          key=f"p-{stage['name']}",
          trace=trace,
        ),
      )


def _answers(folder: Path, models: Sequence[str]) -> list[dict]:
  """What each model wrote to the same prompts, of several groups."""
  found: dict[str, dict] = {}
  for name in models:
    items = (folder / "evals" / name / "items").glob("*.jsonl")
    for file in sorted(x for x in items if not x.stem.endswith(".part")):
      for line in read_metrics(file):
        text = line.get("output", {}).get("text")
        if text is None:
          continue
        prompt = line["prompt"]
        asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        one = found.setdefault(
          line["id"],
          {"prompt": asked, "group": line.get("group", ""), "texts": []},
        )
        score = line["scores"].get("score")
        told = name if score is None else f"{name}: score {score:.2f}"
        one["texts"].append((told, text.strip()[:600]))
  whole = [x for x in found.values() if len(x["texts"]) == len(models)]
  first: dict[str, dict] = {}
  for one in whole:
    first.setdefault(one["group"], one)
  groups = list(first.values())
  step = max(1, len(groups) // ANSWERS)
  return groups[::step][:ANSWERS]
