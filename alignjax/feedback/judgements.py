"""The votes of a study as rows to count."""

import json
from collections.abc import Iterable, Sequence
from math import log2
from typing import NamedTuple

from alignjax.feedback.assign import GOLD
from alignjax.feedback.choices import strength, winner
from alignjax.feedback.store import Store


class Judgement(NamedTuple):
  """A vote.

  pair, rater: their numbers. repeat: whether the rater had the pair before.
  flipped: whether b was on the left. choice: of `choices.KEPT`. seconds: it
  took. gold: what is known of the pair, None for nothing. item: whether it is a
  gold item, which many raters get. longer: doublings of characters from a to b.
  models: of a and b. labels: (side, label), sides "a" and "b".
  """

  pair: int
  rater: int
  repeat: bool
  flipped: bool
  choice: str
  seconds: float
  gold: str | None
  item: bool
  longer: float
  models: tuple[str, str]
  labels: tuple[tuple[str, str], ...]

  @property
  def winner(self) -> str:
    """ "a", "b", "tie" or "both_bad"."""
    return winner(self.choice) or "both_bad"

  @property
  def step(self) -> int | None:
    """-2 (a much better) to 2; None for both bad."""
    return strength(self.choice)

  @property
  def left(self) -> bool | None:
    """Whether the left answer won; None where none did."""
    return (self.winner == "b") == self.flipped if self.decided else None

  @property
  def decided(self) -> bool:
    """Whether one answer won."""
    return self.winner in ("a", "b")


def judgements(store: Store) -> list[Judgement]:
  """All votes, in the order of pairs and raters."""
  with store.read() as db:
    rows = db.execute(
      "SELECT t.id, t.pair, t.rater, t.repeat, t.flipped, v.choice, v.seconds, "
      f"p.gold, {GOLD} FROM votes v JOIN tasks t ON t.id = v.task "
      "JOIN pairs p ON p.id = t.pair ORDER BY p.position, t.rater, t.repeat"
    ).fetchall()
    texts = db.execute(
      "SELECT id, a, b, model_a, model_b FROM pairs WHERE id IN "
      "(SELECT t.pair FROM votes v JOIN tasks t ON t.id = v.task)"
    ).fetchall()
    said = db.execute("SELECT task, side, label FROM labels ORDER BY 1, 2, 3")
    labels: dict[int, list] = {}
    for task, *label in said:
      labels.setdefault(task, []).append(tuple(label))
  about = {
    id: (log2(length(b) / length(a)), models) for id, a, b, *models in texts
  }
  return [
    Judgement(
      pair,
      rater,
      bool(repeat),
      bool(flipped),
      choice,
      seconds,
      gold,
      bool(item),
      about[pair][0],
      tuple(about[pair][1]),
      tuple(labels.get(task, ())),
    )
    for task, pair, rater, repeat, flipped, choice, seconds, gold, item in rows
  ]


def length(said: str | Sequence[dict]) -> int:
  """Characters of an answer's own turns, given as such or as JSON."""
  turns = json.loads(said) if isinstance(said, str) else said
  return sum(len(m["content"]) for m in turns if m["role"] == "assistant")


def by_pair(found: Iterable[Judgement]) -> dict[int, list[Judgement]]:
  """The first votes on each pair that is no gold item."""
  groups: dict[int, list[Judgement]] = {}
  for one in found:
    if not one.repeat and not one.item:
      groups.setdefault(one.pair, []).append(one)
  return groups
