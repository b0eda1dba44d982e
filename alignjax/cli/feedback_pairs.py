"""`alignjax feedback sample` and `simulate`: before people give their time."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from alignjax.cli.arguments import quiet

if TYPE_CHECKING:
  from alignjax.feedback.simulate import Simulated
  from alignjax.feedback.store import Store

SAMPLE = """Writes pairs of answers for `alignjax feedback serve`: of two models
one answer each, or of one model two. FILE has rows with a prompt, or
conversations, whose last answer is left out. The same command goes on where it
was stopped."""
SIMULATE = """Plays raters through a study as if they were people, each with the
faults that --rater gives, so that a study can be tried before it is held.
NUMBER*NAME=VALUE,... is so many raters alike. JUDGE says which answer is
better: gold (the pairs' own), the FOLDER of a reward model, or mine.score, a
function as in alignjax/rewards.py."""
DEFAULTS = {
  "seed": 0,
  "overlap": 3,
  "lease": 1800.0,
  "gold_every": 0,
  "repeat_every": 0,
}


def study_options(parser: argparse.ArgumentParser) -> None:
  """What a study is begun with; None: as it was begun, or the default."""
  add = parser.add_argument
  add("--overlap", type=int, help="raters of a pair (3)")
  add("--lease", type=float, help="seconds a rater has a pair for (1800)")
  add(
    "--gold-every",
    type=int,
    help="tasks; one of so many is a pair with gold (0)",
  )
  add(
    "--repeat-every", type=int, help="tasks; one of so many again, turned (0)"
  )
  add("--seed", type=int, help="of the sides (0)")


def study_of(
  a: argparse.Namespace, check: "Callable[[Store], None] | None" = None
) -> "Store":
  """The study of --study and PAIRS: gone on with, or begun.

  An option that is not given is as the study has it, or as in `DEFAULTS`.
  check: called with a study that is there, before anything is added to it.
  """
  from alignjax.data import sources
  from alignjax.feedback.pairs import pairs
  from alignjax.feedback.settings import Settings
  from alignjax.feedback.store import Store, create

  if not a.pairs and not a.study:
    raise ValueError("give PAIRS, a file of pairs, or --study FILE.db")
  if a.pairs and Path(a.pairs).suffix == ".db":
    raise ValueError(
      f"{a.pairs} is a study by its name, and no file of pairs\n"
      f"go on with it by --study {a.pairs}"
    )
  path = Path(a.study or Path(a.pairs).with_suffix(".db"))
  given = {k: getattr(a, k) for k in DEFAULTS if getattr(a, k) is not None}
  try:
    store = Store(path)
  except FileNotFoundError:
    if not a.pairs:
      raise
    settings = Settings(**DEFAULTS | given)
  else:
    if not a.pairs and not given:
      return store
    settings = store.settings._replace(**given)
    try:
      if check:
        check(store)
    finally:
      store.close()
  found = pairs(sources.read(a.pairs)) if a.pairs else ()
  return create(path, found, settings)


def simulate(argv: list[str]) -> None:
  """`alignjax feedback simulate`."""
  parser = argparse.ArgumentParser(
    "alignjax feedback simulate", description=SIMULATE
  )
  add = parser.add_argument
  add("pairs", metavar="PAIRS", help="file of pairs")
  add("--study", required=True, metavar="FILE.db", help="a new one, its own")
  add(
    "--rater",
    action="append",
    required=True,
    metavar="FAULTS",
    help="noise=0.25,side=0.1,length=0.5,taste=1,tie=0.1,both_bad=0.05,"
    "skip=0.05,sharp=4,seconds=30, as alignjax/feedback/simulate.py says; "
    "may be repeated",
  )
  add("--judge", default="gold", help="gold | FOLDER | mine.score")
  add("--template", help="of a FOLDER without one: built-in name or .jinja")
  study_options(parser)
  a = parser.parse_args(argv)
  raters = [one for said in a.rater for one in players(said)]
  if a.template and not Path(a.judge).is_dir():
    raise ValueError(
      f"--template has no effect with --judge {a.judge}; it is of a FOLDER."
    )
  from alignjax.feedback import simulate as play

  store = study_of(a, play.alone)
  try:
    better = _better(store, a.judge, a.template)
    count = play.simulate(store, raters, better, seed=store.settings.seed)
    print(f"{count:,} votes of {len(raters)} raters in {store.path}")
  finally:
    store.close()


def players(said: str) -> "list[Simulated]":
  """The raters of `5*noise=0.1,side=0.2`; `5*` alone has no faults."""
  from alignjax.feedback.simulate import Simulated, check

  found = re.fullmatch(r"(?:(\d+)\*)?(.*)", said)
  values = {}
  for word in filter(None, found[2].split(",")):
    name, _, value = word.partition("=")
    if name not in Simulated._fields or not _is_number(value):
      raise ValueError(
        f"--rater {said!r}: {word!r} is not NAME=NUMBER\nnames are "
        f"{', '.join(Simulated._fields)}; 5*noise=0.1 is five raters alike"
      )
    values[name] = float(value)
  count = int(found[1] or 1)
  if not 1 <= count <= 1000:
    raise ValueError(f"--rater {said!r}: {count} raters; 1 to 1,000 are played")
  return [check(Simulated(**values))] * count


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True


def _better(store: "Store", judge: str, template: str | None) -> dict:
  from alignjax.cli.winrate import by_function, by_model
  from alignjax.feedback import simulate as play

  if judge == "gold":
    better = play.by_gold(store)
    if not any(better.values()):
      print("no pair has gold: the answers are alike", file=sys.stderr)
    return better
  items = play.items(store)
  if Path(judge).is_dir():
    quiet()
    liked, _ = by_model(judge, template, items)
  elif re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", judge):
    liked, _ = by_function(judge, items)
  else:
    raise ValueError(
      f"--judge {judge} is unknown: no folder, and no other judge is called "
      "that.\nLegal: gold, the FOLDER of a reward model, mine.score"
    )
  return play.by_judge(store, liked)


def sample(argv: list[str]) -> None:
  """`alignjax feedback sample`."""
  from alignjax.cli.text import MODEL, sampling_options

  parser = argparse.ArgumentParser(
    "alignjax feedback sample", description=SAMPLE
  )
  add = parser.add_argument
  add(
    "--model",
    action="append",
    required=True,
    help=f"{MODEL}; once or twice",
  )
  add("--prompts", required=True, metavar="FILE")
  add("--split", default="train", help="of a folder; train[:90%%] is a slice")
  add("--out", required=True, metavar="PAIRS.jsonl")
  add("--n", type=int, default=1, help="pairs of a prompt")
  add("--batch", type=int, default=16, help="prompts answered together")
  sampling_options(parser, max_tokens=256, temperature=1.0)
  a = parser.parse_args(argv)
  _check(a)
  quiet()
  from alignjax.feedback import sampling
  from alignjax.instruct import prompts

  asked = [p.turns for p in prompts.read(a.prompts, a.split, 0)]
  answers, models = {}, {}
  for number, path in enumerate(a.model):
    answers[path], models[path] = _answers(a, path, number)
  options = (
    "n",
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "max_tokens",
  )
  about = {"by": "alignjax feedback sample", "models": models}
  about |= {key: getattr(a, key) for key in options}
  out = Path(a.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  made = sampling.sample(
    asked,
    answers,
    out,
    batch=a.batch,
    seed=a.seed,
    about=about,
    say=lambda line: print(line, file=sys.stderr),
  )
  print(f"{out}: {made.there + made.written:,} pairs of {len(asked):,} prompts")
  for why, n in made.left_out.most_common():
    print(f"  left out in this run: {n:,} pairs, {why}")


def _check(a: argparse.Namespace) -> None:
  if len(a.model) > 2 or len(set(a.model)) < len(a.model):
    raise ValueError(
      f"--model is given {len(a.model)} times: {', '.join(a.model)}\nwrite it "
      "once for two answers of one model, twice for two different ones"
    )
  alike = len(a.model) == 1 or a.n > 1
  if alike and a.temperature <= 0:
    raise ValueError(
      "--temperature 0 gives the same answer each time; one model, or --n "
      "above 1, needs a --temperature above 0"
    )
  if Path(a.out).suffix != ".jsonl":
    raise ValueError(f"--out {a.out} must end with .jsonl, as rows are lines")
  if a.n < 1 or a.batch < 1:
    raise ValueError(f"--n {a.n}, --batch {a.batch}; both are 1 or more")
  if len(a.model) > 1 and a.adapter:
    raise ValueError(
      "--adapter is of one model; export the other as a folder of its own "
      "(alignjax export), and give that"
    )


def _answers(
  a: argparse.Namespace, path: str, number: int
) -> tuple[Callable, dict]:
  """How a model answers, and what it is."""
  from ml_collections import ConfigDict

  from alignjax.build.evaluations import identity
  from alignjax.cli.text import generator

  samples = a.n * (3 - len(a.model))
  # Two models draw apart from each other.
  seed, rows = a.seed + number, a.batch * samples
  answer, _, template = generator(a, path, samples, seed=seed, rows=rows)
  revision, adapter = a.revision or "", a.adapter or ""
  at = dict(path=path, preset="", revision=revision, adapter=adapter)
  about = identity(ConfigDict({"model": at | {"dtype": a.dtype}}))
  about["template"] = template.name

  def answers(part, first):
    return answer(part, range(first, first + len(part)))

  return answers, about
