"""`alignjax evaluate` and `alignjax compare`."""

import sys
from pathlib import Path

from alignjax.cli.arguments import quiet


def evaluate(argv: list[str]) -> None:
  """`alignjax evaluate`."""
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
    show=_bars(),
  )
  if jax.process_index() == 0:
    Console(highlight=False).print(table(found))
    print(Path(given["workdir"]) / "summary.json")


def _bars():
  """(task, batches done, all of them), on standard error."""
  from alignjax.log.progress import Progress

  bars: dict[str, Progress] = {}

  def show(name: str, done: int, total: int) -> None:
    if name not in bars:
      bars[name] = Progress(sys.stderr, total, 0)
      bars[name].message(f"{name}: {total} batches")
    bars[name].show(done, {})
    if done == total:
      bars[name].close()

  return show
