"""Surface of completions, and what of it goes with being preferred."""

import re
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from alignjax.data.preferences import Judged, Preference
from alignjax.statistics.intervals import Share
from alignjax.statistics.logistic import FOLDS, Term, held_out, logistic

MIN_ROWS = 30  # of a fit
MIN_APART = 10  # rows that a column tells apart; fewer leave it out
_HEDGES = (
  "maybe|perhaps|possibly|probably|presumably|apparently|might|i think"
  "|i believe|i guess|i suppose|i assume|i'm not sure|i am not sure"
  "|i'm not certain|it depends|it seems|it appears|seems to|appears to"
  "|could be|may be|likely|as far as i know|in my opinion|to some extent"
)
_REFUSALS = (
  "i can't|i cannot|i can not|i won't|i will not|i'm unable|i am unable"
  "|i'm not able|i am not able|i'm sorry|i am sorry|i apologi[sz]e|as an ai"
  "|i'd rather not|i would rather not|i'm not comfortable"
  "|i am not comfortable|i don't feel comfortable|i must decline|i decline"
  "|i'm not going to|i am not going to|i refuse"
)
# Of lower-case text with straight apostrophes; MULTILINE.
PATTERNS = {
  "list": r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S",
  "heading": r"^#{1,6}[ \t]+\S",
  "code block": r"^[ \t]*(?:```|~~~)",
  "bold": r"\*\*(?=\S)[^*\n]+(?<=\S)\*\*",
  "hedge": rf"\b(?:{_HEDGES})\b",
  "refusal": rf"\b(?:{_REFUSALS})\b",
}
_PATTERNS = [re.compile(p, re.MULTILINE) for p in PATTERNS.values()]
FEATURES = ("words", "characters", *PATTERNS, "asks back")


class Feature(NamedTuple):
  """How a feature of the text (`FEATURES`) goes with being preferred.

  preferred, other: mean over the preferred (wanted) and the other completions;
    of what a text has or has not, a share.
  apart: of the pairs where one side has it, or more of it, those where that is
    the preferred side; n = 0 for judged answers.
  """

  name: str
  preferred: float
  other: float
  apart: Share


class Model(NamedTuple):
  """P(first is preferred) by differences, or P(wanted), as a logistic fit.

  Which side of a pair is first goes by a hash of its origin. `words` is in
  standard deviations, which is `scale` words; what a text has or has not counts
  1 or 0, and is left out where it tells fewer than `MIN_APART` rows apart.
  ridge: as in `logistic.Fit`. accuracy, by_length: rows told right by fits to
  others (pairs of one prompt together), by_length by fits to words alone.
  Errors take rows as independent; pairs of one ranked list are not.
  """

  terms: tuple[Term, ...]
  scale: float
  ridge: float
  rows: int
  accuracy: Share
  by_length: Share


class Section(NamedTuple):
  """The pairs of a set, or its judged answers.

  first: those whose label says that the first side (`chosen`) is preferred, or
    that the answer is wanted; of those with a label that is not 0.5.
  soft: labels between 0 and 1.
  model: None where there are fewer than `MIN_ROWS` rows, or one label alone.
  """

  n: int
  first: Share
  soft: int
  features: tuple[Feature, ...]
  model: Model | None


def features(text: str) -> tuple[float, ...]:
  """`FEATURES` of a text: two counts, then 1.0 for what it has, else 0.0.

  asks back: it ends with a question mark. Hedges and refusals are found by
    English phrases; words are what stands between white space.
  """
  low = text.lower().replace("’", "'")
  has = [float(p.search(low) is not None) for p in _PATTERNS]
  asks = text.rstrip().endswith(("?", "?", "؟"))
  return (float(len(text.split())), float(len(text)), *has, float(asks))


class Table:
  """Features of completions, gathered row by row: pairs, or judged answers."""

  def __init__(self, paired: bool):
    self.paired = paired
    # Of each row: its sides' features, its label, which side goes first in a
    # fit, and the fold of its prompt.
    self.sides, self.labels = array("d"), array("d")
    self.signs, self.folds = array("b"), array("b")

  def add(self, item: Preference | Judged, prompt: bytes) -> None:
    """Takes a row in. prompt: its digest; rows of one prompt share a fold."""
    sides = item.sides if isinstance(item, Preference) else (item.completion,)
    for side in sides:
      self.sides.extend(features(_said(side)))
    self.labels.append(item.label)
    # Not of the folder: the numbers are those of the file wherever it lies.
    name = item.origin.rpartition("/")[2]
    odd = blake2b(name.encode(), digest_size=1).digest()[0] % 2
    self.signs.append(1 if odd else -1)
    self.folds.append(int.from_bytes(prompt, "big") % FOLDS)

  def section(self) -> Section | None:
    """The report on them, None of nothing."""
    n, width = len(self.labels), len(FEATURES)
    if not n:
      return None
    label, signs = np.array(self.labels), np.array(self.signs, float)
    sides = np.array(self.sides).reshape(n, -1, width)
    sure, wins = label != 0.5, label > 0.5
    folds = np.array(self.folds)
    if self.paired:
      x = (sides[:, 0] - sides[:, 1]) * signs[:, None]
      y = np.where(signs > 0, label, 1 - label)
      at = np.arange(n)
      best = sides[at, 1 - wins][sure]
      rest = sides[at, wins.astype(int)][sure]
      apart = best - rest
    else:
      x, y = sides[:, 0], label
      best, rest, apart = x[wins], x[~wins], x[:0]
      # Of either label alike: a fold with more of one leaves more of the other
      # to fit to, and would be told wrong for that.
      folds = np.where(wins, np.cumsum(wins), np.cumsum(~wins)) % FOLDS
    found = zip(FEATURES, _means(best), _means(rest), apart.T)
    return Section(
      n=n,
      first=Share(int(wins.sum()), int(sure.sum())),
      soft=int(np.sum((label > 0) & (label < 1))),
      features=tuple(
        Feature(name, a, b, Share(int(np.sum(d > 0)), int(np.sum(d != 0))))
        for name, a, b, d in found
      ),
      model=_model(x, y, folds, self.paired),
    )


def _means(x: np.ndarray) -> list[float]:
  return x.mean(0).tolist() if len(x) else [0.0] * x.shape[1]


def _model(
  x: np.ndarray, y: np.ndarray, folds: np.ndarray, paired: bool
) -> Model | None:
  sure = y != 0.5
  n = int(sure.sum())
  if n < MIN_ROWS or len({*(y[sure] > 0.5)}) < 2:
    return None
  words = x[:, :1] - (0 if paired else x[:, :1].mean())
  scale = float(np.sqrt(np.mean(words**2))) or 1.0
  # Characters tell what words tell.
  rest = {name: x[:, k] for k, name in enumerate(FEATURES) if k > 1}
  counts = {name: np.sum(v != np.median(v)) for name, v in rest.items()}
  used = {name: v for name, v in rest.items() if counts[name] >= MIN_APART}
  whole = np.column_stack([np.ones(len(x)), words / scale, *used.values()])
  fit = logistic(whole, y)
  # Without a constant it does not matter which side of a pair goes first.
  start = 1 if paired else 0

  def accuracy(end: int | None) -> Share:
    return held_out(whole[sure, start:end], y[sure], folds[sure])

  names = ("first" if paired else "constant", "words", *used)
  numbers = zip(names, fit.coefficients.tolist(), fit.errors.tolist())
  return Model(
    terms=tuple(Term(*t) for t in numbers),
    scale=scale,
    ridge=fit.ridge,
    rows=len(x),
    accuracy=accuracy(None),
    by_length=accuracy(2),
  )


def _said(side: Iterable[dict]) -> str:
  """What the assistant says on a side."""
  return "\n".join(m["content"] for m in side if m["role"] == "assistant")
