"""Rows that are too long: kept, dropped, refused, cut or split."""

from collections import Counter

import numpy as np
import pytest

from alignjax.data.chat import fit
from alignjax.types import Row


def row(completions):
  """Tokens 10, 11, …, weighing as much as a tenth of them."""
  tokens = np.arange(10, 10 + len(completions), dtype=np.int32)
  weights = np.float32(tokens / 10)
  return Row(tokens, np.array(completions, np.int32), "f:1", weights=weights)


def test_rows_that_fit_are_kept():
  fits = row([0, 0, 1, 1])
  for rule in ("drop", "error", "truncate", "split"):
    (kept,) = fit(fits, 4, rule)
    assert kept is fits


def test_too_long():
  long = row([0, 0, 1, 1, 1])
  assert fit(long, 4, "drop") == []
  with pytest.raises(ValueError, match="f:1: 5 tokens, the limit is 4\nraise"):
    fit(long, 4, "error")
  with pytest.raises(ValueError, match="'cut'.*drop, error, split, truncate"):
    fit(long, 4, "cut")


@pytest.mark.parametrize(
  "completions, limit, tokens",
  [
    ([0, 0, 1, 1, 1], 4, [10, 11, 12, 14]),  # the end, 14, is kept
    ([0, 0, 1, 1, 0, 0], 5, [10, 11, 12, 13]),  # nothing trained is lost
    ([0, 1, 1, 0, 1, 1, 1], 6, [10, 11, 12, 13, 14, 16]),
    ([0, 1, 1, 0, 0, 1, 1], 5, [10, 11, 12]),  # a turn that went whole
    ([0, 1, 1, 0, 1, 1], 4, [10, 11, 12]),
    ([0, 1, 1, 0, 1, 1, 1], 5, [10, 11, 12]),  # only an end would be left
    ([0, 0, 1, 1, 1], 3, None),  # the end alone teaches silence
    ([0, 0, 1, 1, 1], 2, None),
    ([0, 0, 1, 1, 1], 0, None),
  ],
)
def test_truncation_keeps_the_end_and_something_before_it(
  completions, limit, tokens
):
  made = fit(row(completions), limit, "truncate")
  if tokens is None:
    assert made == []
  else:
    (made,) = made
    assert made.tokens.tolist() == tokens
    assert made.completions.tolist() == completions[: len(tokens)]
    assert made.weights.shape == made.tokens.shape and made.origin == "f:1"


def test_truncation_leaves_the_row_as_it_was():
  long = row([0, 0, 1, 1, 1])
  fit(long, 4, "truncate")
  assert long.tokens.tolist() == [10, 11, 12, 13, 14]


def test_split_by_hand():
  made = fit(row([0, 0, 0, 0, 1, 1, 0, 1, 1]), 3, "split")
  assert [part.tokens.tolist() for part in made] == [
    [12, 13, 14],
    [14, 15, 16],
    [16, 17, 18],
  ]
  # 14 and 16 are context in the window after their own.
  assert [part.completions.tolist() for part in made] == [
    [0, 0, 1],
    [0, 1, 0],
    [0, 1, 1],
  ]
  names = [f"f:1 part {k}/4" for k in (2, 3, 4)]  # the first trains nothing
  assert [part.origin for part in made] == names
  np.testing.assert_allclose(made[0].weights, [1.2, 1.3, 1.4])


@pytest.mark.parametrize("seed", range(20))
def test_split_trains_every_trained_token_once(seed):
  draw = np.random.default_rng(seed)
  size, limit = int(draw.integers(3, 80)), int(draw.integers(2, 20))
  completions = draw.integers(0, 3, size) * (draw.random(size) < 0.5)
  completions[0] = 0  # a row's first token is never trained
  long = row(completions)
  if size <= limit or not completions.any():
    return
  made = fit(long, limit, "split")
  # Tokens are 10, 11, …, so a token says where in the row it stood.
  found = [
    (int(token), int(completion), float(weight))
    for part in made
    for token, completion, weight in zip(
      part.tokens, part.completions, part.weights
    )
    if completion
  ]
  at = np.flatnonzero(completions)
  wanted = zip(long.tokens[at], completions[at], long.weights[at])
  assert Counter(found) == Counter(
    (int(t), int(c), float(w)) for t, c, w in wanted
  )
  for part in made:
    assert 2 <= len(part.tokens) <= limit and part.completions.any()
    assert part.completions[0] == 0
    assert np.all(np.diff(part.tokens) == 1)
  assert long.completions.tolist() == completions.tolist()


def test_nothing_is_split_into_single_tokens():
  assert fit(row([0, 1, 1]), 1, "split") == []
