import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.sampling import draw, greedy, min_p, top_k, top_p

LOGITS = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3]]))


def kept(logits):
  return np.flatnonzero(np.isfinite(np.asarray(logits)[0])).tolist()


@pytest.mark.parametrize(
  "k, expected", [(0, [0, 1, 2, 3]), (1, [1]), (2, [1, 3]), (9, [0, 1, 2, 3])]
)
def test_top_k_by_hand(k, expected):
  assert kept(top_k(LOGITS, k)) == expected


@pytest.mark.parametrize(
  "p, expected",
  # Ordered masses: 0.4, 0.7, 0.9, 1.
  [(1.0, [0, 1, 2, 3]), (0.95, [0, 1, 2, 3]), (0.8, [1, 2, 3])]
  + [(0.6, [1, 3]), (0.3, [1]), (1e-9, [1])],
)
def test_top_p_by_hand(p, expected):
  assert kept(top_p(LOGITS, p)) == expected


@pytest.mark.parametrize(
  "p, expected",
  [(0.0, [0, 1, 2, 3]), (0.3, [1, 2, 3]), (0.6, [1, 3]), (1.0, [1])],
)
def test_min_p_by_hand(p, expected):
  assert kept(min_p(LOGITS, p)) == expected


@pytest.mark.parametrize("filter", [top_k, top_p, min_p])
def test_filters_keep_the_likeliest_and_are_blind_to_a_shift(filter):
  value = 3 if filter is top_k else 0.4
  logits = jax.random.normal(jax.random.key(0), (20, 9)) * 2
  out = np.asarray(filter(logits, value))
  stays = np.isfinite(out)
  assert stays[np.arange(20), np.asarray(logits).argmax(-1)].all()
  assert 0 < stays.mean() < 1
  np.testing.assert_array_equal(out[stays], np.asarray(logits)[stays])
  shifted = np.asarray(filter(logits + 2.0, value))
  np.testing.assert_array_equal(np.isfinite(shifted), stays)


def test_filters_compose_over_what_is_left():
  # After top-2 the masses are 4/7 and 3/7: top-p 0.5 leaves the first.
  assert kept(top_p(top_k(LOGITS, 2), 0.5)) == [1]
  assert kept(min_p(top_p(top_k(LOGITS, 3), 0.75), 0.7)) == [1, 3]


def test_a_draw_depends_on_its_row_id_and_position_alone():
  logits = jax.random.normal(jax.random.key(1), (6, 50))
  key = jax.random.key(7)
  rows, positions = jnp.array([4, 9, 2, 2, 7, 0]), jnp.array([5, 3, 1, 2, 1, 8])
  whole = draw(logits, key, rows, positions)
  for i in range(6):
    one = draw(logits[i : i + 1], key, rows[i : i + 1], positions[i : i + 1])
    assert int(one[0]) == int(whole[i])
  turn = jnp.array([3, 0, 5, 1, 2, 4])
  mixed = draw(logits[turn], key, rows[turn], positions[turn])
  np.testing.assert_array_equal(mixed, whole[turn])
  same = jnp.broadcast_to(logits[0], (400, 50))
  by_row = draw(same, key, jnp.arange(400), jnp.zeros(400, int))
  by_position = draw(same, key, jnp.zeros(400, int), jnp.arange(400))
  assert len(set(by_row.tolist())) > 10
  assert len(set(by_position.tolist())) > 10
  assert by_row.tolist() != by_position.tolist()


def test_frequencies_of_draws_are_the_probabilities():
  n = 20_000
  logits = jnp.broadcast_to(top_k(LOGITS, 3)[0], (n, 4))
  found = draw(logits, jax.random.key(0), jnp.arange(n), jnp.full(n, 3))
  share = np.bincount(np.asarray(found), minlength=4) / n
  expected = np.array([0, 4, 2, 3]) / 9
  deviation = math.sqrt(0.25 / n)
  np.testing.assert_allclose(share, expected, atol=4 * deviation)
  assert share[0] == 0


def test_draws_over_blocks_are_those_of_the_distribution():
  n, V = 40_000, 700  # the last block is not full
  logits = np.full(V, -9.0)
  logits[[0, 127, 128, 500, 699]] = np.log([0.1, 0.2, 0.3, 0.15, 0.25])
  logits[130:140] = -np.inf
  p = np.exp(logits) / np.exp(logits).sum()
  found = draw(
    jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (n, V)),
    jax.random.key(3),
    jnp.arange(n),
    jnp.full(n, 3),
  )
  share = np.bincount(np.asarray(found), minlength=V) / n
  deviation = np.sqrt(p * (1 - p) / n)
  assert (np.abs(share - p) <= 5 * deviation + 1e-12)[p > 1e-3].all()
  assert abs(share[p <= 1e-3].sum() - p[p <= 1e-3].sum()) < 5 * math.sqrt(
    0.1 / n
  )
  assert share[130:140].sum() == 0


def test_no_draw_has_probability_zero():
  # One token in each row is left; every number must lead to it.
  V = 300
  left = jnp.arange(2000) % V
  logits = jnp.where(jnp.arange(V) == left[:, None], -80.0, -jnp.inf)
  found = draw(logits, jax.random.key(0), jnp.arange(2000), jnp.arange(2000))
  np.testing.assert_array_equal(found, left)


def test_greedy_takes_the_first_of_the_largest():
  assert greedy(jnp.array([[1.0, 3.0, 3.0], [2.0, 0.0, 2.0]])).tolist() == [
    1,
    0,
  ]
  logits = jax.random.normal(jax.random.key(2), (50, 333))
  np.testing.assert_array_equal(greedy(logits), logits.argmax(-1))
