"""How many pairs move a reward model from one rubric to another.

A reward model is trained on pairs that one rubric judges and goes on with a few
that another judges; it is asked pairs of both. Each rubric looks at one thing
of an answer, which differs between the sides of its pairs; in the thing the
other rubric looks at the sides are drawn each by itself. So who has learnt one
rubric alone is right on half of the other's pairs.

In the place of rubrics two files of pairs may stand, rounds of comparisons by
people, say: how far has what they prefer moved? (`rounds`)
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
from alignjax.studies import parts, rounds

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
  train, held = _made(study, sizes, seed)
  parts.begin(config, folder)
  tasks = {}
  for name, rows in held.items():
    file = folder / f"{name}.jsonl"
    replace_file(file, "".join(map(line, rows)))
    tasks[name] = dict(
      name="preferences", path=str(file), split="train", group="", limit=0
    )
  model = parts.part(config, folder / before, tasks, train[before], say=say)
  parts.part(config, folder / after, tasks, train[after], say=say)
  moved = ConfigDict(config.to_dict())
  moved.model.update(path=str(model), preset="", revision="", adapter="")
  moved.train.steps = study.steps
  for n in sizes:
    new = train["new"][:n]
    parts.part(moved, folder / f"moved-{n}", tasks, new, say=say)
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


def _made(
  study: ConfigDict, sizes: Sequence[int], seed: int
) -> tuple[dict[str, list], dict[str, list]]:
  """Pairs to train on, "new" for those of the second rubric that are gone on
  with, and pairs to ask, by rubric."""
  before, after = _rubrics(study)
  if study.before in RUBRICS:
    rows = _rows("train", study.pairs + sizes[-1], study.clusters, seed)
    held = _rows("heldout", study.heldout, study.clusters, seed)
    first, new = rows[: study.pairs], rows[study.pairs :]
    train = {
      before: pairs(first, before, after, seed),
      after: pairs(first, after, before, seed),
      "new": pairs(new, after, before, seed),
    }
    asked = {
      before: pairs(held, before, after, seed),
      after: pairs(held, after, before, seed),
    }
    return train, asked
  (old, was), (new, now) = (
    rounds.split(path, seed) for path in (study.before, study.after)
  )
  if len(new) < sizes[-1]:
    raise ValueError(
      f"study.sizes ask for {sizes[-1]} pairs of {study.after}, which has "
      f"{len(new)} to train on.\nLower the largest of them."
    )
  n = study.heldout
  train = {before: old[: study.pairs], after: new[: study.pairs], "new": new}
  return train, {before: was[:n], after: now[:n]}


def _rubrics(study: ConfigDict) -> tuple[str, str]:
  """What is moved from and to: two of `RUBRICS`, or names of two files."""
  found = study.before, study.after
  known = [name in RUBRICS for name in found]
  names = found if all(known) else tuple(map(rounds.name, found))
  files = [bool(Path(x).suffix) for x, own in zip(found, known) if not own]
  if names[0] == names[1] or any(known) != all(known) or not all(files):
    raise ValueError(
      f"study.before = {found[0]!r}, study.after = {found[1]!r}; they must be "
      f"two of {', '.join(RUBRICS)}, or two files of pairs, of other names."
    )
  return names


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
