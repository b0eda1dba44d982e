"""Rows that are too long: kept, dropped, refused or cut."""

import numpy as np
import pytest

from alignjax.data.chat import fit
from alignjax.types import Row


def row(completions):
  tokens = np.arange(10, 10 + len(completions), dtype=np.int32)
  return Row(tokens, np.array(completions, np.int32), "f:1")


def test_rows_that_fit_are_kept():
  fits = row([0, 0, 1, 1])
  for rule in ("drop", "error", "truncate"):
    assert fit(fits, 4, rule) is fits


def test_too_long():
  long = row([0, 0, 1, 1, 1])
  assert fit(long, 4, "drop") is None
  with pytest.raises(ValueError, match="f:1: 5 tokens, the limit is 4\nraise"):
    fit(long, 4, "error")


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
    assert made is None
  else:
    assert made.tokens.tolist() == tokens
    assert made.completions.tolist() == completions[: len(tokens)]
