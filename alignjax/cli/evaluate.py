"""`alignjax evaluate` and `alignjax compare`."""

import argparse
import json
import sys
from pathlib import Path

from alignjax.cli.arguments import quiet
from alignjax.cli.studies import leave_one_out, shift


def evaluate(argv: list[str]) -> None:
  """`alignjax evaluate`, and the studies `leave-one-out` and `shift`."""
  if argv[:1] == ["leave-one-out"]:
    return leave_one_out(argv[1:])
  if argv[:1] == ["shift"]:
    return shift(argv[1:])
  quiet()
  import jax
  from rich.console import Console

  from alignjax import options
  from alignjax.build import evaluations
  from alignjax.evals.run import evaluate as run
  from alignjax.evals.tables import table

  config, given = options.read("evaluate", argv, workdir="")
  if not given["workdir"]:
    raise ValueError("evaluate needs --workdir DIR for items and summary.")
  asked = evaluations.tasks(config)  # before weights are read
  subject, about = evaluations.subject(config)
  found = run(
    asked,
    subject,
    Path(given["workdir"]),
    about=about,
    seed=config.seed,
    show=bars(),
  )
  if jax.process_index() == 0:
    Console(highlight=False).print(table(found))
    print(Path(given["workdir"]) / "summary.json")


def compare(argv: list[str]) -> None:
  """`alignjax compare`."""
  parser = argparse.ArgumentParser("alignjax compare")
  add = parser.add_argument
  add("models", nargs="+", metavar="NAME=FOLDER", help="the first is the base")
  add("--trained", action="append", default=[], help="a task trained on")
  add("--groups", action="store_true", help="also a row for each group")
  add("--seed", type=int, default=0, help="of the bootstrap")
  add("--out", metavar="FILE", help="of the numbers, JSON")
  a = parser.parse_args(argv)
  from rich.console import Console

  from alignjax.evals.compare import compare as run
  from alignjax.evals.tables import comparison
  from alignjax.log.records import replace_file

  models = {}
  for given in a.models:
    name, equals, folder = given.partition("=")
    # A name may be left out: the folder's own.
    path = Path(folder if equals else given)
    name = name if equals else path.parent.name if path.suffix else path.name
    if name in models:
      raise ValueError(f"Two models are called {name!r}; give NAME=FOLDER.")
    models[name] = path
  found = run(models, seed=a.seed, trained=a.trained, groups=a.groups)
  if a.out:
    replace_file(a.out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
  Console(highlight=False).print(comparison(found))
  print(
    "differences: paired over items, 95 % intervals; * stands after Holm's "
    "correction at 5 %"
  )


def bars():
  """(task, batches done, all of them), on standard error."""
  from alignjax.log.progress import Progress

  shown: dict[str, Progress] = {}

  def show(name: str, done: int, total: int) -> None:
    if name not in shown:
      shown[name] = Progress(sys.stderr, total, 0)
      shown[name].message(f"{name}: {total} batches")
    shown[name].show(done, {})
    if done == total:
      shown[name].close()

  return show
