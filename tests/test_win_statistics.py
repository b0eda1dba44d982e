"""Win rates, length control and strengths, by hand and by planted truths."""

import json
from pathlib import Path

import numpy as np
import pytest

from alignjax.statistics.wins import (
  bradley_terry,
  length_controlled,
  outcomes,
  position_bias,
  strengths,
  win_rate,
)

CHOIX = Path(__file__).parent / "fixtures" / "choix.json"


@pytest.fixture
def few_draws(monkeypatch):
  monkeypatch.setattr("alignjax.statistics.intervals.DRAWS", 300)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def planted(n, taste, quality, ahead, rng, difficulty=0.0):
  """A judge who likes length: P(A) = σ(quality + taste · tanh z + difficulty).

  ahead: the mean of z; lengths differ by 100 · z tokens, and by difficulty.
  """
  z = rng.normal(ahead, 1, n) + difficulty
  lengths = np.stack([500 + 100 * z, np.full(n, 500)], 1)
  z = z / z.std()
  p = sigmoid(quality + taste * np.tanh(z) + difficulty)
  # Both orders are judged anew.
  return (rng.random((n, 2)) < p[:, None]).astype(float), lengths


def test_answers_are_turned_to_wins_of_a():
  found = outcomes(["first", "second", "tie"], ["second", "second", "first"])
  assert found.tolist() == [[1, 1], [0, 1], [0.5, 0]]
  with pytest.raises(ValueError, match="answered 'both'.*"):
    outcomes(["both"], ["first"])
  with pytest.raises(ValueError, match="Answers are first, tie, second"):
    outcomes(["first"], [""])
  with pytest.raises(ValueError, match="2 answers with A first, 1 with B"):
    outcomes(["first", "tie"], ["first"])


def test_a_win_rate_by_hand():
  # Rows: 1, 1/2, 1/4, 0 of A; means of both orders.
  wins = outcomes(
    ["first", "first", "second", "second"], ["second", "first", "tie", "first"]
  )
  found = win_rate(wins, seed=0)
  assert found.mean == pytest.approx(1.75 / 4) and found.n == 4
  deviation = np.array([1, 0.5, 0.25, 0]) - found.mean
  assert found.error == pytest.approx(np.sqrt((deviation**2).sum() / 12))
  assert 0 <= found.low < found.mean < found.high <= 1
  # B's rate is what A's leaves.
  other = win_rate(1 - wins, seed=0)
  assert other.mean == pytest.approx(1 - found.mean)
  assert other.low == pytest.approx(1 - found.high)
  # Two rows of one prompt count as one.
  twice = win_rate(np.repeat(wins, 2, 0), list("aabbccdd"), seed=0)
  assert twice[:4] == pytest.approx(found[:4])


def test_position_bias_by_hand():
  # Shown first wins both; A wins both; a tie that becomes a win of A; A, B
  # where shown second.
  wins = outcomes(
    ["first", "first", "tie", "second"], ["first", "second", "second", "second"]
  )
  found = position_bias(wins, seed=0)
  assert found.disagree.mean == 0.75
  assert found.first.mean == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)
  rng = np.random.default_rng(0)
  answers = rng.choice(["first", "second"], (2, 400), p=[0.8, 0.2])
  wins = outcomes(*answers.tolist())
  found = position_bias(wins, seed=0)
  assert found.first.low < 0.8 < found.first.high and found.first.low > 0.7
  assert found.disagree.low < 0.68 < found.disagree.high
  rate = win_rate(wins, seed=0)  # both orders take the bias out
  assert abs(rate.mean - 0.5) < 3 * rate.error < 0.06
  even = position_bias(np.repeat(wins[:, :1], 2, 1), seed=0)
  assert even.disagree.mean == 0 and even.first.mean == 0.5


def test_a_taste_for_length_is_taken_out():
  wins, lengths = planted(6000, 2.5, 0.0, 0.8, np.random.default_rng(1))
  assert win_rate(wins, seed=0).mean >= 0.7
  found = length_controlled(wins, lengths, seed=0)
  assert found.mean == pytest.approx(0.5, abs=0.02)
  assert found.low < 0.5 < found.high and found.high - found.low < 0.06
  assert found.n == 6000


def test_a_planted_quality_is_found():
  rng = np.random.default_rng(1)
  wins, lengths = planted(1500, 2.0, 0.7, -0.8, rng)
  truth = sigmoid(0.7)  # 0.67, of an answer that is shorter
  assert win_rate(wins, seed=0).mean < 0.5
  found = length_controlled(wins, lengths, seed=0)
  assert found.low < truth < found.high
  assert found.mean == pytest.approx(truth, abs=0.03)
  # A and B change places, and the unit of lengths is any.
  other = length_controlled(1 - wins, lengths[:, ::-1] * 4.5, seed=0)
  assert other.mean == pytest.approx(1 - found.mean)
  assert other.low == pytest.approx(1 - found.high)


def test_difficulty_is_one_more_term(few_draws):
  rng = np.random.default_rng(2)
  gamma = rng.normal(size=1500)
  wins, lengths = planted(1500, 2.0, 0.7, -0.8, rng, 1.5 * gamma)
  truth = sigmoid(0.7 + 1.5 * gamma).mean()
  found = length_controlled(wins, lengths, None, gamma, seed=0)
  assert found.low < truth < found.high
  assert found.mean == pytest.approx(truth, abs=0.03)


@pytest.mark.filterwarnings("error")
def test_length_control_where_there_is_little_to_tell(few_draws):
  wins = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [0.5, 1]], float)
  same = length_controlled(wins, np.full((5, 2), 30), seed=0)
  assert same.mean == pytest.approx(wins.mean())
  all_won = length_controlled(
    np.ones((60, 2)), np.arange(120).reshape(60, 2) ** 2, seed=0
  )
  assert 0.95 < all_won.mean < 1 and all_won.high <= 1
  one = length_controlled(wins[:1], np.array([[3, 4]]), seed=0)
  assert one[2:4] == (0, 1)


@pytest.mark.parametrize(
  "case", json.loads(CHOIX.read_text("utf-8")), ids=lambda c: c["name"]
)
def test_strengths_are_those_of_choix(case):
  found = bradley_terry(np.array(case["wins"]))
  assert found == pytest.approx(case["strengths"], abs=1e-6)
  assert found.mean() == pytest.approx(0, abs=1e-12)


def test_strengths_by_hand():
  # Two models: the log-odds of 3 to 1, in any number of games.
  for scale in (1e-3, 1, 1e5):
    found = bradley_terry(np.array([[0, 3], [1, 0]]) * scale)
    assert found == pytest.approx([np.log(3) / 2, -np.log(3) / 2])
  # Wins as expected of strengths give these back, however far apart.
  s = np.array([-9.0, -1, 0, 2, 8])
  expected = sigmoid(s[:, None] - s) * (1 - np.eye(5)) * 40
  assert bradley_terry(expected) == pytest.approx(s)
  order = [3, 1, 4, 0, 2]
  assert bradley_terry(expected[np.ix_(order, order)]) == pytest.approx(
    s[order]
  )
  assert bradley_terry(np.zeros((1, 1))) == [0]


def test_strengths_that_do_not_exist():
  never = np.array([[0, 2, 1], [1, 0, 0], [0, 0, 0]])
  with pytest.raises(ValueError, match=r"\[2\] never won against models \[0, "):
    bradley_terry(never)
  apart = np.zeros((4, 4))
  apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 5
  with pytest.raises(ValueError, match=r"\[2, 3\] never won .* \[0, 1\]"):
    bradley_terry(apart)
  never[2, 1] = 1  # a long way round is enough: 2 beats 1, 1 beats 0
  assert np.isfinite(bradley_terry(never)).all()
  with pytest.raises(ValueError, match="not below 0"):
    bradley_terry(np.array([[0, -1], [1, 0]]))
  with pytest.raises(ValueError, match="diagonal"):
    bradley_terry(np.eye(2))


def tournament(s, prompts, rng):
  """Every pair of models once on every prompt."""
  a, b = np.triu_indices(len(s), 1)
  a, b = np.tile(a, prompts), np.tile(b, prompts)
  by = np.repeat(np.arange(prompts), len(a) // prompts)
  return a, b, (rng.random(len(a)) < sigmoid(s[a] - s[b])).astype(float), by


def test_strengths_have_intervals_over_prompts():
  s = np.array([-1.0, -0.2, 0.2, 1.0])
  a, b, wins, by = tournament(s, 120, np.random.default_rng(0))
  found = strengths(a, b, wins, by, seed=0)
  table = np.zeros((4, 4))
  np.add.at(table, (a, b), wins)
  np.add.at(table, (b, a), 1 - wins)
  assert [e.mean for e in found] == pytest.approx(bradley_terry(table))
  for e, truth in zip(found, s):
    assert abs(e.mean - truth) < 3 * e.error < 0.6
    assert e.high - e.low == pytest.approx(2 * 1.96 * e.error, rel=0.1)
  # Every prompt three times over says no more; each alone would.
  rows = [np.tile(x, 3) for x in (a, b, wins, by)]
  again = strengths(*rows, seed=0)
  assert again[0][:4] == pytest.approx(found[0][:4])


@pytest.mark.filterwarnings("error")
def test_strengths_of_few_wins_are_not_bounded():
  a, b = np.zeros(20, int), np.ones(20, int)
  wins = np.ones(20)
  wins[0] = 0
  first, second = strengths(a, b, wins, seed=0)  # a third of draws has no loss
  assert first.mean == pytest.approx(np.log(19) / 2)
  assert (first.low, first.high) == (-np.inf, np.inf)
  assert np.isfinite(first.error) and second.mean == -first.mean
