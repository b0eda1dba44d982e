"""How well scores tell preferences: arithmetic on pairs.

`margin` is r_c − r_r, the score of the chosen completion above the other's;
`label` is the probability that the chosen one is the preferred one.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from alignjax.statistics.intervals import Share

BINS = 10  # of a confidence from 0.5 to 1
EQUAL = 0.1  # part of the longer one by which "about equal" lengths may differ

Pairs = Float[np.ndarray, "p"]
Lengths = Int[np.ndarray, "p"]


class Rewards(NamedTuple):
  """Of scores."""

  mean: float
  std: float
  min: float
  max: float


class Agreement(NamedTuple):
  """Scores against preferences.

  accuracy: pairs whose preferred side has the higher score.
  margin: mean. log_loss: nats a pair; log 2 = 0.693 knows nothing.
  by_length: accuracy where the preferred side is shorter, about as long as the
    other, or longer.
  longer: pairs that "the longer one is preferred" tells.
  """

  pairs: int
  accuracy: Share
  margin: float
  ece: float
  log_loss: float
  by_length: dict[str, Share]
  longer: Share


def rewards(scores: Float[np.ndarray, "n"]) -> Rewards:
  """Mean, standard deviation (of the population), least and greatest."""
  scores = scores.astype(np.float64)
  found = scores.mean(), scores.std(), scores.min(), scores.max()
  return Rewards(*map(float, found))


def agreement(
  margin: Pairs,
  label: Pairs,
  chosen: Lengths,
  rejected: Lengths,
  *,
  unit: float,
) -> Agreement:
  """All of it; lengths of completions are in tokens.

  unit: log-odds to a margin of 1, in which `log_loss` and `ece` are taken: 1
    as Bradley and Terry have it, the deviation a calibration has divided by.
  """
  return Agreement(
    pairs=len(margin),
    accuracy=accuracy(margin, label),
    margin=float(margin.mean()),
    ece=calibration_error(margin * unit, label),
    log_loss=log_loss(margin * unit, label),
    by_length=by_length(margin, label, chosen, rejected),
    longer=longer(label, chosen, rejected),
  )


def accuracy(margin: Pairs, label: Pairs) -> Share:
  """Pairs with the higher score on the preferred side; a tie is wrong.

  Of those with a preferred side: a label that is not 1/2.
  """
  return _share(_told(margin, label), label != 0.5)


def by_length(
  margin: Pairs, label: Pairs, chosen: Lengths, rejected: Lengths
) -> dict[str, Share]:
  """`accuracy` by how long the preferred side is beside the other.

  "about equal": they differ by at most `EQUAL` of the longer one.
  """
  more = np.where(label > 0.5, chosen - rejected, rejected - chosen)
  close = np.abs(more) <= EQUAL * np.maximum(chosen, rejected)
  bands = {
    "preferred is shorter": ~close & (more < 0),
    "about equal": close,
    "preferred is longer": ~close & (more > 0),
  }
  told = _told(margin, label)
  return {k: _share(told, at & (label != 0.5)) for k, at in bands.items()}


def longer(label: Pairs, chosen: Lengths, rejected: Lengths) -> Share:
  """Pairs told by length alone: the longer side is taken for the preferred one.

  Of equal lengths either is taken, so every other one is told.
  """
  sure = label != 0.5
  right = np.where(label > 0.5, chosen > rejected, rejected > chosen)
  ties = int(np.sum((chosen == rejected) & sure))
  return Share(int(np.sum(right & sure)) + ties // 2, int(sure.sum()))


def log_loss(margin: Pairs, label: Pairs) -> float:
  """Mean of −p·log σ(margin) − (1 − p)·log σ(−margin), in nats."""
  margin = margin.astype(np.float64)
  lost = label * np.logaddexp(0, -margin)
  lost += (1 - label) * np.logaddexp(0, margin)
  return float(lost.mean())


def calibration_error(margin: Pairs, label: Pairs) -> float:
  """Expected calibration error: Σ n_b/n · |accuracy_b − confidence_b|.

  Guo et al. 2017 (https://arxiv.org/abs/1706.04599), section 2. The confidence
  is σ(|margin|), that of the side with the higher score, in `BINS` bins of
  equal width from 1/2, the least there is of two, to 1; accuracy is how often
  that side is the preferred one: p or 1 − p of each pair, 1/2 of a tie.
  """
  confidence = 1 / (1 + np.exp(-np.abs(margin.astype(np.float64))))
  outcome = np.where(margin > 0, label, 1 - label)
  outcome = np.where(margin == 0, 0.5, outcome)
  # (a, b], as in the paper; exactly 1/2 goes into the first.
  at = np.ceil((confidence - 0.5) * 2 * BINS).astype(int).clip(1, BINS) - 1
  gaps = np.bincount(at, outcome - confidence, minlength=BINS)
  return float(np.abs(gaps).sum() / len(margin))


def _told(margin: Pairs, label: Pairs) -> Bool[np.ndarray, "p"]:
  return np.where(label > 0.5, margin > 0, margin < 0)


def _share(hits: Bool[np.ndarray, "p"], of: Bool[np.ndarray, "p"]) -> Share:
  return Share(int(np.sum(hits & of)), int(np.sum(of)))
