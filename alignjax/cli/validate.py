"""`alignjax data validate`."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alignjax.cli.arguments import quiet

if TYPE_CHECKING:
  from rich.table import Table
  from rich.text import Text

  from alignjax.instruct.validate import File

ABOUT = """Checks rows before anyone trains on them: conversations, texts,
preferences or questions. Rows that cannot be read, duplicates and near
duplicates (across all FILEs), evaluation rows, personal data, other languages,
lengths, clusters with few rows. Writes a data card beside each FILE. Exit
status 1 where there are errors, under --strict where there are warnings."""


def validate(argv: list[str]) -> None:
  """`alignjax data validate`; raises SystemExit(1) where something is wrong."""
  from alignjax.instruct.checks import Checks

  options = vars(_options().parse_args(argv))
  checks = {k: options.pop(k) for k in Checks._fields if k in options}
  a = argparse.Namespace(**options)
  cards = _cards(a.paths, a.card)
  quiet()
  from rich.console import Console

  from alignjax.data.audit import record
  from alignjax.instruct.card import card
  from alignjax.instruct.validate import validate as check
  from alignjax.log.records import replace_file

  checks["evals"] = tuple(checks["evals"])
  found = check(a.paths, Checks(**checks), split=a.split, reader=a.reader)
  console = Console(highlight=False, markup=False)
  for part in tables(found, a.show):
    console.print(part, soft_wrap=True)
  if a.json:
    numbers = json.dumps(record(found), indent=2, ensure_ascii=False)
    replace_file(a.json, numbers + "\n")
  for file, target in zip(found, cards):
    replace_file(target, card(file.numbers))
    print(target)
  wrong = Counter(one.severity for file in found for one in file.findings)
  if wrong["error"] or a.strict and wrong["warning"]:
    raise SystemExit(1)


def _options() -> argparse.ArgumentParser:
  from alignjax.instruct.checks import Checks

  parser = argparse.ArgumentParser("alignjax data validate", description=ABOUT)
  add, own = parser.add_argument, Checks()
  add("paths", metavar="FILE", nargs="+", help="file, folder or hub name")
  add("--split", default="train", help="of a folder; train[:90%%] is a slice")
  add("--reader", help="import path of a reader of your own")
  add(
    "--eval",
    dest="evals",
    action="append",
    default=[],
    metavar="FILE",
    help="evaluation rows that must not be there, or suite; may be repeated",
  )
  add("--language", default=own.language, help="code of the rows' language")
  add("--near", type=float, default=own.near, help="Jaccard index, 0 to 1")
  for name, what in (
    ("min-words", "of each answer"),
    ("max-words", "the same; 0: no limit"),
    ("max-length", "tokens of a row, with --tokenizer; 0: no limit"),
    ("min-cluster", "rows of a cluster; 0: no limit"),
    ("seed", "of the hashes of near duplicates"),
  ):
    default = getattr(own, name.replace("-", "_"))
    add(f"--{name}", type=int, default=default, metavar="N", help=what)
  add(
    "--max-ratio",
    type=float,
    default=own.max_ratio,
    metavar="R",
    help="of the largest cluster to the smallest; 0: no limit",
  )
  add("--tokenizer", default="", metavar="FOLDER", help="to count tokens")
  add("--template", help="of a FOLDER without one: built-in name or .jinja")
  add("--licence", default="", help="of rows that do not say theirs")
  add("--source", default="", help="the same, where they come from")
  add("--card", default="", metavar="FILE", help="instead of FILE.card.md")
  add("--json", default="", metavar="FILE", help="to write the report to")
  add("--show", type=int, default=5, metavar="N", help="of each rule; 0: all")
  add("--strict", action="store_true", help="warnings are errors too")
  return parser


def _cards(paths: Sequence[str], card: str) -> list[Path]:
  """Where the cards go; raises ValueError where they cannot."""
  if card and len(paths) > 1:
    raise ValueError(
      f"--card {card} is the card of one FILE, and {len(paths)} are given\n"
      "leave it out: each gets its own beside it"
    )
  if len(set(paths)) < len(paths):
    raise ValueError("A FILE is given twice; give each once.")
  made = []
  for path in paths:
    target = Path(card or f"{path.rstrip('/')}.card.md").expanduser()
    if not card and not Path(path).exists() and ":" in path:
      raise ValueError(f"{path} has no place beside it; give --card FILE.")
    if target.parent.is_dir() and not os.access(target.parent, os.W_OK):
      raise ValueError(
        f"{target} cannot be written: its folder is read-only\n"
        "give another place for the card: --card FILE"
      )
    made.append(target)
  return made


def tables(found: "Sequence[File]", show: int) -> "Iterator[Table | Text]":
  """The report as people read it: numbers of each file, findings by rule.

  show: how many findings of a rule are told, 0 for all.
  """
  from rich.text import Text

  from alignjax.cli.contamination import shares
  from alignjax.instruct.rules import RULES

  for file in found:
    yield Text(file.path, "bold")
    yield _numbers(file.numbers)
    for one in file.evals:
      yield Text(
        f"  of {one.path}, {one.rows:,} rows, {one.bad:,} of them bad:"
      )
      yield shares(one)
  findings = [one for file in found for one in file.findings]
  rules = Counter((one.severity, one.rule) for one in findings)
  order = {rule: k for k, rule in enumerate(RULES)}  # unread rows go first
  for (severity, rule), n in sorted(
    rules.items(), key=lambda entry: (entry[0][0], order.get(entry[0][1], -1))
  ):
    why = RULES[rule].why if rule in RULES else "training cannot read it"
    colour = "red" if severity == "error" else "yellow"
    yield Text.assemble(
      f"\n{severity}, ", (rule, colour), f", {n:,}: {why}", end=""
    )
    of = [one for one in findings if one.rule == rule]
    for one in of[: show or None]:
      yield Text(f"  {one.origin}: {one.what}")
    if show and n > show:
      yield Text(f"  and {n - show:,} more (--show 0)")
    if of[0].remedy:
      yield Text(f"  → {of[0].remedy}")
  total = Counter(one.severity for one in findings)
  yield Text(f"\n{total['error']:,} errors, {total['warning']:,} warnings")


def _numbers(numbers: dict) -> "Table":
  from rich.table import Table

  table = Table("", "", box=None, show_header=False)
  table.add_row("rows", f"{numbers['rows']:,}")
  if numbers["bad"]:
    table.add_row("  bad", f"{sum(numbers['bad'].values()):,}")
  for key in ("formats", "languages", "clusters", "made", "licences"):
    counts = numbers[key]
    shown = [f"{name} {n:,}" for name, n in list(counts.items())[:8]]
    if len(counts) > 8:
      shown.append(f"and {len(counts) - 8} more")
    if shown:
      table.add_row(key, ", ".join(shown))
  for what, values in numbers["lengths"].items():
    shown = [f"{name} {n:,}" for name, n in values.items()]
    table.add_row(what, ", ".join(shown))
  return table
