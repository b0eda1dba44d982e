import numpy as np
import pytest

from alignjax.data.mixture import Order, of_packs, seed_of, shares


def test_turns_by_hand():
  order = Order({"a": 2, "b": 3}, {"a": 1 / 3, "b": 2 / 3}, seed=0)
  assert [order[n][0] for n in range(6)] == ["b", "b", "a"] * 2
  assert order.drawn(0) == {"b": 0, "a": 0}
  assert order.drawn(9) == {"b": 6, "a": 3}
  assert order.epochs(9) == {"b": 2.0, "a": 1.5}


@pytest.mark.parametrize("seed", range(8))
def test_shares_are_kept_over_every_stretch(seed):
  rng = np.random.default_rng(seed)
  names = [f"part {i}" for i in range(rng.integers(2, 9))]
  weights = rng.lognormal(0, 1.5, len(names))
  wanted = dict(zip(names, (weights / weights.sum()).tolist()))
  order = Order(dict.fromkeys(names, 5), wanted, seed)
  for n in [*range(300), 10**6, 10**9 + 7, 10**12 + 1]:
    found = order.drawn(n)
    assert sum(found.values()) == n
    for name in names:
      assert abs(found[name] - n * wanted[name]) < 2, (n, name)


def test_every_row_is_seen_once_in_an_epoch_of_its_part():
  sizes = {"a": 7, "b": 3, "c": 11}
  order = Order(sizes, {"a": 0.2, "b": 0.5, "c": 0.3}, seed=4)
  seen = {name: [] for name in sizes}
  for n in range(400):
    name, row = order[n]
    assert len(seen[name]) == order.drawn(n)[name]
    seen[name].append(row)
  for name, rows in seen.items():
    k = sizes[name]
    epochs = [rows[i : i + k] for i in range(0, len(rows) - k, k)]
    assert all(sorted(epoch) == list(range(k)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_parts_have_orders_of_their_own():
  order = Order({"a": 50, "b": 50}, {"a": 0.5, "b": 0.5}, seed=0)
  found = [order[n] for n in range(100)]
  a, b = ([row for name, row in found if name == k] for k in "ab")
  assert a != b and sorted(a) == sorted(b) == list(range(50))
  # The order of a part does not depend on which others there are.
  other = Order({"a": 50, "c": 9}, {"a": 0.9, "c": 0.1}, seed=0)
  again = [
    row for name, row in map(other.__getitem__, range(70)) if name == "a"
  ]
  assert again[:50] == a
  assert seed_of(7, "") == 7 and seed_of(7, "a") != seed_of(7, "b")
  assert 0 <= seed_of(2**40, "a") < 2**32


def test_shares_by_hand():
  rows = {"big": 3000, "small": 500}
  none, free = dict.fromkeys(rows, 0.0), dict.fromkeys(rows, 0)
  assert shares(rows, none, free) == {"big": 6 / 7, "small": 1 / 7}
  capped = shares(rows, none, {"big": 1000, "small": 1000})
  assert capped == {"big": 2 / 3, "small": 1 / 3}
  weighted = shares(rows, {"big": 1.0, "small": 3.0}, free)
  assert weighted == {"big": 0.25, "small": 0.75}


def test_shares_of_packs_give_the_shares_of_rows():
  # A pack of `short` holds 8 rows, one of `long` 2.
  rows, packs = {"short": 80, "long": 40}, {"short": 10, "long": 20}
  found = of_packs({"short": 0.5, "long": 0.5}, rows, packs)
  assert found == pytest.approx({"short": 0.2, "long": 0.8})
  # 0.2 · 8 = 0.8 · 2
