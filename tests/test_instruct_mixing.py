from fractions import Fraction

import numpy as np
import pytest

from alignjax.instruct import mixing
from alignjax.instruct.mixing import Part


def rows(**sizes):
  return {k: [{"id": f"{k}/{i}"} for i in range(n)] for k, n in sizes.items()}


def mix(found, **given):
  options = dict(rate_cap=0, temperature=1.0, total=0, repeat=False, seed=0)
  return mixing.mix(found, **options | given)


def test_rates_by_hand():
  sizes = {"big": 30_000, "middle": 3_000, "small": 1_000}
  found = mixing.rates(sizes, cap=3_000, temperature=1.0)
  assert found == {
    "big": Fraction(3, 7),
    "middle": Fraction(3, 7),
    "small": Fraction(1, 7),
  }
  found = mixing.rates({"a": 900, "b": 100}, cap=0, temperature=2.0)
  assert found == {"a": Fraction(3, 4), "b": Fraction(1, 4)}  # 30 : 10
  found = mixing.rates({"a": 900, "b": 100}, cap=0, temperature=1.0)
  assert found == {"a": Fraction(9, 10), "b": Fraction(1, 10)}
  found = mixing.rates({"a": 900, "b": 1}, cap=0, temperature=float("inf"))
  assert found == {"a": Fraction(1, 2), "b": Fraction(1, 2)}


def test_counts_by_hand():
  half = Fraction(1, 2)
  rates = {"a": half, "b": Fraction(1, 3), "c": Fraction(1, 6)}
  assert mixing.counts(rates, 12) == {"a": 6, "b": 4, "c": 2}
  # 5, 3.33, 1.67: the largest remainder is c's.
  assert mixing.counts(rates, 10) == {"a": 5, "b": 3, "c": 2}
  assert mixing.counts({"a": half, "b": half}, 3) == {"a": 2, "b": 1}
  assert mixing.most({"a": 10, "b": 10, "c": 1}, rates) == 6
  assert mixing.most({"a": 49, "b": 49}, {"a": half, "b": half}) == 98


def test_a_mixture_by_hand():
  found, parts = mix(rows(a=60, b=20), rate_cap=30)
  # Rates 30 : 20; b, of 20 rows, allows 50.
  assert parts == {"a": Part(60, 0.6, 30), "b": Part(20, 0.4, 20)}
  assert len({row["id"] for row in found}) == len(found) == 50
  _, parts = mix(rows(a=60, b=20), rate_cap=30, total=10)
  assert [p.taken for p in parts.values()] == [6, 4]


def test_without_a_cap_every_row_is_taken_once():
  found, parts = mix(rows(a=7, b=3, c=1))
  assert sorted(row["id"] for row in found) == sorted(
    row["id"] for part in rows(a=7, b=3, c=1).values() for row in part
  )
  assert [p.taken for p in parts.values()] == [7, 3, 1]


def test_what_runs_out_is_refused_or_repeated():
  with pytest.raises(ValueError) as e:
    mix(rows(a=60, b=20), rate_cap=30, total=60)
  said = str(e.value)
  assert "60 rows need 24 of b, which has 20" in said and "most 50 rows" in said
  found, parts = mix(rows(a=60, b=20), rate_cap=30, total=60, repeat=True)
  assert parts["b"] == Part(20, 0.4, 24) and len(found) == 60
  ids = [row["id"] for row in found]
  assert len(set(ids)) == 60  # training refuses an id that stands twice
  again = [x for x in ids if x.endswith("/again-1")]
  assert len(again) == 4
  assert all(x.removesuffix("/again-1") in ids for x in again)


@pytest.mark.parametrize("seed", range(10))
def test_counts_keep_the_rates(seed):
  rng = np.random.default_rng(seed)
  sizes = {f"set {i}": int(n) for i, n in enumerate(rng.integers(1, 9e4, 7))}
  cap, temperature = int(rng.integers(0, 5000)), float(rng.uniform(0.5, 5))
  rates = mixing.rates(sizes, cap=cap, temperature=temperature)
  assert sum(rates.values()) == 1
  limit = mixing.most(sizes, rates)
  for total in (1, 10, limit // 2, limit):
    counts = mixing.counts(rates, total)
    assert sum(counts.values()) == total
    for name, n in counts.items():
      assert abs(n - total * rates[name]) < 1 and n <= sizes[name]
  over = mixing.counts(rates, limit + len(sizes))
  assert any(n > sizes[name] for name, n in over.items())


def test_rows_depend_on_seed_and_ids_alone():
  one = [row["id"] for row in mix(rows(a=40, b=40), total=20)[0]]
  assert one == [row["id"] for row in mix(rows(a=40, b=40), total=20)[0]]
  found = rows(a=40, b=40)
  turned = {name: part[::-1] for name, part in found.items()}
  assert one == [row["id"] for row in mix(turned, total=20)[0]]
  other = [row["id"] for row in mix(found, total=20, seed=1)[0]]
  assert set(one) != set(other)
  assert one != sorted(one)  # the data sets are mixed
  assert {x[0] for x in one[:6]} == {"a", "b"}


def test_fewer_rows_of_a_set_are_among_more():
  found = rows(a=60, b=60, c=20)
  ten, eleven = (mix(found, total=n) for n in (10, 11))
  taken = [[p.taken for p in parts.values()] for _, parts in (ten, eleven)]
  assert taken == [[4, 4, 2], [5, 5, 1]]  # largest remainders are so
  for name in found:
    few, many = sorted(
      ({r["id"] for r in x[0] if r["id"][0] == name} for x in (ten, eleven)),
      key=len,
    )
    assert few < many


@pytest.mark.parametrize(
  "given", [{"temperature": 0.0}, {"temperature": float("nan")}, {"cap": -1}]
)
def test_what_is_no_rate_is_refused(given):
  with pytest.raises(ValueError, match="legal: a temperature above 0"):
    mixing.rates({"a": 3}, **{"cap": 0, "temperature": 1.0} | given)


def test_nothing_to_mix_is_refused():
  with pytest.raises(ValueError, match="b has no rows to mix"):
    mix(rows(a=3, b=0))
