import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.pairs import (
  chosen_tokens,
  expected,
  pairs_of,
  pairs_present,
  reports,
  sides,
)
from alignjax.totals import ratio
from alignjax.types import Batch

IDS = jnp.array([[1, 1, 2, 3, 4, 4], [1, 2, 2, 0, 0, 0]])
ENDS = jnp.array([[2, 3, 5, 9], [2, 4, 0, 0]])
WEIGHTS = jnp.array([[2.0, 4, 9, 1, 9, 9], [0.5, 9, 9, 9, 9, 9]])
LABEL = jnp.array([[1.0, 0, 0.75, 0.25], [1, 0, 0, 0]])


def batch():
  zeros = jnp.zeros_like(IDS)
  fields = {"label": LABEL}
  return Batch(*[zeros] * 5, IDS, WEIGHTS, ends=ENDS, fields=fields)


def test_sides_and_what_a_pair_counts():
  found = pairs_of(batch())
  np.testing.assert_array_equal(found.present, [[True, True], [True, False]])
  np.testing.assert_array_equal(found.present, pairs_present(batch()))
  np.testing.assert_array_equal(found.weights, [[3, 1], [0.5, 0]])
  np.testing.assert_array_equal(found.label, [[1, 0.75], [1, 0]])
  chosen = [[1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]]
  np.testing.assert_array_equal(chosen_tokens(IDS), np.array(chosen, bool))


def test_half_a_pair_is_no_pair():
  half = batch()._replace(ends=ENDS.at[0, 1].set(0))
  np.testing.assert_array_equal(pairs_present(half), [[0, 1], [1, 0]])
  with pytest.raises(ValueError, match="3 completions; pairs need an even"):
    sides(ENDS[:, :3])


def test_expected_by_hand():
  def loss(a, b):
    return 2 * a + b

  ones = jnp.array([1.0, 1.0, 1.0])
  found = expected(loss, 3 * ones, 5 * ones, jnp.array([1.0, 0.0, 0.25]))
  np.testing.assert_allclose(found, [11, 13, 0.25 * 11 + 0.75 * 13])


def test_an_impossible_side_cannot_overflow():
  found = expected(
    lambda a, b: jnp.exp(100 * (b - a)),
    jnp.array([1.0]),
    jnp.array([-1.0]),
    jnp.array([1.0]),
  )
  assert 0 <= float(found[0]) < 1e-30


def test_reports_are_means_over_pairs_and_ties_are_wrong():
  logps = jnp.array([[-1.0, -2, -3, -4], [-5, -6, 0, 0]])
  rewards = jnp.array([[2.0, 1, 3, 3], [0, 4, 8, 0]])
  tokens = jnp.array([[1.0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1]])
  stats = {"correct": tokens, "entropy": 2 * tokens}
  found = reports(logps, rewards, stats, batch())
  found = {name: float(ratio(term)) for name, term in found.items()}
  assert found == {
    "rewards/chosen": pytest.approx(5 / 3),
    "rewards/rejected": pytest.approx(8 / 3),
    "rewards/accuracies": pytest.approx(1 / 3),
    "rewards/margins": pytest.approx(-1),
    "logps/chosen": -3,
    "logps/rejected": -4,
    "mean_token_accuracy": pytest.approx(3 / 9),
    "entropy": pytest.approx(6 / 9),
  }
