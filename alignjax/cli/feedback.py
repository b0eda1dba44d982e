"""`alignjax feedback serve | raters | sample | simulate | report | export`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from alignjax.cli.feedback_pairs import (
  sample,
  simulate,
  study_of,
  study_options,
)

if TYPE_CHECKING:
  from alignjax.feedback.store import Store

USAGE = """usage: alignjax feedback COMMAND [options]

  sample    --model A [--model B] --prompts FILE --out PAIRS.jsonl
                              pairs of answers by our own models
  serve     PAIRS [--study FILE.db] [--overlap 3] [--port 8765]
                              a page where raters compare them
  raters    add | list | renew | deactivate [NAME ...] --study FILE.db
                              who may vote; each has a token of their own
  report    --study FILE.db   votes, agreement, raters, what stands out
  export    --study FILE.db --out FILE.jsonl
                              rows of preferences to train on, and a data card
  simulate  PAIRS --study FILE.db --rater noise=0.25,side=0.1
                              raters that are played, with known faults

A study is one SQLite file; every command takes --help."""

SERVE = """A page where raters compare two answers, on this machine alone
unless a proxy leads to it. The study begins with the first start, and goes on
with every other one. The first start prints an admin's token; raters get
theirs by `alignjax feedback raters add`."""
EXPORT = """Writes votes as rows that `alignjax train` reads (configs/reward.py,
configs/dpo.py and others), and FILE.jsonl.card.md, which says of what they are
and what was left out."""
ONCE = """Tokens are shown once: give each to its rater alone, who puts it in
at /login, or opens /login#TOKEN. A lost one is replaced by raters renew."""
ADMIN = "admin"


def feedback(argv: list[str]) -> None:
  """`alignjax feedback`."""
  commands = {
    "sample": sample,
    "serve": serve,
    "raters": raters,
    "report": report,
    "export": export,
    "simulate": simulate,
  }
  name = argv[0] if argv else ""
  if name in ("-h", "--help", "help"):
    print(USAGE)
    return
  if name not in commands:
    raise ValueError(
      f"feedback has no command {name!r}; one of {', '.join(commands)}."
    )
  commands[name](argv[1:])


def _parser(name: str, about: str) -> argparse.ArgumentParser:
  return argparse.ArgumentParser(f"alignjax feedback {name}", description=about)


def _study_option(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--study", required=True, metavar="FILE.db")


def _open(path: str) -> "Store":
  from alignjax.feedback.store import Store

  return Store(path)


def serve(argv: list[str]) -> None:
  """`alignjax feedback serve`."""
  parser = _parser("serve", SERVE)
  add = parser.add_argument
  add("pairs", nargs="?", metavar="PAIRS", help="file of pairs; see sample")
  add("--study", metavar="FILE.db", help="beside PAIRS without it")
  study_options(parser)
  add("--host", default="127.0.0.1", help="address to listen on")
  add("--port", type=int, default=8765, help="0 = any free one")
  add(
    "--name",
    action="append",
    default=[],
    metavar="HOST",
    help="the page is reached as through a proxy; may be repeated",
  )
  add(
    "--behind-https",
    action="store_true",
    help="a proxy ends TLS: cookies are sent by https alone",
  )
  a = parser.parse_args(argv)
  try:
    from alignjax.feedback.web import serve as web
  except ImportError as error:
    raise ImportError(
      f"the page needs a package more ({error})\npip install "
      "'alignjax[feedback]'"
    ) from error
  # Before there is a study, or a token that nobody could use.
  web.check_address(a.host, a.name, a.behind_https)
  store = study_of(a)
  try:
    people = store.raters()
    if not any(r.role == "admin" and r.active for r in people):
      names = (ADMIN, *(f"{ADMIN}-{i}" for i in range(2, len(people) + 3)))
      name = next(n for n in names if n not in {r.name for r in people})
      print(f"{name}\t{store.add_rater(name, 'admin')}")
      print(ONCE, file=sys.stderr)
    if not any(r.role == "rater" for r in people):
      print(
        "no raters yet: alignjax feedback raters add NAME "
        f"--study {store.path}",
        file=sys.stderr,
      )
    web.serve(
      store,
      host=a.host,
      port=a.port,
      names=a.name,
      https=a.behind_https,
      ready=lambda url: print(f"{store.path} at {url}", flush=True),
    )
  finally:
    store.close()


def raters(argv: list[str]) -> None:
  """`alignjax feedback raters`."""
  parser = _parser("raters", "Who may vote in a study, and who sees numbers.")
  add = parser.add_argument
  add("action", choices=("add", "list", "renew", "deactivate"))
  add("names", nargs="*", metavar="NAME")
  _study_option(parser)
  add("--admin", action="store_true", help="of add: may see the numbers")
  a = parser.parse_args(argv)
  if bool(a.names) == (a.action == "list"):
    need = "takes no names" if a.names else "needs one name or more"
    raise ValueError(f"raters {a.action} {need}.")
  if a.admin and a.action != "add":
    raise ValueError("--admin is of raters add.")
  store = _open(a.study)
  try:
    if a.action == "list":
      for r in store.raters():
        print(f"{r.name}\t{r.role}" + ("" if r.active else "\tshut out"))
    out = {r.name for r in store.raters() if not r.active}
    for name in a.names:
      if a.action == "deactivate":
        store.deactivate(name)
        print(f"{name} is shut out; votes stay")
      else:
        token = (
          store.renew(name)
          if a.action == "renew"
          else store.add_rater(name, "admin" if a.admin else "rater")
        )
        print(f"{name}\t{token}")
        if name in out:
          print(f"{name} is let in again", file=sys.stderr)
    if a.action in ("add", "renew"):
      print(ONCE, file=sys.stderr)
  finally:
    store.close()


def report(argv: list[str]) -> None:
  """`alignjax feedback report`."""
  parser = _parser("report", "What a study's votes say, with 95 % intervals.")
  _study_option(parser)
  parser.add_argument("--json", metavar="FILE", help="to write the numbers to")
  a = parser.parse_args(argv)
  store = _open(a.study)
  try:
    from alignjax.feedback import report as numbers
    from alignjax.log.records import replace_file

    found = numbers.report(store)
  finally:
    store.close()
  if a.json:
    told = json.dumps(numbers.record(found), indent=1, ensure_ascii=False)
    replace_file(a.json, told + "\n")
  from rich.console import Console

  console = Console(highlight=False, markup=False)
  for part in numbers.tables(found):
    console.print(part, soft_wrap=True)


def export(argv: list[str]) -> None:
  """`alignjax feedback export`."""
  parser = _parser("export", EXPORT)
  add = parser.add_argument
  _study_option(parser)
  add("--out", required=True, metavar="FILE.jsonl")
  rules = ("majority", "soft", "votes")
  add("--rule", choices=rules, default=rules[0], help="what makes a row")
  add("--ties", choices=("drop", "keep"), default="drop")
  add("--least", type=int, default=1, help="votes that a pair must have")
  add(
    "--without",
    action="append",
    default=[],
    metavar="NAME",
    help="a rater whose votes do not count, which the card says",
  )
  a = parser.parse_args(argv)
  store = _open(a.study)
  try:
    from alignjax.feedback.export import export as write

    Path(a.out).parent.mkdir(parents=True, exist_ok=True)
    made = write(
      store,
      a.out,
      rule=a.rule,
      ties=a.ties,
      least=a.least,
      without=a.without,
    )
  finally:
    store.close()
  print(f"{a.out}: {made.rows:,} rows, {made.ties:,} of them ties")
  for why, n in sorted(made.left_out.items()):
    print(f"  left out: {n:,} pairs, {why}")
  print(f"{a.out}.card.md")
