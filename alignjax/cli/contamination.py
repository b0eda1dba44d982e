"""`alignjax data contamination`."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from rich.table import Table
  from rich.text import Text

  from alignjax.data.contamination import Contamination, File, Source

ABOUT = """How much of evaluation rows stands in training rows: by n-grams of 13
words, of which one is too many, and of 8 words, where 70 % are. Rows of fewer
words are compared as a whole and counted apart."""
SHOWN = 200  # characters of a text that two rows share


def contamination(argv: list[str]) -> None:
  """`alignjax data contamination`."""
  from alignjax.data import contamination as report
  from alignjax.data.audit import record

  parser = argparse.ArgumentParser(
    "alignjax data contamination", description=ABOUT
  )
  add = parser.add_argument
  many = dict(action="append", metavar="FILE", required=True)
  add(
    "--train", **many, help="file, folder, hub name or suite; may be repeated"
  )
  add("--eval", **many, help="the same, of evaluation rows; may be repeated")
  add("--train-split", default="train", help="of a folder; or a slice of it")
  add("--eval-split", default="", help="test without it; of suite heldout")
  add("--train-reader", help="import path of a reader of your own")
  add("--eval-reader", help="the same, for evaluation rows")
  words = tuple(report.RULES)
  add(
    "--n",
    action="append",
    type=int,
    choices=words,
    help="words; without it both",
  )
  add("--json", default="", metavar="FILE", help="to write the numbers to")
  options = parser.parse_args(argv)
  found = report.contamination(
    _sources(options.train, options.train_split, options.train_reader),
    _sources(options.eval, options.eval_split, options.eval_reader),
    n=options.n or words,
  )
  if options.json:
    numbers = json.dumps(record(found), indent=2, ensure_ascii=False)
    Path(options.json).write_text(numbers + "\n", "utf-8")
  from rich.console import Console

  console = Console(highlight=False)
  for part in tables(found):
    console.print(part, soft_wrap=True)


def _sources(
  paths: Sequence[str], split: str, reader: str | None
) -> "list[Source]":
  from alignjax.data.contamination import Source

  def held(path: str) -> str:
    return "heldout" if path == "suite" and not reader else "test"

  return [Source(path, split or held(path), reader) for path in paths]


def tables(found: "Contamination") -> "Iterator[Table | Text]":
  """The report as people read it, an evaluation set after the other."""
  from rich.text import Text

  for file in found.train:
    yield Text(f"training: {_read(file)}")
  for file in found.evals:
    yield Text(f"\n{_read(file)}")
    yield shares(file)
    yield from _worst(file)


def _read(file: "File") -> str:
  said = f"{file.path} ({file.split}), {file.rows:,} rows"
  if file.bad:
    said += f", {file.bad:,} of them bad and left out; {file.first_bad}"
  return said


def shares(file: "File") -> "Table":
  """How much of a set stands in training, by its parts."""
  from rich.table import Table

  from alignjax.data.audit_tables import share

  table = Table("words", "", "stands in training", "shorter, whole", box=None)
  for k in (0, 2, 3):
    table.columns[k].justify = "right"
  for grams in file.found:
    for k, part in enumerate(grams.parts):
      words = "" if k else f"{grams.n}"
      cells = share(part.contaminated), share(part.whole)
      table.add_row(words, part.name, *cells)
  return table


def _worst(file: "File") -> "Iterator[Text]":
  from rich.text import Text

  for grams in file.found:
    if grams.worst:
      yield Text(f"\nthe worst by {grams.n} words:")
    for m in grams.worst:
      hits, n = m.found
      what = "" if hits == n == 1 else f", {hits:,} of {n:,} n-grams"
      yield Text(f"  {m.origin} as {m.training}{what}")
      cut = " …" if len(m.text) > SHOWN else ""
      yield Text(f"    {m.text[:SHOWN]}{cut}")
