"""Raters that are played: with errors, tastes and biases that are known.

They see and say what people would, by the same calls, so that a study can be
tried out before people give their time, and so that the numbers of `raters` can
be held against what was planted.
"""

import heapq
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from alignjax.evals.judges.verdicts import Judge
from alignjax.feedback import assign, votes
from alignjax.feedback.assign import Shown
from alignjax.feedback.choices import REASONS, Vote
from alignjax.feedback.judgements import length as characters
from alignjax.feedback.store import Rater, Store

PREFIX = "simulated-"  # of their names
MUCH = 2.0  # log-odds from which an answer is said to be much better
SPREAD = 0.5  # standard deviation of the logarithm of a vote's seconds


class Simulated(NamedTuple):
  """A rater that is played. By what order what acts on a vote:

  skip, both_bad, tie: chances of these, in turn. Otherwise the left answer is
  chosen with log-odds sharp · (better + taste · own) + length · doublings;
  better: of left over right; own: normal, the rater's own opinion of the pair;
  doublings: of characters, from right to left.
  noise: chance that the choice is turned round.
  side: by how much left's share lies above a half, -0.5 to 0.5, where both
  sides are as good: a side is taken unread with chance 2 · |side|.
  seconds: the median of a vote's, which are log-normal.
  """

  noise: float = 0.0
  side: float = 0.0
  length: float = 0.0
  sharp: float = 4.0
  taste: float = 0.0
  tie: float = 0.0
  both_bad: float = 0.0
  skip: float = 0.0
  seconds: float = 30.0


def check(rater: Simulated) -> Simulated:
  """The same; ValueError where a number is none that it can be."""
  shares = ("noise", "tie", "both_bad", "skip")
  rules = {k: (0 <= getattr(rater, k) <= 1, "from 0 to 1") for k in shares}
  rules["side"] = (abs(rater.side) <= 0.5, "from -0.5 to 0.5")
  rules["length"] = (math.isfinite(rater.length), "a finite number")
  for k in ("sharp", "taste"):
    rules[k] = (0 <= getattr(rater, k) < math.inf, "0 or more")
  rules["seconds"] = (0 < rater.seconds < math.inf, "above 0")
  for name, (good, rule) in rules.items():
    if not good:
      raise ValueError(f"{name} = {getattr(rater, name)}; it is {rule}")
  return rater


def by_gold(store: Store) -> dict[int, float]:
  """What is known of each pair: 1 where a is better, -1 where b is, else 0."""
  worth = {"a": 1.0, "b": -1.0}
  with store.read() as db:
    rows = db.execute("SELECT id, gold FROM pairs").fetchall()
  return {id: worth.get(gold, 0.0) for id, gold in rows}


def items(store: Store) -> dict[str, dict]:
  """The pairs as items of a judge, by number: prompt, and what a row had."""
  with store.read() as db:
    rows = db.execute("SELECT id, prompt, fields FROM pairs").fetchall()
  return {
    str(id): {**json.loads(fields), "prompt": json.loads(prompt)}
    for id, prompt, fields in rows
  }


def by_judge(store: Store, judge: Judge) -> dict[int, float]:
  """As `by_gold`, of what a judge likes better; 0 where it cannot tell.

  judge: told `items` by their numbers, as the judges of `evals.winrate`.
  """
  with store.read() as db:
    rows = db.execute("SELECT id, a, b FROM pairs").fetchall()
  ids, *texts = zip(*((str(id), _text(a), _text(b)) for id, a, b in rows))
  worth = {"first": 1.0, "second": -1.0}
  verdicts = judge(list(ids), *map(list, texts))
  return {int(id): worth.get(said, 0.0) for id, said in zip(ids, verdicts)}


def _text(answer: str) -> str:
  said = (m["content"] for m in json.loads(answer) if m["role"] == "assistant")
  return "\n\n".join(said)


def simulate(
  store: Store,
  raters: Sequence[Simulated],
  better: Mapping[int, float],
  *,
  seed: int,
) -> int:
  """Plays raters until nothing is left for them; returns their votes.

  better: of each pair, how much a is better than b, in units of `sharp`.

  They work at the same time, each at their own pace, by a clock that starts
  now and moves with them. The same seed in a new study gives the same votes.
  Raises ValueError as `alone`.
  """
  alone(store)
  clock = [store.now()]
  real, store.now = store.now, lambda: clock[0]
  try:
    players = []
    for number, one in enumerate(map(check, raters), 1):
      token = store.add_rater(f"{PREFIX}{number}")
      dice = np.random.default_rng([seed, number])
      players.append((store.rater_of(token), one, dice))
    count = 0
    # Who has nothing left may get what others let go.
    while more := _round(store, players, better, clock):
      count += more
    return count
  finally:
    store.now = real


def alone(store: Store) -> None:
  """Raises ValueError where a study has raters: they are not to be mixed."""
  names = [r.name for r in store.raters()]
  if names:
    people = [n for n in names if not n.startswith(PREFIX)]
    who = f"{people[0]!r} is in it" if people else "raters were played before"
    raise ValueError(
      f"{store.path}: {who}; votes that are played are not mixed with others\n"
      "begin another study of the same pairs (--study)"
    )


def _round(store, players, better, clock) -> int:
  """All raters until none gets a task; returns the number of votes."""
  due, shown, count = [], {}, 0

  def begin(at: int) -> None:
    rater, one, dice = players[at]
    shown[at] = assign.next_task(store, rater)
    if shown[at] is not None:
      took = one.seconds * math.exp(SPREAD * dice.standard_normal())
      heapq.heappush(due, (clock[0] + took, at))

  for at in range(len(players)):
    begin(at)
  while due:
    clock[0], at = heapq.heappop(due)
    count += _say(store, *players[at], shown[at], better)
    begin(at)
  return count


def _say(
  store: Store,
  rater: Rater,
  one: Simulated,
  dice: np.random.Generator,
  shown: Shown,
  better: Mapping[int, float],
) -> int:
  """Votes or skips; returns the number of votes."""
  with store.read() as db:
    (pair,) = db.execute(
      "SELECT pair FROM tasks WHERE id = ?", (shown.task,)
    ).fetchone()
  try:
    if dice.random() < one.skip:
      reason = [*REASONS][dice.integers(len(REASONS) - 1)]
      votes.skip(store, rater, shown.task, reason)
      return 0
    choice = choose(one, rater.id, pair, shown, better.get(pair, 0.0), dice)
    votes.vote(store, rater, shown.task, Vote(choice))
    return 1
  except ValueError:  # too slow: others have the place
    return 0


def choose(
  one: Simulated,
  number: int,
  pair: int,
  shown: Shown,
  better: float,
  dice: np.random.Generator,
) -> str:
  """What the rater of this number says of what is shown.

  better: of a over b.
  """
  if dice.random() < one.both_bad:
    return "both_bad"
  if dice.random() < one.tie:
    return "tie"
  # An opinion is the same when the pair comes again.
  worth = better
  if one.taste:
    own = np.random.default_rng([number, pair]).standard_normal()
    worth += one.taste * own
  doublings = math.log2(characters(shown.left) / characters(shown.right))
  odds = one.sharp * (-worth if shown.flipped else worth)
  odds += one.length * doublings
  # tanh does not overflow where all is certain.
  left = dice.random() < 0.5 * (1 + math.tanh(odds / 2))
  left ^= dice.random() < one.noise
  if dice.random() < 2 * abs(one.side):
    left = one.side > 0
  much = (odds > 0) == left and abs(odds) >= MUCH
  return ("left" if left else "right") + ("_much" if much else "")
