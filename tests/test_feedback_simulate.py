"""What was planted in raters that are played is found again."""

import math

import numpy as np
import pytest
from feedback_studies import SETTINGS as SMALL
from feedback_studies import Clock, hurry, join, query, read, rows, study

from alignjax.feedback import raters, report, simulate
from alignjax.feedback.assign import Shown, side
from alignjax.feedback.choices import Vote, kept
from alignjax.feedback.judgements import Judgement, by_pair
from alignjax.feedback.simulate import Simulated
from alignjax.feedback.store import create

SURE = 1e6  # of `sharp`: the truth is seen
PAIRS = 400


def long_rows(n):
  """Pairs with known answers and answers of 1 to 8 times the length."""
  made = rows(n)
  for i, row in enumerate(made):
    row["a"] *= 1 + i % 3
    row["b"] *= 1 + (i // 3) % 4
    row["gold"] = "ab"[i % 2]
  return made


def players(*made, n=PAIRS, **settings):
  given = dict(overlap=len(made)) | settings

  def play(path, seed=0):
    store = create(
      path, read(long_rows(n)), SMALL._replace(**given), now=Clock()
    )
    better = simulate.by_gold(hurry(store))
    assert simulate.simulate(store, made, better, seed=seed) > 0
    return store

  return play


def within(value, interval):
  return interval[0] <= value <= interval[1]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
  """Six raters: without fault, three with one, two of whom one is fast."""
  play = players(
    Simulated(sharp=SURE),
    Simulated(sharp=SURE, noise=0.25),
    Simulated(sharp=SURE, side=0.1),
    Simulated(sharp=0.0, length=0.8),
    Simulated(sharp=SURE),
    Simulated(sharp=SURE, seconds=5.0),
    n=PAIRS,
    repeat_every=5,
  )
  store = play(tmp_path_factory.mktemp("played") / "s.db")
  return report.report(store), store


def test_what_was_planted_lies_within_the_intervals(played):
  found = [row.numbers for row in played[0].raters]
  good, noisy, left, wordy, *_ = found
  assert within(1 - 0.25, noisy.gold.interval())
  # A repeat is judged as before where both are turned round, or neither.
  assert within(0.75**2 + 0.25**2, noisy.itself.interval())
  assert within(0.5 + 0.1, left.left.interval())
  # A side taken unread, with chance 0.2, is right half of the time.
  assert within(0.9, left.gold.interval())
  assert within(0.8, wordy.length.interval())
  for clean in (good, noisy):
    assert within(0.5, clean.left.interval())
    assert within(0.0, clean.length.interval())
  assert good.gold.hits == good.gold.n == PAIRS
  assert good.itself.hits == good.itself.n > PAIRS / 10
  # The intervals say something: a half of what was planted is outside.
  assert not within(1 - 0.125, noisy.gold.interval())
  assert not within(0.5, left.left.interval())
  assert not within(0.4, wordy.length.interval())


def test_flags_name_who_was_planted(played):
  flags = [{f.rule for f in row.flags} for row in played[0].raters]
  assert flags[0] == flags[4] == set()
  assert "itself" in flags[1] and "side" not in flags[1]
  assert "side" in flags[2]
  assert {"length", "others", "gold"} <= flags[3]
  assert flags[5] == {"fast"}


def test_agreement_of_known_noise(tmp_path):
  """Two raters that turn round 10 %: they agree on 0.82, κ by chance of ½."""
  play = players(*[Simulated(sharp=SURE, noise=0.1)] * 3, n=300)
  got = report.report(play(tmp_path / "s.db")).agreement
  assert within(0.9**2 + 0.1**2, got.raw[2:4])
  for kappa in (got.nominal, got.fleiss):
    assert within(2 * 0.82 - 1, (kappa.low, kappa.high))
    assert not within(1.0, (kappa.low, kappa.high))


def judged(one, n, seed):
  """The votes of one rater on n pairs, without a study."""
  dice, made = np.random.default_rng(seed), []
  for pair in range(n):
    sizes = dice.integers(20, 200, 2)
    texts = [({"role": "assistant", "content": "x" * k},) for k in sizes]
    flipped = side(seed, 1, str(pair))
    left, right = texts[::-1] if flipped else texts
    shown = Shown(pair, (), left, right, flipped, None)
    gold = "ab"[pair % 2]
    better = 1.0 if gold == "a" else -1.0
    choice = simulate.choose(one, 1, pair, shown, better, dice)
    choice, _ = kept(Vote(choice), flipped)
    longer = math.log2(sizes[1] / sizes[0])
    made.append(
      Judgement(
        pair, 1, False, flipped, choice, 1.0, gold, False, longer, ("", ""), ()
      )
    )
  return raters.numbers(made, by_pair(made), seed=0)


def test_intervals_hold_what_was_planted_as_often_as_they_say():
  """95 % ones, of 100 draws of 120 votes each: 91 to 99 hits are usual."""
  hits, n = np.zeros(3, int), 100
  for seed in range(n):
    noisy = judged(Simulated(sharp=SURE, noise=0.25), 120, seed)
    left = judged(Simulated(sharp=0.0, side=0.1), 120, 1000 + seed)
    wordy = judged(Simulated(sharp=0.0, length=0.8), 120, 2000 + seed)
    hits += (
      within(0.75, noisy.gold.interval()),
      within(0.6, left.left.interval()),
      within(0.8, wordy.length.interval()),
    )
  assert (hits >= 90).all(), hits


def test_a_taste_is_the_same_the_second_time(tmp_path):
  play = players(
    Simulated(sharp=SURE, taste=3.0),
    Simulated(sharp=SURE, taste=3.0),
    n=60,
    repeat_every=3,
  )
  got = report.report(play(tmp_path / "s.db"))
  for row in got.raters:
    assert row.numbers.itself.hits == row.numbers.itself.n > 10
  assert 0.4 < got.agreement.raw.mean < 0.9


def test_the_same_seed_gives_the_same_votes(tmp_path):
  play = players(
    Simulated(tie=0.2, both_bad=0.1, skip=0.2, taste=1.0, seconds=60.0),
    Simulated(noise=0.3),
    Simulated(),
    n=20,
    overlap=2,
    repeat_every=4,
  )
  sql = (
    "SELECT t.*, v.choice, v.at FROM tasks t LEFT JOIN votes v ON v.task = t.id"
  )
  stores = [
    play(tmp_path / f"{i}.db", seed) for i, seed in enumerate((0, 0, 1))
  ]
  first, again, other = (query(store, sql) for store in stores)
  assert first == again != other
  choices = query(stores[0], "SELECT DISTINCT choice FROM votes")
  assert {c for (c,) in choices} >= {"a_much", "a", "b", "tie", "both_bad"}
  assert query(stores[0], "SELECT count(*) FROM skips")[0][0] > 0
  taken = "SELECT count(*) FROM tasks WHERE state = 'voted' AND NOT repeat"
  assert query(stores[0], f"{taken} GROUP BY pair") == [(2,)] * 20


def test_played_votes_are_not_mixed_with_others(tmp_path):
  store, _ = study(tmp_path / "s.db")
  join(store, "ann")
  with pytest.raises(ValueError, match="'ann' is in it"):
    simulate.simulate(store, [Simulated()], {}, seed=0)
  other, _ = study(tmp_path / "t.db")
  now = other.now
  simulate.simulate(other, [Simulated()], {}, seed=0)
  assert other.now is now
  with pytest.raises(ValueError, match="played before"):
    simulate.simulate(other, [Simulated()], {}, seed=0)


@pytest.mark.parametrize(
  "wrong",
  [
    {"noise": 1.5},
    {"side": 0.6},
    {"length": math.nan},
    {"sharp": -1.0},
    {"seconds": 0.0},
  ],
)
def test_numbers_that_a_rater_cannot_have(wrong):
  with pytest.raises(ValueError, match=f"{next(iter(wrong))} = "):
    simulate.check(Simulated(**wrong))
