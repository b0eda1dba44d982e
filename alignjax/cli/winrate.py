"""`alignjax winrate`."""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from alignjax.cli.arguments import quiet

ABOUT = """Whose answers are better. Takes folders that `alignjax evaluate`
wrote, lets a judge compare the answers of every two models to the same items in
both orders, and writes win rates with 95 % intervals to FILE.json and every
verdict to FILE.jsonl. JUDGE is one of: rule, the built-in tasks' own; a FOLDER
of a reward model; mine.score, a function of yours as in alignjax/rewards.py;
http(s)://HOST/v1, an OpenAI-compatible endpoint, whose verdicts are kept in
FILE.cache.jsonl, so that the same command goes on."""

# Options that one kind of judge reads.
OF_ENDPOINT = ("judge_model", "api_key_env", "workers", "timeout")
OF_MODEL = ("template",)
RATES = {
  "win_rate": "win rate",
  "length_controlled": "  at equal length (characters)",
  "order_changes": "verdict changes with the order",
  "first_wins": "whichever is shown first wins",
}
TIMEOUT, RETRIES, WORKERS = 120.0, 4, 8


def winrate(argv: list[str]) -> None:
  """`alignjax winrate`."""
  a = _options().parse_args(argv)
  folders = _folders(a.models)
  out = Path(a.out)
  if out.suffix != ".json":
    raise ValueError(
      f"--out {a.out} must end with .json; verdicts go beside it, to .jsonl."
    )
  quiet()
  from rich.console import Console

  from alignjax.evals import files, winrate
  from alignjax.log.provenance import environment
  from alignjax.log.records import line, read_metrics, replace_file

  found = winrate.answers(folders, a.task)
  judge, about = _judge(a, found.items, out.with_suffix(".cache.jsonl"))
  out.parent.mkdir(parents=True, exist_ok=True)
  said = f"{len(found.items)} items of {a.task} that all {len(folders)} have; "
  said += ", ".join(f"{k}: {n} left out" for k, n in found.left_out.items())
  print(f"{said}\njudge: {about['name']}", file=sys.stderr)
  made = winrate.verdicts(found, judge)
  kept = out.with_suffix(".jsonl")
  replace_file(kept, "".join(map(line, made)))
  told = {
    "judge": about,
    "task": a.task,
    "seed": a.seed,
    "answers": {
      name: {
        "workdir": str(folder),
        "sha256": files.sha256([folder / "items" / f"{a.task}.jsonl"]),
        "left_out": found.left_out[name],
      }
      for name, folder in folders.items()
    },
    # As they are read back, so that the file alone gives the same.
    **winrate.numbers(read_metrics(kept), seed=a.seed),
    "code": environment(),
  }
  replace_file(out, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
  console = Console(highlight=False, markup=False)
  for part in tables(told):
    console.print(part, soft_wrap=True)
  print(out)


def _options() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser("alignjax winrate", description=ABOUT)
  add = parser.add_argument
  add("models", nargs="*", metavar="NAME=WORKDIR", help="two or more")
  add("--task", required=True, help="whose items/TASK.jsonl is read")
  add("--judge", required=True, help="rule | FOLDER | mine.score | URL")
  add("--out", required=True, metavar="FILE.json")
  add("--seed", type=int, default=0, help="of the intervals' resampling")
  add("--template", help="of a FOLDER without one: built-in name or .jinja")
  add("--judge-model", metavar="NAME", help="of a URL: the model to ask")
  add("--api-key-env", metavar="VAR", help="of a URL: variable with its key")
  add("--workers", type=int, help=f"of a URL: requests at once ({WORKERS})")
  add("--timeout", type=float, help=f"of a URL: seconds each ({TIMEOUT:g})")
  return parser


def _folders(given: list[str]) -> dict[str, Path]:
  """NAME=WORKDIR arguments, by name."""
  found: dict[str, Path] = {}
  for word in given:
    name, _, folder = word.partition("=")
    if not name or not folder:
      raise ValueError(
        f"{word!r} is not NAME=WORKDIR: a name for the table, and a folder of "
        "`alignjax evaluate`."
      )
    if name in found:
      raise ValueError(
        f"Two models are called {name!r}: {found[name]} and {folder}.\n"
        "Give each a name of its own."
      )
    found[name] = Path(folder)
  return found


def _judge(
  a: argparse.Namespace, items: Mapping, cache: Path
) -> tuple[Callable, dict]:
  """The judge that --judge names, told items by their ids, and what it is."""
  asked, folder = a.judge, Path(a.judge).expanduser()
  url = re.match("https?://", asked)
  model = not url and asked != "rule" and folder.is_dir()
  idle = () if url else OF_ENDPOINT
  idle += () if model else OF_MODEL
  if given := [k for k in idle if getattr(a, k) is not None]:
    raise ValueError(
      f"--{given[0].replace('_', '-')} has no effect with --judge {asked}; "
      f"it is of a {'FOLDER' if given[0] in OF_MODEL else 'URL'}."
    )
  if url:
    return _endpoint(a, items, cache)
  if model:
    return by_model(str(folder), a.template, items)
  if asked == "rule":
    return by_function("alignjax.rewards.suite", items)
  if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", asked):
    raise ValueError(
      f"--judge {asked} is unknown: no folder, and no other judge is called "
      "that.\nLegal: rule, the FOLDER of a reward model, mine.score (a "
      "function's import path), http(s)://HOST/v1."
    )
  return by_function(asked, items)


def by_function(path: str, items: Mapping) -> tuple[Callable, dict]:
  from alignjax.build import named
  from alignjax.evals import files
  from alignjax.evals.winrate import by_rule

  sys.path.append(str(Path.cwd()))  # a command's own is where Python's is
  where = f"--judge {path}"
  module, _, name = path.rpartition(".")
  home = named.imported(module, where)
  score = named.function(
    home, name, {}, where=where, first=("prompts", "completions", "rows")
  )
  digest = files.sha256([Path(home.__file__)])
  about = {"kind": "rule", "name": path, "sha256": digest}
  return by_rule(score, items), about


def _endpoint(
  a: argparse.Namespace, items: Mapping, cache: Path
) -> tuple[Callable, dict]:
  from alignjax.evals.judges import TEMPLATE, endpoint
  from alignjax.evals.winrate import turns

  if not a.judge_model:
    raise ValueError(
      f"--judge {a.judge} needs --judge-model NAME, which that server has."
    )
  judge = endpoint(
    a.judge,
    a.judge_model,
    api_key_env=a.api_key_env,
    template=TEMPLATE,
    timeout=TIMEOUT if a.timeout is None else a.timeout,
    retries=RETRIES,
    workers=WORKERS if a.workers is None else a.workers,
    cache=cache,
  )

  def text(i):
    said = turns(items[i])
    if len(said) == 1:
      return said[0]["content"]
    return "\n\n".join(f"{x['role']}: {x['content']}" for x in said)

  digest = hashlib.sha256(TEMPLATE.encode()).hexdigest()[:16]
  about = {"kind": "endpoint", "name": a.judge_model, "url": a.judge}
  about |= {"temperature": 0, "template": digest}
  return lambda ids, one, two: judge([*map(text, ids)], one, two), about


def by_model(
  folder: str, template: str | None, items: Mapping
) -> tuple[Callable, dict]:
  """What a reward model of one head scores higher.

  It reads the conversation and the answer with its end token, as in training.
  An answer that is empty or too long has no score: "none".
  """
  from ml_collections import ConfigDict

  from alignjax.build import evaluations
  from alignjax.evals.judges import by_scores
  from alignjax.evals.winrate import turns
  from alignjax.scoring.answers import scorer

  score, shape = scorer(folder, template)
  at = dict(path=folder, preset="", revision="", adapter="", dtype="float32")
  about = {"kind": "model", "name": folder, "template": shape.name}
  about |= evaluations.identity(ConfigDict({"model": at}))

  def judge(ids, firsts, seconds):
    rows = [*zip(ids, firsts, seconds)]
    pairs = [*zip(ids, firsts), *zip(ids, seconds)]
    known = score([(i, turns(items[i]), text) for i, text in pairs])
    whole = [(i, a, b) for i, a, b in rows if {(i, a), (i, b)} <= known.keys()]
    liked = by_scores(lambda *texts: [known[x] for x in zip(*texts)])
    said = dict(zip(whole, liked(*zip(*whole)))) if whole else {}
    return [said.get(row, "none") for row in rows]

  return judge, about


def tables(told: Mapping) -> Iterator:
  """The numbers as people read them: pairs, then models."""
  from rich.table import Table
  from rich.text import Text

  from alignjax.evals.tables import cell

  pairs = Table("a", "b", "of a", "[95 %]", "n", box=None, pad_edge=False)
  for p in told["pairs"]:
    counts = ", ".join(f"{p[k]:g} {k}" for k in ("wins", "ties", "losses"))
    pairs.add_row(p["a"], p["b"], counts, "", str(p["n"]))
    for key, label in RATES.items():
      if key in p:
        pairs.add_row("", "", label, cell(p[key]), str(p[key]["n"]))
    none = p["none"]["prompts"]
    pairs.add_row("", "", "no verdict, left out", "", str(none))
  yield pairs
  models = Table("model", "", "[95 %]", "n", box=None, pad_edge=False)
  for name, lengths in told["models"].items():
    own = {f"mean {unit}": x for unit, x in lengths.items()}
    own |= told.get("strengths", {}).get(name, {})
    models.add_row(name)
    for label, x in own.items():
      if x is not None:
        models.add_row("", label.replace("_", " "), cell(x), str(x["n"]))
  yield models
  if "no_strengths" in told:
    yield Text(f"No strengths: {told['no_strengths']}.")
