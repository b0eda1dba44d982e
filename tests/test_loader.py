import jax
import numpy as np
import pytest

from alignjax.data.loader import (
  InOrder,
  Loader,
  Shape,
  collate,
  shape_of,
  trained,
)
from alignjax.data.rows import Rows
from alignjax.types import Row


def row(tokens, completions, origin="file:1", weights=None):
  return Row(
    np.array(tokens, np.int32),
    np.array(completions, np.int32),
    origin,
    weights=None if weights is None else np.array(weights, np.float32),
  )


def many(n, name="file"):
  """Rows of one prompt token and one answer, which is the row's number."""
  return Rows.of(row([7, i], [0, 1], f"{name}:{i + 1}") for i in range(n))


ORDER = [4, 6, 9, 7, 5, 3, 1, 8, 2, 0]


def alone(rows, **options):
  return Loader({"": rows}, shares={"": 1.0}, **options)


def test_collate_by_hand():
  batch = collate(
    [
      row([5, 6, 7, 8], [0, 0, 1, 2], weights=[9, 9, 0.5, 2]),
      row([9, 4], [0, 1]),
      row([], []),
    ],
    5,
    3,
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
  assert batch.weights.dtype == np.float32
  np.testing.assert_array_equal(
    batch.weights, [[0.5, 2, 0], [1, 0, 0], [0] * 3]
  )
  assert batch.parents is batch.ends is None and batch.fields == {}


def test_every_target_follows_the_place_that_predicts_it():
  draw = np.random.default_rng(0)
  rows = []
  for n in draw.integers(2, 30, 20):
    completions = draw.integers(0, 2, n)
    completions[-1] = 1
    rows.append(row(draw.integers(0, 9, n), completions))
  batch = collate(rows, *shape_of([Rows.of(rows)]))
  for b, r in enumerate(rows):
    real = batch.completions[b] > 0
    assert real.sum() == (r.completions[1:] > 0).sum()
    after = batch.tokens[b][batch.where[b][real] + 1]
    np.testing.assert_array_equal(after, batch.targets[b][real])


def test_the_first_token_is_never_predicted():
  assert trained(row([1, 2, 3], [1, 0, 1])).tolist() == [2]


def test_shape_is_rounded_up():
  tables = [
    Rows.of([row(range(17), [0] * 8 + [1] * 9)]),
    Rows.of([row([1, 2], [0, 1])]),
  ]
  assert shape_of(tables) == Shape(24, 16)
  assert shape_of(tables[::-1], multiple=1) == Shape(17, 9)


def test_a_row_without_a_trained_token_is_refused():
  rows = [row([1, 2], [0, 1]), row([1, 2], [1, 0], "data.jsonl:7")]
  with pytest.raises(ValueError, match="data.jsonl:7: no trained token"):
    alone(Rows.of(rows), batch=1, seed=0, shape=(8, 8))


def numbers(loader, step):
  return [i for _, i in loader.indices(step)]


def test_every_epoch_is_a_permutation_and_batches_cross_its_border():
  loader = alone(many(10), batch=4, seed=3, shape=(8, 8))
  seen = [i for step in range(5) for i in numbers(loader, step)]
  assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
  assert seen[:10] != seen[10:]
  assert loader.epochs(0) == {"epoch": 0.0} and loader.epochs(5)["epoch"] == 2
  assert loader.origins(2) == [f"file:{i + 1}" for i in numbers(loader, 2)]
  batch = loader[2]
  np.testing.assert_array_equal(batch.tokens[:, 1], numbers(loader, 2))
  np.testing.assert_array_equal(batch.targets[:, 0], numbers(loader, 2))


def test_the_order_of_one_source_is_that_of_the_seed_alone():
  # Written down: a run that is continued must find this order again.
  loader = alone(many(10), batch=10, seed=3, shape=(8, 8))
  assert numbers(loader, 0) == ORDER
  parts = {"": many(10), "more": many(3)}
  shares = {"": 0.9, "more": 0.1}
  mixed = Loader(parts, shares=shares, batch=20, seed=3, shape=(8, 8))
  found = [i for part, i in mixed.indices(0) if part == ""]
  assert found[:10] == ORDER


def test_a_batch_depends_on_seed_and_step_alone():
  a, b, c = (alone(many(50), batch=4, seed=s, shape=(8, 8)) for s in (0, 0, 1))
  late = b.indices(30)
  b.indices(2)
  assert [a.indices(s) for s in range(31)][30] == late == b.indices(30)
  assert a.indices(0) != c.indices(0)


def test_a_batch_may_be_larger_than_the_data():
  loader = alone(many(3), batch=8, seed=0, shape=(8, 8))
  counts = np.bincount(numbers(loader, 0) + numbers(loader, 1), minlength=3)
  assert set(counts) == {5, 6}


def mixture(batch=8):
  parts = {"one": many(6, "one"), "two": many(20, "two")}
  shares = {"one": 0.25, "two": 0.75}
  return Loader(parts, shares=shares, batch=batch, seed=1, shape=(8, 8))


def test_parts_give_their_shares_and_each_has_its_epochs():
  loader = mixture()
  seen = [pair for step in range(12) for pair in loader.indices(step)]
  one = [i for part, i in seen if part == "one"]
  two = [i for part, i in seen if part == "two"]
  assert (len(one), len(two)) == (24, 72)
  for start in range(0, 24, 6):
    assert sorted(one[start : start + 6]) == list(range(6))
  for start in range(0, 60, 20):
    assert sorted(two[start : start + 20]) == list(range(20))
  assert loader.epochs(12) == {"epoch/one": 4.0, "epoch/two": 3.6}
  assert loader.origins(3) == [f"{p}:{i + 1}" for p, i in loader.indices(3)]


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_that_take_their_rows_make_the_whole_batch(hosts):
  whole, own = mixture()[5], 8 // hosts
  held = [
    mixture().batch(5, range(h * own, (h + 1) * own)) for h in range(hosts)
  ]
  joined = jax.tree.map(lambda *x: np.concatenate(x), *held)
  jax.tree.map(np.testing.assert_array_equal, joined, whole)


def test_held_out_rows_are_all_there_once_in_order():
  batches = InOrder({"": many(5)}, batch=4, shape=(8, 8))
  assert [b.tokens.shape for b in batches] == [(4, 8), (4, 8)]
  seen = np.concatenate([b.targets[:, 0] for b in batches])
  np.testing.assert_array_equal(seen, [0, 1, 2, 3, 4, 0, 0, 0])
  np.testing.assert_array_equal(batches[1].completions.sum(1), [1, 0, 0, 0])
  some = batches.batch(1, [1, 0])
  np.testing.assert_array_equal(some.targets[:, 0], [0, 4])
  parts = InOrder({"a": many(2), "b": many(3)}, batch=4, shape=(8, 8))
  seen = np.concatenate([b.targets[:, 0] for b in parts])
  np.testing.assert_array_equal(seen, [0, 1, 0, 1, 2, 0, 0, 0])
  assert len(InOrder({}, batch=4, shape=(8, 8))) == 0
