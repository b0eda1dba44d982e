"""What the votes say of those who gave them: speed, bias, errors, flags."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from alignjax.feedback.judgements import Judgement, by_pair
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate, Share
from alignjax.statistics.logistic import Term, logistic

LEAST = 20  # votes that a flag rests on
FEW = 8  # gold items, and repeats, that a flag rests on
RIGHT = 0.75  # share of gold items, and of repeats, below which a flag is put
FAST = 3  # times as fast as others
FAR = 0.2  # of a share of undecided votes, from that of others


class Numbers(NamedTuple):
  """A rater's votes; None and n = 0: not to be told.

  votes: all, repeats and gold items among them. seconds: the median's.
  left: votes for the left answer, of the `left.n` that choose one; 1/2 is no
  bias. ties, both_bad: of first votes. gold: votes that say what is known.
  itself: repeats that say the same of who wins as the first time. others: share
  of others' votes on the rater's pairs that say the same. longer: votes for the
  longer answer. length: log-odds of a vote for an answer by each doubling of
  its characters, beside a bias for a side. That is no error where longer
  answers are better.
  """

  votes: int
  seconds: float | None
  left: Share
  ties: Share
  both_bad: Share
  gold: Share
  itself: Share
  others: Estimate | None
  longer: Share
  length: Term | None

  @property
  def undecided(self) -> Share:
    """Votes for neither answer, of first votes."""
    return Share(self.ties.hits + self.both_bad.hits, self.ties.n)


class Flag(NamedTuple):
  """A reason to look at a rater: which rule, and its numbers.

  Nothing follows of itself: the votes stay in every export.
  """

  rule: str
  said: str


def numbers(
  mine: Sequence[Judgement], groups: Mapping[int, list[Judgement]], *, seed: int
) -> Numbers:
  """Of the votes of one rater. groups: `by_pair` of all votes."""
  first = [v for v in mine if not v.repeat]
  decided = [v for v in first if v.decided]
  known = [v for v in first if v.gold]
  before = {v.pair: v for v in first}
  again = [(v, before[v.pair]) for v in mine if v.repeat and v.pair in before]
  unlike = [v for v in decided if v.longer]
  return Numbers(
    votes=len(mine),
    seconds=median(v.seconds for v in mine) if mine else None,
    left=Share(sum(v.left for v in decided), len(decided)),
    ties=Share(sum(v.winner == "tie" for v in first), len(first)),
    both_bad=Share(sum(v.winner == "both_bad" for v in first), len(first)),
    gold=Share(sum(v.winner == v.gold for v in known), len(known)),
    itself=Share(sum(v.winner == w.winner for v, w in again), len(again)),
    others=_others(first, groups, seed),
    longer=Share(sum(_for_longer(v) for v in unlike), len(unlike)),
    length=_length(unlike),
  )


def _for_longer(vote: Judgement) -> bool:
  return (vote.winner == "b") == (vote.longer > 0)


def _others(first, groups, seed: int) -> Estimate | None:
  same, pairs = [], []
  for one in first:
    for other in groups.get(one.pair, ()):
      if other.rater != one.rater and not one.item:
        same.append(one.winner == other.winner)
        pairs.append(one.pair)
  return intervals.mean(np.array(same), pairs, seed=seed) if same else None


def _length(votes: Sequence[Judgement]) -> Term | None:
  """P(left) = σ(side + length · doublings of the left over the right one)."""
  doublings = [v.longer if v.flipped else -v.longer for v in votes]
  if len(votes) < LEAST or len(set(doublings)) == 1:
    return None  # a bias for a side would look the same
  x = np.stack([np.ones(len(votes)), np.array(doublings)], 1)
  fit = logistic(x, np.array([v.left for v in votes], np.float64))
  return Term("length", float(fit.coefficients[1]), float(fit.errors[1]))


def all_numbers(found: Sequence[Judgement], *, seed: int) -> dict[int, Numbers]:
  """`numbers` of each rater with a vote, by number."""
  groups, mine = by_pair(found), {}
  for one in found:
    mine.setdefault(one.rater, []).append(one)
  return {k: numbers(v, groups, seed=seed) for k, v in sorted(mine.items())}


def flags(found: Mapping[int, Numbers]) -> dict[int, list[Flag]]:
  """What stands out, by rater: a share whose 95 % interval breaks a rule.

  Of 20 raters without any bias one breaks each rule by chance.
  """
  paces = [n.seconds for n in found.values() if n.votes >= LEAST]
  return {
    rater: list(_flags(n, median(paces) if len(paces) > 2 else 0.0, found))
    for rater, n in found.items()
  }


def _flags(n: Numbers, pace: float, found: Mapping[int, Numbers]):
  if n.left.n >= LEAST and not _holds(n.left.interval(), 0.5):
    side = "left" if n.left.hits * 2 > n.left.n else "right"
    yield Flag("side", f"chooses the {side} side: left {_share(n.left)}")
  for rule, share, what in (
    ("gold", n.gold, "right where the answer is known"),
    ("itself", n.itself, "of repeats judged as before"),
  ):
    if share.n >= FEW and share.interval()[1] < RIGHT:
      yield Flag(rule, f"{_share(share)} {what}, below {RIGHT:.0%}")
  if n.undecided.n >= LEAST:
    sizes = (m.undecided for m in found.values())
    usual = median(s.hits / s.n for s in sizes if s.n >= LEAST)
    low, high = n.undecided.interval()
    if low > usual + FAR or high < usual - FAR:
      yield Flag(
        "undecided",
        f"ties and both bad {_share(n.undecided)}; raters usually {usual:.1%}",
      )
  rest = [m.others for m in found.values() if m.others and m is not n]
  if n.others and rest and n.others.n >= LEAST:
    usual = median(e.mean for e in rest)
    if n.others.high < usual:
      e = n.others
      yield Flag(
        "others",
        f"agrees with others on {e.mean:.1%} of {e.n} votes "
        f"[{100 * e.low:.1f}, {100 * e.high:.1f}]; raters usually {usual:.1%}",
      )
  if n.length and not _holds(n.length.interval(), 0.0):
    low, high = n.length.interval()
    which = "longer" if low > 0 else "shorter"
    yield Flag(
      "length",
      f"prefers the {which} answer: {n.length.coefficient:+.2f} "
      f"[{low:+.2f}, {high:+.2f}] log-odds a doubling, {_share(n.longer)} for "
      "the longer",
    )
  if n.votes >= LEAST and n.seconds * FAST < pace:
    yield Flag(
      "fast", f"{n.seconds:.1f} s a vote (median), raters usually {pace:.1f} s"
    )


def _holds(interval: tuple[float, float], value: float) -> bool:
  return interval[0] <= value <= interval[1]


def _share(s: Share) -> str:
  low, high = s.interval()
  return f"{s.hits / s.n:.1%} of {s.n} [{100 * low:.1f}, {100 * high:.1f}]"
