"""MMLU (Hendrycks et al. 2021, https://arxiv.org/abs/2009.03300).

From the published layout: a folder with `dev/` and `test/` (or `val/`), in each
a CSV without header for each subject, `SUBJECT_test.csv`: question, A, B, C, D,
letter.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alignjax.evals import choices, files
from alignjax.evals.items import Item, Line, Task
from alignjax.evals.subjects import CATEGORIES, category
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

LETTERS = "ABCD"
ANSWERS = ("letter", "text")


def task(
  path: str,
  *,
  split: str,
  shots: int,
  subjects: Sequence[str],
  answer: str,
  normalisation: str,
  permute: bool,
  chat: bool,
  limit: int,
) -> Task:
  """Four choices by likelihood, after examples of the subject.

  path: the folder. split: "test" or "val". shots: examples from dev, the first
    ones. subjects: () for all that have a file. limit: questions a subject, 0
    for all.
  answer: "letter" compares ' A' to ' D', "text" the answers themselves.
  normalisation: of `choices.NORMALISATIONS`; letters have none but "raw".
  permute: every question also with its answers moved on by one, two and three
    places; accuracy over all four is blind to a liking for a letter.
  chat: the prompt is a turn of a conversation, not plain text.

  Metrics: acc; of letters also prior/A … prior/D, the mean probability of each
  letter among the four whatever is asked; acc_permuted, the mean over the four
  orders, and acc_all_orders, right in all of them. By subject, and macro; by
  category of subjects (stem, humanities, social sciences, other).
  """
  choices.check("answer", answer, ANSWERS)
  choices.check("normalisation", normalisation, choices.NORMALISATIONS)
  if answer == "letter" and normalisation != "raw":
    raise ValueError(
      f"normalisation = {normalisation!r} with answer = 'letter': letters are "
      "of one length.\nTake raw, or answer = 'text'."
    )
  folder = Path(path)
  names = tuple(subjects) or _subjects(folder, split)
  items, read = [], []
  for subject in names:
    test = folder / split / f"{subject}_{split}.csv"
    questions = files.first(_questions(test), limit)
    read.append(test)
    examples = []
    if shots:
      dev = folder / "dev" / f"{subject}_dev.csv"
      examples = _questions(dev)
      read.append(dev)
      if len(examples) < shots:
        raise ValueError(
          f"{dev} has {len(examples)} examples, shots = {shots}."
        )
    head = _head(subject) + "".join(
      _shown(q, answer) + _answered(q, answer) + "\n\n"
      for q in examples[:shots]
    )
    for number, question in enumerate(questions):
      for turn in range(4 if permute else 1):
        items.append(_item(subject, number, question, turn, head, answer, chat))

  def score(line: Line, output: Mapping) -> dict[str, float]:
    right = float(choices.chosen(line, output, normalisation) == line["gold"])
    found = {"acc_permuted": right} if permute else {}
    if line["turn"]:
      return found
    found = {"acc": right} | found
    if answer == "letter":
      p = choices.softmax(output["logps"])
      found |= {f"prior/{k}": float(x) for k, x in zip(LETTERS, p)}
    return found

  about = {
    "source": files.sha256(read),
    "split": split,
    "shots": shots,
    "examples": "the first of dev" if shots else "none",
    "answer": answer,
    "normalisation": normalisation,
    "permuted": permute,
    "prompt": "chat" if chat else "plain",
    "limit": limit,
  }
  return Task("choices", items, score, about, {"acc": "up"}, totals=_totals)


def _totals(lines: Sequence[Line], seed: int) -> dict[str, Estimate]:
  """Right in all orders; accuracy by category, over its questions."""
  found = {}
  right: dict[str, list[float]] = {}
  categories: dict[str, list[float]] = {}
  for line in lines:
    if "acc_permuted" in line["scores"]:
      right.setdefault(line["cluster"], []).append(
        line["scores"]["acc_permuted"]
      )
    if "acc" in line["scores"]:
      own = categories.setdefault(category(line["group"]), [])
      own.append(line["scores"]["acc"])
  if right:
    all_orders = np.array([float(all(own)) for own in right.values()])
    at = np.arange(len(all_orders))
    found["acc_all_orders"] = intervals.mean(all_orders, at, seed=seed)
  for name in CATEGORIES:
    if name in categories:
      scores = np.array(categories[name])
      found[f"acc/{name}"] = intervals.mean(scores, seed=seed)
  return found


def _subjects(folder: Path, split: str) -> tuple[str, ...]:
  end = f"_{split}.csv"
  found = sorted((folder / split).glob(f"*{end}"))
  if not found:
    raise FileNotFoundError(
      f"No MMLU files {folder / split}/*{end}.\n"
      "Give the folder that holds dev/, val/ and test/ as they are published."
    )
  return tuple(file.name.removesuffix(end) for file in found)


def _questions(file: Path) -> list[list[str]]:
  rows = files.csv_rows(file)
  for number, row in enumerate(rows, 1):
    if len(row) != 6 or row[5] not in tuple(LETTERS):
      raise ValueError(
        f"{file}: row {number} is not question, A, B, C, D, letter."
      )
  return rows


def _head(subject: str) -> str:
  """The line above the examples, as lm-evaluation-harness has it."""
  name = subject.replace("_", " ")
  return (
    f"The following are multiple choice questions (with answers) about {name}."
    "\n\n"
  )


def _shown(question: Sequence[str], answer: str) -> str:
  text, *texts, _ = question
  if answer == "text":
    return f"{text.strip()}\nAnswer:"
  listed = "".join(f"\n{k}. {x}" for k, x in zip(LETTERS, texts))
  return f"{text.strip()}{listed}\nAnswer:"


def _answered(question: Sequence[str], answer: str) -> str:
  gold = question[5]
  said = gold if answer == "letter" else question[1 + LETTERS.index(gold)]
  return f" {said}"


def _item(
  subject: str,
  number: int,
  question: Sequence[str],
  turn: int,
  head: str,
  answer: str,
  chat: bool,
) -> Item:
  """A question, its answers moved on by `turn` places."""
  text, *texts, letter = question
  moved = [texts[(k - turn) % 4] for k in range(4)]
  gold = (LETTERS.index(letter) + turn) % 4
  asked = head + _shown([text, *moved, LETTERS[gold]], answer)
  said = LETTERS if answer == "letter" else moved
  one = f"{subject}-{number}"
  return Item(
    f"{one}+{turn}" if turn else one,
    ({"role": "user", "content": asked},) if chat else asked,
    tuple(said) if chat else tuple(f" {x}" for x in said),
    gold,
    group=subject,
    cluster=one,
    fields={"turn": turn},
  )
