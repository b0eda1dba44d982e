"""`alignjax instruct convert` and `alignjax instruct templates`."""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from rich.table import Table

  from alignjax.instruct.template import Template

ABOUT = """Writes rows of data sets as instructions. Each --dataset is a
template (`alignjax instruct templates` lists those there are; or a .yaml file
of yours) and the rows it is for: a file, a folder, hf:OWNER/NAME or tfds:NAME.
Data sets are mixed by size (Raffel et al. 2020; Wei et al. 2022).
FILE.card.json says what was read, made, left out and taken."""
LISTED = """Lists the templates that come with alignjax. With a NAME, or a .yaml
file, words its made-up example in every phrasing."""

CAP, RATE_CAP = 30_000, 3_000  # of FLAN


def convert(argv: list[str]) -> None:
  """`alignjax instruct convert`."""
  options = _options().parse_args(argv)
  out = Path(options.out)
  if out.suffix != ".jsonl":
    raise ValueError(f"--out {out} must end with .jsonl.")
  from alignjax.instruct import mixing
  from alignjax.instruct.convert import Source, files, record
  from alignjax.instruct.convert import convert as make
  from alignjax.instruct.phrasings import read
  from alignjax.log.records import line, replace_file

  readers = _pairs("--reader", options.reader, "NAME=import.path")
  given = _pairs("--dataset", options.dataset, "NAME=PATH")
  if unknown := [name for name in readers if name not in given]:
    raise ValueError(
      f"--reader {unknown[0]}=… is for no --dataset; there are "
      f"{', '.join(given)}."
    )
  asked = {}
  for name, path in given.items():
    template = read(name)
    if template.name in asked:
      raise ValueError(
        f"Two data sets are called {template.name}, and ids of rows begin with "
        "it.\nGive one of the templates another name."
      )
    source = Source(template, path, options.split, readers.get(name))
    if out.resolve() in [file.resolve() for file in files(source)]:
      raise ValueError(f"--out {out} is what {name} is read from.")
    asked[template.name] = source
  found = {
    name: make(
      source,
      phrasings=_phrasings(options.phrasings),
      seed=options.seed,
      cap=options.cap,
    )
    for name, source in asked.items()
  }
  mixed, parts = mixing.mix(
    {name: made.rows for name, made in found.items()},
    rate_cap=options.rate_cap,
    temperature=options.temperature,
    total=options.total,
    repeat=options.repeat,
    seed=options.seed,
  )
  told = record({k: (asked[k], found[k]) for k in asked}, parts, mixed)
  out.parent.mkdir(parents=True, exist_ok=True)
  replace_file(out, "".join(map(line, mixed)))
  card = out.with_suffix(".card.json")
  numbers = _card(out, told, options)
  replace_file(card, json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
  from rich.console import Console

  console = Console(highlight=False, markup=False)
  for part in _tables(told):
    console.print(part, soft_wrap=True)
  print(out)
  print(card)


def _options() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    "alignjax instruct convert", description=ABOUT
  )
  add = parser.add_argument
  add(
    "--dataset",
    action="append",
    required=True,
    metavar="NAME=PATH",
    help="a template and its rows; may be repeated",
  )
  add("--split", default="train", help="of folders; train[:90%%] is a slice")
  add("--out", required=True, metavar="FILE.jsonl")
  add(
    "--reader",
    action="append",
    default=[],
    metavar="NAME=import.path",
    help="a reader of your own for a data set",
  )
  add(
    "--phrasings", default="one", help="of each row: one, drawn; all; a number"
  )
  add("--cap", type=_count, default=CAP, help=f"rows of a data set ({CAP})")
  add(
    "--rate-cap",
    type=_count,
    default=RATE_CAP,
    help=f"size above which no rate grows ({RATE_CAP})",
  )
  add("--temperature", type=float, default=1.0, help="above 1: rates nearer")
  add(
    "--total",
    type=_count,
    default=0,
    help="rows in all; 0, as many as keep the rates",
  )
  add("--repeat", action="store_true", help="take rows again that run out")
  add("--seed", type=int, default=0, help="draws phrasings, rows and order")
  return parser


def _count(text: str) -> int:
  """A number of 0 or more; 0 stands for no limit."""
  if not text.isdecimal():
    raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
  return int(text)


def _phrasings(text: str) -> int:
  words = {"one": 1, "all": 0}
  if text in words:
    return words[text]
  if not text.isdecimal() or not int(text):
    raise ValueError(f"--phrasings {text!r}; legal: one, all, or a number.")
  return int(text)


def _pairs(option: str, given: list[str], form: str) -> dict[str, str]:
  found = {}
  for word in given:
    name, _, value = word.partition("=")
    if not name or not value:
      raise ValueError(f"{option} {word!r} is not {form}.")
    if name in found:
      raise ValueError(f"{option} {name}=… stands twice; write it once.")
    found[name] = value
  return found


def _card(out: Path, told: Mapping, options: argparse.Namespace) -> dict:
  from importlib import metadata

  from alignjax.evals.files import sha256
  from alignjax.log.provenance import environment

  kept = (
    "phrasings",
    "cap",
    "rate_cap",
    "temperature",
    "total",
    "repeat",
    "seed",
  )
  code = environment()
  code["packages"] |= {k: metadata.version(k) for k in ("jinja2", "pyyaml")}
  return {
    "file": out.name,
    "sha256": sha256([out]),
    **told,
    "options": {name: getattr(options, name) for name in kept},
    "code": code,
  }


def _tables(told: Mapping) -> "Iterator[Table]":
  from rich.table import Table

  heads = "read", "made", "left out", "kept", "rate", "taken"
  table = Table("data set", "cluster", *heads, box=None, pad_edge=False)
  for column in table.columns[2:]:
    column.justify = "right"
  for name, one in told["datasets"].items():
    left = sum(one["left_out"].values())
    numbers = one["read"], one["made"], left, one["kept"]
    cells = [f"{n:,}" for n in numbers] + [f"{one['rate']:.4f}"]
    table.add_row(name, one["cluster"], *cells, f"{one['taken']:,}")
  table.add_row("in all", *[""] * 6, f"{told['rows']:,}")
  yield table
  left = Table("left out of", "because", "rows", box=None, pad_edge=False)
  for name, one in told["datasets"].items():
    for reason, n in one["left_out"].items():
      left.add_row(name, reason, f"{n:,}")
  if left.rows:
    yield left
  yield _taken(told)


def _taken(told: Mapping) -> "Table":
  """Rows that were taken by phrasing, with what they are licensed by."""
  from rich.table import Table

  table = Table("taken by phrasing", "", "licence", box=None, pad_edge=False)
  for name, one in told["datasets"].items():
    counts = " ".join(f"{n:,}" for n in one["by_phrasing"].values())
    table.add_row(name, counts, one["licence"])
  return table


def templates(argv: list[str]) -> None:
  """`alignjax instruct templates`."""
  parser = argparse.ArgumentParser(
    "alignjax instruct templates", description=LISTED
  )
  parser.add_argument("name", nargs="?", metavar="NAME")
  name = parser.parse_args(argv).name
  from rich.console import Console
  from rich.table import Table

  from alignjax.instruct import phrasings

  console = Console(highlight=False, markup=False)
  if name:
    return _show(phrasings.read(name))
  table = Table(
    "name", "cluster", "metric", "", "licence", box=None, pad_edge=False
  )
  for known in phrasings.shipped():
    one = phrasings.read(known)
    n = f"{len(one.phrasings)} phrasings"
    table.add_row(known, one.cluster, one.metric, n, one.licence)
  console.print(table, soft_wrap=True)


def _show(one: "Template") -> None:
  """A template as people read it, its example worded."""
  from alignjax.instruct.template import values, word

  print(f"{one.name} ({one.cluster}, {one.metric})\n{one.source}")
  print(f"licence: {one.licence}\nrows: {one.rows}")
  print(f"fields: {', '.join(one.fields)}\nsha256: {one.sha256}")
  known = values(one, one.example, str(one.file))
  for index, phrasing in enumerate(one.phrasings):
    row = word(one, index, known, str(one.file))
    print(f"\n--- phrasing {index}, {one.file}:{phrasing.line}")
    print(f"{row['prompt']}\n⟦{row['completion']}⟧")
    if row["metric"] != one.metric:
      print(f"metric: {row['metric']}")
