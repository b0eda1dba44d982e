"""How well scores tell preferences: by hand."""

import math

import numpy as np

from alignjax.scoring import measures

LOG3, LOG9 = math.log(3), math.log(9)
# σ(log 3) = 3/4, σ(log 9) = 9/10.
MARGIN = np.array([LOG3, -LOG3, LOG9, 0.0])
LABEL = np.array([1.0, 1.0, 1.0, 1.0])
CHOSEN, REJECTED = np.array([10, 5, 10, 8]), np.array([5, 10, 9, 8])


def test_accuracy_counts_ties_as_wrong():
  assert measures.accuracy(MARGIN, LABEL) == (2, 4)
  # Of label 0 the second side is preferred; of 1/2 neither.
  label = np.array([1.0, 0.0, 0.5, 0.2])
  assert measures.accuracy(MARGIN, label) == (2, 3)
  low, high = measures.accuracy(MARGIN, LABEL).interval()
  assert 0.15 < low < 0.5 < high < 0.85  # Wilson, of 2 of 4


def test_log_loss_by_hand():
  expected = (
    math.log(4 / 3) + math.log(4) + math.log(10 / 9) + math.log(2)
  ) / 4
  np.testing.assert_allclose(measures.log_loss(MARGIN, LABEL), expected)
  soft = measures.log_loss(np.array([LOG3]), np.array([0.75]))
  expected = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
  np.testing.assert_allclose(soft, expected)
  assert measures.log_loss(np.array([1e4, -1e4]), np.ones(2)) == 5000


def test_calibration_error_by_hand():
  # The bin (.7, .75] has confidences 3/4, 3/4 and outcomes 1, 0: a gap of 1/4
  # of its two pairs; (.85, .9] has 9/10 and 1; the tie is as it says.
  found = measures.calibration_error(MARGIN, LABEL)
  np.testing.assert_allclose(found, (2 * 0.25 + 0.1) / 4)
  # Right as often as it says.
  margin, label = np.full(4, LOG3), np.array([1.0, 1.0, 1.0, 0.0])
  np.testing.assert_allclose(measures.calibration_error(margin, label), 0)
  soft = measures.calibration_error(np.array([LOG3]), np.array([0.75]))
  np.testing.assert_allclose(soft, 0, atol=1e-12)


def test_calibration_error_does_not_know_which_side_is_called_chosen():
  draw = np.random.default_rng(0)
  margin, label = draw.normal(size=99), draw.uniform(size=99)
  a = measures.calibration_error(margin, label)
  b = measures.calibration_error(-margin, 1 - label)
  np.testing.assert_allclose(a, b)
  # Sure and always wrong: as far off as can be.
  assert measures.calibration_error(np.full(9, -99.0), np.ones(9)) == 1


def test_lengths_by_hand():
  found = measures.by_length(MARGIN, LABEL, CHOSEN, REJECTED)
  assert found == {
    "preferred is shorter": (0, 1),
    "about equal": (1, 2),  # 10 and 9, right; 8 and 8, a tie of scores
    "preferred is longer": (1, 1),
  }
  # The other side is preferred: what was shorter is longer.
  found = measures.by_length(MARGIN, 0 * LABEL, CHOSEN, REJECTED)
  assert found["preferred is longer"] == (1, 1)
  assert found["preferred is shorter"] == (0, 1)
  assert sum(share.n for share in found.values()) == 4


def test_length_alone_by_hand():
  assert measures.longer(LABEL, CHOSEN, REJECTED) == (2, 4)
  assert measures.longer(0 * LABEL, CHOSEN, REJECTED) == (1, 4)
  same = np.full(4, 7)
  assert measures.longer(LABEL, same, same) == (2, 4)  # a coin's share
  assert measures.longer(0.5 * LABEL, CHOSEN, REJECTED) == (0, 0)


def test_rewards_and_the_whole():
  assert measures.rewards(np.array([1.0, 2.0, 6.0])) == (
    3.0,
    math.sqrt(14 / 3),
    1.0,
    6.0,
  )
  whole = measures.agreement(2 * MARGIN, LABEL, CHOSEN, REJECTED, unit=0.5)
  assert whole.pairs == 4 and whole.accuracy == (2, 4)
  np.testing.assert_allclose(whole.margin, LOG9 / 2)
  np.testing.assert_allclose(whole.ece, 0.6 / 4)
  assert whole.log_loss == measures.log_loss(MARGIN, LABEL)
  assert whole.longer == (2, 4) and len(whole.by_length) == 3
