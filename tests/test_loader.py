import numpy as np
import pytest

from alignjax.data.loader import Loader, collate, in_order, shape_of, trained
from alignjax.types import Row


def row(tokens, completions, origin="file:1"):
  return Row(
    np.array(tokens, np.int32), np.array(completions, np.int32), origin
  )


def many(n):
  """Rows of one prompt token and one answer, which is the row's number."""
  return [row([7, i], [0, 1], f"file:{i + 1}") for i in range(n)]


def test_collate_by_hand():
  batch = collate(
    [row([5, 6, 7, 8], [0, 0, 1, 2]), row([9, 4], [0, 1]), row([], [])], 5, 3
  )
  expected = dict(
    tokens=[[5, 6, 7, 8, 0], [9, 4, 0, 0, 0], [0] * 5],
    positions=[[0, 1, 2, 3, 0], [0, 1, 0, 0, 0], [0] * 5],
    documents=[[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0] * 5],
    where=[[1, 2, 0], [0, 0, 0], [0] * 3],
    targets=[[7, 8, 0], [4, 0, 0], [0] * 3],
    completions=[[1, 2, 0], [1, 0, 0], [0] * 3],
  )
  for name, values in expected.items():
    found = getattr(batch, name)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, values, err_msg=name)


def test_every_target_follows_the_place_that_predicts_it():
  draw = np.random.default_rng(0)
  rows = []
  for n in draw.integers(2, 30, 20):
    completions = draw.integers(0, 2, n)
    completions[-1] = 1
    rows.append(row(draw.integers(0, 9, n), completions))
  batch = collate(rows, *shape_of(rows))
  for b, r in enumerate(rows):
    real = batch.completions[b] > 0
    assert real.sum() == (r.completions[1:] > 0).sum()
    after = batch.tokens[b][batch.where[b][real] + 1]
    np.testing.assert_array_equal(after, batch.targets[b][real])


def test_the_first_token_is_never_predicted():
  assert trained(row([1, 2, 3], [1, 0, 1])).tolist() == [2]


def test_shape_is_rounded_up():
  rows = [row(range(17), [0] * 8 + [1] * 9), row([1, 2], [0, 1])]
  assert shape_of(rows) == (24, 16)
  assert shape_of(rows, multiple=1) == (17, 9)


def test_a_row_without_a_trained_token_is_refused():
  rows = [row([1, 2], [0, 1]), row([1, 2], [1, 0], "data.jsonl:7")]
  with pytest.raises(ValueError, match="data.jsonl:7: no trained token"):
    Loader(rows, batch=1, seed=0, shape=(8, 8))


def test_every_epoch_is_a_permutation_and_batches_cross_its_border():
  loader = Loader(many(10), batch=4, seed=3, shape=(8, 8))
  seen = [i for step in range(5) for i in loader.indices(step)]
  assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
  assert seen[:10] != seen[10:]
  assert loader.epoch(0) == 0 and loader.epoch(5) == 2
  assert loader.origins(2) == [f"file:{i + 1}" for i in loader.indices(2)]
  batch = loader[2]
  np.testing.assert_array_equal(batch.tokens[:, 1], loader.indices(2))
  np.testing.assert_array_equal(batch.targets[:, 0], loader.indices(2))


def test_a_batch_depends_on_seed_and_step_alone():
  a, b, c = (Loader(many(50), batch=4, seed=s, shape=(8, 8)) for s in (0, 0, 1))
  late = b.indices(30)
  b.indices(2)
  assert [a.indices(s) for s in range(31)][30] == late == b.indices(30)
  assert a.indices(0) != c.indices(0)


def test_a_batch_may_be_larger_than_the_data():
  loader = Loader(many(3), batch=8, seed=0, shape=(8, 8))
  counts = np.bincount(loader.indices(0) + loader.indices(1), minlength=3)
  assert set(counts) == {5, 6}


def test_held_out_rows_are_all_there_once_in_order():
  batches = in_order(many(5), batch=4, shape=(8, 8))
  assert [b.tokens.shape for b in batches] == [(4, 8), (4, 8)]
  seen = np.concatenate([b.targets[:, 0] for b in batches])
  np.testing.assert_array_equal(seen, [0, 1, 2, 3, 4, 0, 0, 0])
  np.testing.assert_array_equal(batches[1].completions.sum(1), [1, 0, 0, 0])
  assert in_order([], batch=4, shape=(8, 8)) == []
