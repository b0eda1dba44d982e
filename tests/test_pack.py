import time

import jax
import numpy as np
import pytest

from alignjax.data.loader import Shape, collate, shape_of
from alignjax.data.pack import Packed, fill, join, layout, packed_shape, plan
from alignjax.data.rows import Rows
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


def simple_plan(lengths, counts, length, predicted):
  """The rule of `plan`, by looking at every packed row for every row."""
  bins, room = [], []  # room: tokens and trained tokens left
  for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
    n, t = lengths[i], counts[i]
    fits = [
      (r[0], -r[1], b) for b, r in enumerate(room) if r[0] >= n and r[1] >= t
    ]
    if fits:
      b = min(fits)[2]
    else:
      b = len(bins)
      bins.append([])
      room.append([length, predicted])
    bins[b].append(i)
    room[b] = [room[b][0] - n, room[b][1] - t]
  return bins


@pytest.mark.parametrize("predicted", [63, 40, 20])
def test_the_plan_is_best_fit_decreasing(predicted):
  rng = np.random.default_rng(predicted)
  lengths = rng.integers(1, 65, 200).tolist()
  counts = [int(rng.integers(1, min(n, predicted) + 1)) for n in lengths]
  found = plan(lengths, counts, length=64, predicted=predicted)
  assert found == simple_plan(lengths, counts, 64, predicted)


def test_many_rows_are_planned_in_seconds():
  rng = np.random.default_rng(0)
  lengths = np.minimum(rng.lognormal(5, 1, 100_000).astype(int) + 2, 2048)
  counts = np.maximum(lengths // rng.integers(2, 9, len(lengths)), 1)
  start = time.perf_counter()
  bins = plan(lengths, counts, length=2048, predicted=1024)
  assert time.perf_counter() - start < 10  # 1 s; quadratic search takes 100
  assert sum(map(len, bins)) == len(lengths)


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
  assert found.weights is None


def test_weights_are_joined():
  heavy = row(7, 8, 9)._replace(weights=np.full(3, 2.5, np.float32))
  found = join([heavy, row(5, 6)])
  assert found.weights.dtype == np.float32
  np.testing.assert_array_equal(found.weights, [2.5, 2.5, 2.5, 1, 1])
  batch = collate([found], 8, 4)
  np.testing.assert_array_equal(batch.weights, [[2.5, 2.5, 1, 0]])


def test_a_packed_row_shorter_than_a_row_is_refused():
  with pytest.raises(ValueError, match="packing = 8.*16"):
    packed_shape([Rows.of([row(*range(1, 14))])], (16, 16), 8)


def test_packed_rows_know_their_sizes_before_they_are_joined():
  rows = Rows.of(rows_of([9, 4, 6, 11, 3, 5], np.random.default_rng(0)))
  found = Packed(rows, 16, 16)
  assert len(found) == len(found.bins) < 6
  for i, made in enumerate(found):
    assert len(made.tokens) == found.lengths[i]
    assert (made.completions[1:] > 0).sum() == found.counts[i]
    assert made.origin == found.origin(i)
  assert fill(found, 16) == pytest.approx(38 / (16 * len(found)))


def test_rows_are_laid_out_packed_or_not():
  rng = np.random.default_rng(0)
  short, long = Rows.of(rows_of([4] * 40, rng)), Rows.of(rows_of([16] * 5, rng))
  train, held = {"short": short, "long": long}, {"": Rows.of(rows_of([8], rng))}
  shares = {"short": 0.5, "long": 0.5}
  found = layout(train, held, shares, 0)
  assert found.train == train and found.held == held
  assert found.shares == shares and found.shape == Shape(16, 16)
  found = layout(train, held, shares, 16)
  assert found.shape == Shape(16, 24)  # 15 of 16 trained, and a tenth
  assert {k: len(v) for k, v in found.train.items()} == {"short": 10, "long": 5}
  # A pack of short rows holds four: it is drawn a quarter as often.
  assert found.shares == pytest.approx({"short": 0.2, "long": 0.8})
  assert len(found.held[""]) == 1


def test_packed_is_unpacked_in_loss_and_gradient(lm, params):
  rows = Rows.of(
    rows_of([9, 4, 6, 11, 3, 5], np.random.default_rng(0), prompt=2)
  )
  together = Packed(rows, *packed_shape([rows], shape_of([rows])[:2], 24))
  assert len(together) < len(rows)

  def value(params, batch):
    logp = lm.stats(params, batch, ("logp",))["logp"]
    return -(logp * (batch.completions > 0)).sum()

  grad = jax.jit(jax.value_and_grad(value))
  most = int(together.counts.max())
  alone = grad(params, collate(rows, 16, 16))
  found = grad(params, collate(together, 24, most))
  for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(found)):
    largest = float(abs(a).max())
    np.testing.assert_allclose(b, a, atol=1e-5 * largest, rtol=0)
