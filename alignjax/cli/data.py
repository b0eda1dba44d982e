"""`alignjax data preview | stats | validate | audit | contamination`."""

import argparse
import json
from pathlib import Path

from alignjax.cli.arguments import quiet
from alignjax.cli.contamination import contamination
from alignjax.cli.validate import validate

AUDIT = """Reports on a set of preferences: bad, repeated, contradictory rows,
prompts that two splits share, and what of a completion's length and form goes
with being preferred."""


def data(argv: list[str]) -> None:
  """`alignjax data`."""
  of_files = {
    "validate": validate,
    "audit": audit,
    "contamination": contamination,
  }
  if argv and argv[0] in of_files:
    return of_files[argv[0]](argv[1:])
  if "--help" in argv or "-h" in argv:
    print(
      "usage: alignjax data preview --config FILE[:words] [--n 3] "
      "[--config.KEY=VALUE ...]\n"
      "       alignjax data stats --config FILE[:words] "
      "[--config.KEY=VALUE ...]\n"
      "       alignjax data validate FILE ... (see data validate --help)\n"
      "       alignjax data audit FILE (see data audit --help)\n"
      "       alignjax data contamination --train FILE --eval FILE\n\n"
      "preview: the rows a run trains on first, trained tokens coloured.\n"
      "stats: rows, tokens, lengths and fill rate. Neither loads weights."
    )
    return
  from alignjax.options import read

  what, rest = (argv[0] if argv else ""), argv[1:]
  if what not in ("preview", "stats"):
    raise ValueError(
      f"data has no command {what!r}; write data preview or data stats, "
      "with a config, data validate FILE, data audit FILE or data "
      "contamination."
    )
  more = {"n": 3} if what == "preview" else {}
  config, values = read(f"data {what}", rest, **more)
  quiet()
  from rich.console import Console

  from alignjax import inspection

  console = Console(highlight=False)
  if what == "stats":
    shown = inspection.stats(config)
  else:
    colours = console.color_system is not None
    shown = inspection.preview(config, values["n"], colours=colours)
  for part in shown:
    console.print(part, soft_wrap=True)


def audit(argv: list[str]) -> None:
  """`alignjax data audit`."""
  from alignjax.data import audit as report
  from alignjax.data.audit_tables import tables
  from alignjax.data.compared import PAIRS
  from alignjax.data.preferences import FORMATS

  parser = argparse.ArgumentParser("alignjax data audit", description=AUDIT)
  add = parser.add_argument
  add("path", metavar="FILE", help="file, folder or hub name of a data set")
  add("--split", default="train", help="of a folder; train[:90%%] is a slice")
  add("--against", default="", help="a set that may share prompts with it")
  add("--format", choices=FORMATS, help="of the rows; recognised without it")
  add("--pairs", choices=PAIRS, default="all", help="of ranked lists")
  add("--reader", help="import path of a reader of your own")
  add("--json", default="", metavar="FILE", help="to write the numbers to")
  options = vars(parser.parse_args(argv))
  file = options.pop("json")
  found = report.audit(**options)
  if file:
    numbers = json.dumps(report.record(found), indent=2, ensure_ascii=False)
    Path(file).write_text(numbers + "\n", "utf-8")
  from rich.console import Console

  console = Console(highlight=False)
  for part in tables(found):
    console.print(part, soft_wrap=True)
