import jax
import numpy as np
import pytest

from alignjax.data.loader import collate, shape_of, trained
from alignjax.data.pack import join, packed, packed_shape, plan
from alignjax.types import Row


def row(*tokens, prompt=1):
  completions = np.array([0] * prompt + [1] * (len(tokens) - prompt), np.int32)
  return Row(np.array(tokens, np.int32), completions, f"row {tokens[0]}")


def rows_of(sizes, rng, prompt=1):
  return [
    row(*rng.integers(5, 40, n).tolist(), prompt=prompt)
    for n in map(int, sizes)
  ]


def test_best_fit_by_hand():
  # Longest first: 7 | 6 | 4 beside the 6 (exactly full) | 3 beside the 7 | 2.
  assert plan([3, 7, 2, 6, 4], [0] * 5, length=10, predicted=1) == [
    [1, 0],
    [3, 4],
    [2],
  ]


def test_trained_tokens_are_a_limit_too():
  assert plan([4, 4], [3, 3], length=8, predicted=6) == [[0, 1]]
  assert plan([4, 4], [3, 3], length=8, predicted=5) == [[0], [1]]


def test_a_row_that_fits_nowhere_is_refused():
  with pytest.raises(ValueError, match="9 tokens.*\n.*data.packing"):
    plan([9], [1], length=8, predicted=8)


@pytest.mark.parametrize("seed", range(5))
def test_every_row_once_within_the_limits(seed):
  rng = np.random.default_rng(seed)
  lengths = rng.integers(1, 65, 300).tolist()
  counts = [int(rng.integers(0, n)) for n in lengths]
  bins = plan(lengths, counts, length=64, predicted=63)
  assert sorted(i for b in bins for i in b) == list(range(300))
  assert all(sum(lengths[i] for i in b) <= 64 for b in bins)
  assert all(sum(counts[i] for i in b) <= 63 for b in bins)
  # Best fit decreasing needs at most 11/9 of the optimum, and one row.
  assert len(bins) <= 11 / 9 * np.ceil(sum(lengths) / 64) + 20


def test_joined_rows_by_hand():
  found = join([row(7, 8, 9), row(5, 6, prompt=0)])
  assert found.tokens.tolist() == [7, 8, 9, 5, 6]
  assert found.documents.tolist() == [1, 1, 1, 2, 2]
  # A document's first token is not predicted from another document.
  assert found.completions.tolist() == [0, 1, 1, 0, 2]
  batch = collate([found], 8, 4)
  assert batch.positions[0].tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
  assert batch.documents[0].tolist() == [1, 1, 1, 2, 2, 0, 0, 0]
  assert batch.where[0].tolist() == [0, 1, 3, 0]
  assert batch.targets[0].tolist() == [8, 9, 6, 0]


def test_a_packed_row_shorter_than_a_row_is_refused():
  with pytest.raises(ValueError, match="packing = 8.*16"):
    packed_shape([row(*range(1, 14))], (16, 16), 8)


def test_packed_is_unpacked_in_loss_and_gradient(lm, params):
  rows = rows_of([9, 4, 6, 11, 3, 5], np.random.default_rng(0), prompt=2)
  together = packed(rows, *packed_shape(rows, shape_of(rows), 24))
  assert len(together) < len(rows)

  def value(params, batch):
    logp = lm.stats(params, batch, ("logp",))["logp"]
    return -(logp * (batch.completions > 0)).sum()

  grad = jax.jit(jax.value_and_grad(value))
  most = max(len(trained(r)) for r in together)
  alone = grad(params, collate(rows, 16, 16))
  found = grad(params, collate(together, 24, most))
  for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(found)):
    largest = float(abs(a).max())
    np.testing.assert_allclose(b, a, atol=1e-5 * largest, rtol=0)
