"""`alignjax evaluate leave-one-out` and `alignjax evaluate shift`."""

import sys
from pathlib import Path

from alignjax.cli.arguments import quiet


def leave_one_out(argv: list[str]) -> None:
  """`alignjax evaluate leave-one-out`."""
  _study("leave-one-out", argv)


def shift(argv: list[str]) -> None:
  """`alignjax evaluate shift`."""
  _study("shift", argv)


def _study(command: str, argv: list[str]) -> None:
  name = command.replace("-", "_")
  if "--help" in argv or "-h" in argv:
    print(
      f"usage: alignjax evaluate {command} --config configs/{name}.py "
      "--workdir DIR [--config.KEY=VALUE ...] [--debug]\n\n"
      "Trains models and asks them tasks, in turn, each in a folder of its\n"
      f"own. The numbers are in {name}.json; the same command goes on."
    )
    return
  from alignjax import options

  config, given = options.read(f"evaluate {command}", argv, workdir="")
  if not given["workdir"]:
    raise ValueError(f"evaluate {command} needs --workdir DIR.")
  quiet()
  import importlib

  from rich.console import Console

  study = importlib.import_module(f"alignjax.studies.{name}")
  folder = Path(given["workdir"])
  found = study.run(config, folder, say=lambda x: print(x, file=sys.stderr))
  for table in study.tables(found):
    Console(highlight=False).print(table)
  print(folder / f"{name}.json")
