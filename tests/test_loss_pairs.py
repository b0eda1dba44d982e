"""What every loss of pairs keeps: labels, weights, and a pair is a pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_kinds import (
  DPO,
  ENDS,
  IDS,
  KINDS,
  NAMES,
  batch_of,
  same,
  stats_of,
  total,
)

from alignjax.losses import cpo, dpo, orpo, reward

# A pair's label says which side is preferred.
LABELLED = [
  i
  for i, (module, kind, _) in enumerate(KINDS)
  if module in (dpo, cpo, orpo, reward) and kind != "centre"
]
# A difference of the sides is all that counts.
RATIOS = [
  "sigmoid",
  "hinge",
  "ipo_sum",
  "robust",
  "exo_pair",
  "discopop",
  "wpo",
]

each_labelled = pytest.mark.parametrize(
  "module, kind, options",
  [KINDS[i] for i in LABELLED],
  ids=[NAMES[i] for i in LABELLED],
)


@pytest.mark.parametrize("kind", RATIOS)
def test_a_shift_of_both_sides_changes_nothing(kind):
  # The sums are shifted, whatever the number of tokens.
  stats, batch = stats_of(), batch_of()
  counts = jnp.maximum((IDS[:, :, None] == IDS[:, None, :]).sum(2), 1)
  ref = batch.fields["reference/logp"]
  moved = batch_of(**{"reference/logp": ref - 1.7 / counts})
  args = dpo, kind, DPO[kind]
  value = total(*args, stats, batch)[1].loss
  same(total(*args, stats, moved)[1].loss, value, rtol=2e-5)


@pytest.mark.parametrize(
  "kind", ["bco_pair", "nca_pair", "sppo_hard", "apo_zero"]
)
def test_a_shift_of_both_sides_counts_where_sides_stand_alone(kind):
  stats, batch = stats_of(), batch_of()
  moved = batch_of(**{"reference/logp": batch.fields["reference/logp"] - 1.0})
  args = dpo, kind, DPO[kind]
  a, b = (total(*args, stats, x)[0] for x in (batch, moved))
  assert abs(float(a - b)) > 1e-3


def preference(terms):
  """The term over pairs: the first one that is not a likelihood."""
  (name,) = set(terms.loss) - {"nll"}
  return terms.loss[name]


def swapped(stats, batch):
  """Chosen and rejected sides changed for each other."""
  score = stats["score"].reshape(4, 2, 2)[:, :, ::-1].reshape(4, 4)
  ids = jnp.where(IDS > 0, (IDS - 1) ^ 1, -1) + 1
  return {**stats, "score": score}, batch._replace(completions=ids)


@each_labelled
def test_labels_say_which_side_is_preferred(module, kind, options):
  stats, batch = stats_of(), batch_of()

  def found(p, given=(stats, batch)):
    label = jnp.tile(jnp.array([p, 1 - p]), (4, 2))
    known = given[1].fields | {"label": label}
    given = given[0], given[1]._replace(fields=known)
    return preference(total(module, kind, options, *given)[1])

  hard = preference(total(module, kind, options, stats, batch)[1])
  jax.tree.map(np.testing.assert_array_equal, found(1.0), hard)
  other = swapped(stats, batch)
  for p in (0.0, 0.25, 0.5, 1.0):
    same(found(p), found(1 - p, other), rtol=1e-5)
  assert abs(float(found(0.0).sum - hard.sum)) > 1e-3
  if kind != "exo_pair":  # the divergence from a mixture is not the mixture
    mixed = 0.3 * found(1.0).sum + 0.7 * found(0.0).sum
    same(found(0.3).sum, mixed, rtol=1e-5)


@pytest.mark.parametrize(
  "kind", ["sigmoid", "sigmoid_norm", "exo_pair", "wpo", "ld"]
)
def test_half_smoothing_is_symmetric(kind):
  options = dict(DPO[kind], label_smoothing=0.5)
  stats, batch = stats_of(), batch_of()
  a = total(dpo, kind, options, stats, batch)[0]
  same(total(dpo, kind, options, *swapped(stats, batch))[0], a, rtol=1e-5)


@each_labelled
def test_a_pair_of_weight_two_counts_twice(module, kind, options):
  stats, batch = stats_of(), batch_of()
  # The first row's pairs with their weight doubled, or that row twice.
  again = jnp.array([0, 0, 1, 2])
  double = jnp.where(jnp.arange(4)[:, None] == 0, 2.0, 1.0) * batch.weights
  args = module, kind, options
  heavy = total(*args, stats, batch._replace(weights=double))[1]
  repeated = jax.tree.map(lambda x: x[again], (stats, batch))
  twice = total(*args, *repeated)[1]
  same(preference(heavy), preference(twice), rtol=1e-5)


@each_labelled
def test_two_pairs_in_a_row_are_two_rows(module, kind, options):
  stats, batch = stats_of(), batch_of()
  whole = preference(total(module, kind, options, stats, batch)[1])
  # The second pair of the first row moves to the empty one.
  second = IDS[0] > 2
  ids = IDS.at[0].set(jnp.where(second, 0, IDS[0]))
  ids = ids.at[3].set(jnp.where(second, IDS[0] - 2, 0))
  ends = ENDS.at[0, 2:].set(0).at[3, :2].set(ENDS[0, 2:])
  stats = {k: x.at[3].set(x[0]) for k, x in stats.items()}
  score = stats["score"]
  stats["score"] = score.at[3, :2].set(score[0, 2:])
  ref = batch.fields["reference/logp"]
  apart = batch_of(ids, ends, **{"reference/logp": ref.at[3].set(ref[0])})
  same(preference(total(module, kind, options, stats, apart)[1]), whole)
