"""How many pairs move a reward model from one rubric to another.

A reward model is trained on pairs that one rubric judges and goes on with a few
that another judges; it is asked pairs of both. Each rubric looks at one thing
of an answer, which differs between the sides of its pairs; in the thing the
other rubric looks at the sides are drawn each by itself. So who has learnt one
rubric alone is right on half of the other's pairs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.table import Table

from alignjax.data import suite
from alignjax.evals.summary import plain
from alignjax.evals.tables import cell
from alignjax.log.records import line, replace_file
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate
from alignjax.studies import parts

# right: the gold beats a wrong answer; polite: it beats the same said rudely;
# short: it beats the same at great length.
RUBRICS = ("right", "polite", "short")


def answer(row: Mapping, good: Mapping[str, bool]) -> str:
  """An answer to a row of the suite that is right, polite, short, or not.

  good: of `RUBRICS`; what is not named is as it should be.
  """
  text = row["completion" if good.get("right", True) else "rejected"]
  if not good.get("polite", True):
    text = suite.rude(text, row["prompt"])
  if not good.get("short", True):
    text = suite.long_winded(text, row["prompt"])
  return text


def pairs(
  rows: Sequence[Mapping], rubric: str, other: str, seed: int
) -> list[dict]:
  """One pair a row, judged by a rubric, alike by chance in the other."""
  drawn = np.random.default_rng(seed).random((len(rows), 2)) < 0.5
  return [
    {
      "prompt": row["prompt"],
      "chosen": answer(row, {rubric: True, other: bool(first)}),
      "rejected": answer(row, {rubric: False, other: bool(second)}),
    }
    for row, (first, second) in zip(rows, drawn)
  ]


def run(config: ConfigDict, folder: Path, *, say: parts.Say) -> dict:
  """Makes what is missing of the study in `folder`; its `numbers`.

  config: `configs/shift.py`. say: called with lines of progress.
  """
  study, seed = config.study, config.seed
  before, after = _rubrics(study)
  sizes = _sizes(study)
  rows = _rows("train", study.pairs + sizes[-1], study.clusters, seed)
  held = _rows("heldout", study.heldout, study.clusters, seed)
  parts.begin(config, folder)
  tasks = {}
  for name, other in ((before, after), (after, before)):
    file = folder / f"{name}.jsonl"
    replace_file(file, "".join(map(line, pairs(held, name, other, seed))))
    tasks[name] = dict(
      name="preferences", path=str(file), split="train", group="", limit=0
    )
  first, new = rows[: study.pairs], rows[study.pairs :]
  known = pairs(first, before, after, seed)
  model = parts.part(config, folder / before, tasks, known, say=say)
  own = pairs(first, after, before, seed)
  parts.part(config, folder / after, tasks, own, say=say)
  moved = ConfigDict(config.to_dict())
  moved.model.update(path=str(model), preset="", revision="", adapter="")
  moved.train.steps = study.steps
  new = pairs(new, after, before, seed)
  for n in sizes:
    parts.part(moved, folder / f"moved-{n}", tasks, new[:n], say=say)
  found = numbers(folder)
  parts.write(folder, "shift", found)
  return found


def numbers(folder: Path) -> dict:
  """What the items on disk say; a pure function of the folder.

  "trained": accuracies of the models that began with either rubric, on both,
  with n and 95 % intervals. "moved": the same of the first of them by the
  number of new pairs it went on with, in so many "passes" over them; 0 is that
  model. "half": the least of these numbers that closes half of the distance, on
  the new rubric, to the model that was trained on nothing else; None where none
  does.

  Intervals are over items alone; one draw of pairs is what it is.
  """
  config = parts.read_config(folder)
  before, after = rubrics = _rubrics(config.study)

  def accuracies(name: str) -> dict[str, Estimate]:
    return {
      rubric: intervals.mean(
        np.array(
          [x["scores"]["acc"] for x in parts.items(folder / name, rubric)]
        ),
        seed=config.seed,
      )
      for rubric in rubrics
    }

  trained = {name: accuracies(name) for name in rubrics}
  moved = [{"pairs": 0, "passes": 0.0, **trained[before]}]
  for n in _sizes(config.study):
    seen = parts.passes(folder / f"moved-{n}")
    moved.append({"pairs": n, "passes": seen, **accuracies(f"moved-{n}")})
  middle = (trained[before][after].mean + trained[after][after].mean) / 2
  enough = (x["pairs"] for x in moved if x[after].mean >= middle)
  return plain(
    {
      "before": before,
      "after": after,
      "trained": trained,
      "moved": moved,
      "half": next(enough, None),
    }
  )


def tables(found: Mapping) -> list[Table]:
  """The numbers for people."""
  rubrics = found["before"], found["after"]
  heads = [f"accuracy on {name}" for name in rubrics]
  out = Table("trained on", "passes", *heads, "n", box=None, pad_edge=False)
  before, after = rubrics
  for x in found["moved"]:
    name = before + f", then {x['pairs']} of {after}" * bool(x["pairs"])
    n, often = str(x[after]["n"]), f"{x['passes']:.1f}" if x["pairs"] else ""
    out.add_row(name, often, *(cell(x[k]) for k in rubrics), n)
  own = found["trained"][after]
  out.add_row(after, "", *(cell(own[k]) for k in rubrics), str(own[after]["n"]))
  return [out]


def _rubrics(study: ConfigDict) -> tuple[str, str]:
  found = study.before, study.after
  if found[0] == found[1] or not set(found) <= set(RUBRICS):
    raise ValueError(
      f"study.before = {found[0]!r}, study.after = {found[1]!r}; they must be "
      f"two of {', '.join(RUBRICS)}."
    )
  return found


def _sizes(study: ConfigDict) -> list[int]:
  found = sorted(set(study.sizes))
  if not found or found[0] < 1:
    raise ValueError(
      f"study.sizes = {tuple(study['sizes'])}; they must be numbers of pairs, "
      "1 or more."
    )
  return found


def _rows(split: str, n: int, clusters: Sequence[str], seed: int) -> list[dict]:
  """Rows whose rejected answer is wrong in content, clusters in turn."""
  clusters = tuple(clusters) or suite.clusters()
  total = sum(suite.size(split, name) for name in clusters)
  every = suite.rows(split, n=total, seed=seed, clusters=clusters)
  found = [row for row in every if row["reason"] == "wrong"]
  if len(found) < n:
    raise ValueError(
      f"{n} pairs of the {split} split are asked for; study.clusters have "
      f"{len(found)} rows with a wrong answer.\nLower study.pairs, study.sizes "
      "or study.heldout, or give more clusters."
    )
  return found[:n]
