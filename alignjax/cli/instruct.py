"""`alignjax instruct convert | templates | generate`."""

import sys
from pathlib import Path

from alignjax.cli.arguments import quiet
from alignjax.cli.convert import convert, templates

USAGE = """usage: alignjax instruct convert --dataset NAME=PATH ... --out FILE
           rows of a data set worded by templates (see convert --help)
       alignjax instruct templates [NAME]
           the templates that are shipped, or one of them
       alignjax instruct generate --config FILE[:words] --workdir DIR
         [--config.KEY=VALUE ...]
           a model writes rows; the same command goes on where it stopped"""


def instruct(argv: list[str]) -> None:
  """`alignjax instruct`."""
  commands = {
    "convert": convert,
    "templates": templates,
    "generate": generate,
  }
  if not argv or argv[0] in ("-h", "--help"):
    print(USAGE)
    return
  if argv[0] not in commands:
    raise ValueError(
      f"instruct has no command {argv[0]!r}; one of {', '.join(commands)}."
    )
  commands[argv[0]](argv[1:])


def generate(argv: list[str]) -> None:
  """`alignjax instruct generate`."""
  quiet()
  from rich.console import Console

  from alignjax import options
  from alignjax.build import writers
  from alignjax.instruct.run import run

  config, given = options.read("instruct generate", argv, workdir="")
  if not given["workdir"]:
    raise ValueError("instruct generate needs --workdir DIR for its rows.")
  make = writers.method(config)  # before weights are read
  folder = Path(given["workdir"])
  folder.mkdir(parents=True, exist_ok=True)
  found = run(
    make,
    writers.tools(config, folder, _bars()),
    folder,
    about=config.to_dict(),
    prices={k: tuple(config[k].get("price", (0, 0))) for k in ROLES},
    show=lambda text: print(text, file=sys.stderr),
  )
  for part in table(found):
    Console(highlight=False).print(part)
  print(folder / "rows.jsonl")


ROLES = ("writer", "judge")


def table(found: dict):
  """Rows and what was left out, by reason; what it took."""
  from rich.table import Table
  from rich.text import Text

  counts = Table("", "n", box=None, pad_edge=False)
  counts.columns[1].justify = "right"
  counts.add_row("rows", f"{found['rows']:,}")
  for reason, n in found["rejected"].items():
    counts.add_row(f"  {reason}", f"{n:,}")
  yield counts
  for name, used in found["used"].items():
    said = f"{name}: {used['requests']:,} requests, {used['new']:,} of them new"
    said += f"; {used['tokens_asked']:,} tokens read, "
    said += f"{used['tokens_answered']:,} written"
    yield Text(said + (f"; {used['cost']:.4f} to pay" if used["cost"] else ""))


def _bars():
  """(who, replies, all of them) of a call, on standard error."""
  from alignjax.log.progress import Progress

  shown: dict[str, Progress] = {}

  def show(name: str, done: int, total: int) -> None:
    if name not in shown:
      shown[name] = Progress(sys.stderr, total, 0)
    shown[name].show(done, {})
    if done == total:
      shown.pop(name).close()

  return show
