"""What every loss of preferences keeps, whatever its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from alignjax.losses import aot, cpo, distill, dpo, kto, orpo, reward
from alignjax.types import Batch

FREE = dict(beta=0.5, reference_free=False)
LINK = dict(FREE, divergence="reverse_kl")
DPO = {
  "sigmoid": dict(LINK, label_smoothing=0.1),
  "sigmoid_norm": dict(LINK, label_smoothing=0.1),
  "hinge": LINK,
  "ipo": LINK,
  "ipo_sum": LINK,
  "robust": dict(LINK, label_smoothing=0.1),
  "exo_pair": dict(LINK, label_smoothing=1e-3),
  "discopop": dict(LINK, tau=0.05),
  "nca_pair": FREE,
  "bco_pair": FREE,
  "sppo_hard": FREE,
  "apo_zero": FREE,
  "apo_down": FREE,
  "wpo": dict(FREE, label_smoothing=0.1),
  "ld": dict(FREE, label_smoothing=0.1, ld_alpha=0.3),
}
AOT = {
  kind: dict(FREE, label_smoothing=0.1) for kind in ("aot", "aot_unpaired")
}
CPO = {
  "sigmoid": dict(beta=0.5, label_smoothing=0.1, alpha=1.0),
  "hinge": dict(beta=0.5, alpha=1.0),
  "ipo": dict(beta=0.5, alpha=1.0),
  "simpo": dict(beta=2.0, gamma=0.5, alpha=0.0),
}
ORPO = {kind: dict(beta=0.1) for kind in ("loss", "with_prompt")}
REWARD = {"bt": {}, "centre": {}}
KTO = {
  kind: dict(beta=0.5, desirable_weight=1.0, undesirable_weight=1.5)
  for kind in ("kto", "apo_zero_unpaired")
}
KINDS = [
  (module, kind, options)
  for module, kinds in (
    (dpo, DPO),
    (aot, AOT),
    (cpo, CPO),
    (orpo, ORPO),
    (reward, REWARD),
    (kto, KTO),
    (distill, {"loss": {}}),
  )
  for kind, options in kinds.items()
]
NAMES = [f"{m.__name__.split('.')[-1]}-{k}" for m, k, _ in KINDS]
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

each = pytest.mark.parametrize("module, kind, options", KINDS, ids=NAMES)
each_labelled = pytest.mark.parametrize(
  "module, kind, options",
  [KINDS[i] for i in LABELLED],
  ids=[NAMES[i] for i in LABELLED],
)

# Four rows: two pairs, one, one after a prompt that is read out, none.
IDS = jnp.array(
  [
    [1, 1, 1, 2, 2, 3, 4, 4, 4, 0],
    [1, 1, 2, 2, 2, 2, 0, 0, 0, 0],
    [0, 0, 1, 2, 2, 2, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ]
)
ENDS = jnp.array([[5, 9, 12, 20], [4, 9, 0, 0], [3, 7, 0, 0], [0, 0, 0, 0]])
PROMPT = jnp.zeros((4, 10)).at[2, :2].set(1.0)
THERE = ENDS > 0
READ = (IDS > 0) | (PROMPT > 0)


def batch_of(ids=IDS, ends=ENDS, **fields):
  zeros = jnp.zeros_like(ids)
  draw = np.random.default_rng(3)
  known = {
    "reference/logp": jnp.float32(-draw.uniform(0.1, 3, ids.shape)),
    "label": jnp.float32(ends > 0) * jnp.array([1.0, 0] * (ends.shape[1] // 2)),
    "margin": jnp.zeros(ends.shape),
    "prompt": PROMPT,
    "kl": jnp.zeros(ends.shape),
  }
  weights = jnp.where(ids > 0, 1.0, 0.0)
  return Batch(*[zeros] * 5, ids, weights, None, ends, known | fields)


def stats_of(seed=0):
  draw = np.random.default_rng(seed)
  tokens = {
    "logp": -draw.uniform(0.1, 3, IDS.shape),
    "entropy": draw.uniform(0, 2, IDS.shape),
    "correct": draw.integers(0, 2, IDS.shape),
    "sum_p2": draw.uniform(0.1, 1, IDS.shape),
    "jsd": draw.uniform(0, 1, IDS.shape),
    "score": draw.normal(0, 1, ENDS.shape),
  }
  return {name: jnp.float32(x) for name, x in tokens.items()}


def needs_of(module, kind):
  return getattr(getattr(module, kind), "needs", module.needs)


def total(module, kind, options, stats, batch):
  """(Σ of the terms' means, Terms)."""
  stats = {name: stats[name] for name in needs_of(module, kind)}
  terms = getattr(module, kind)(stats, batch, **options)
  return sum(
    t.sum / jnp.maximum(t.weight, 1e-9) for t in terms.loss.values()
  ), terms


def gradient(module, kind, options, stats, batch):
  """((Σ of the terms' means, Terms), its gradient)."""
  value = partial(total, module, kind, options)
  return jax.value_and_grad(value, has_aux=True)(stats, batch)


def same(found, expected, **tolerance):
  tolerance = tolerance or dict(rtol=1e-6, atol=1e-6)
  jax.tree.map(
    partial(np.testing.assert_allclose, **tolerance), found, expected
  )


class Read(dict):
  """A dictionary that remembers what was read of it."""

  def __init__(self, *given):
    super().__init__(*given)
    self.read = set()

  def __getitem__(self, name):
    self.read.add(name)
    return super().__getitem__(name)


@each
def test_needs_are_what_is_read(module, kind, options):
  # The type checker looks at the first entry.
  stats = stats_of()
  stats = Read({"checked": stats[needs_of(module, kind)[0]]} | stats)
  terms = getattr(module, kind)(stats, batch_of(), **options)
  assert stats.read - {"checked"} == set(needs_of(module, kind))
  for term in jax.tree.leaves(terms):
    assert term.dtype == jnp.float32 and term.shape == ()
    assert np.isfinite(term)


@each
def test_padding_changes_neither_value_nor_gradient(module, kind, options):
  stats, batch = stats_of(), batch_of()
  expected = gradient(module, kind, options, stats, batch)
  masks = {name: THERE if name == "score" else READ for name in stats}
  for dirt in (jnp.nan, 1e30):
    dirty = {k: jnp.where(masks[k], x, dirt) for k, x in stats.items()}
    fields = {
      "reference/logp": (IDS > 0, batch.fields["reference/logp"]),
      "label": (THERE, batch.fields["label"]),
      "margin": (THERE, batch.fields["margin"]),
    }
    fields = {k: jnp.where(m, x, dirt) for k, (m, x) in fields.items()}
    weights = jnp.where(READ, batch.weights, dirt)
    changed = batch_of(**fields)._replace(weights=weights)
    found = gradient(module, kind, options, dirty, changed)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@each
def test_weights_come_from_masks_alone(module, kind, options):
  stats, batch = stats_of(), batch_of()
  seen = []
  for x in (stats, jax.tree.map(lambda x: x * jnp.nan, stats)):
    terms = total(module, kind, options, x, batch)[1]
    seen.append({name: float(t.weight) for name, t in terms.loss.items()})
  assert seen[0] == seen[1]
  assert all(weight > 0 for weight in seen[0].values())


@each
def test_parts_of_a_batch_add_up(module, kind, options):
  function = getattr(module, kind)
  stats, batch = stats_of(1), batch_of()
  whole = function(stats, batch, **options).loss
  found = []
  for rows in ([1, 0, 1, 0], [0, 1, 0, 1]):
    keep = jnp.array(rows)[:, None]
    fields = batch.fields | {"prompt": PROMPT * keep, "whole/kl": jnp.array(0)}
    part = batch._replace(
      completions=IDS * keep, ends=ENDS * keep, fields=fields
    )
    found.append(function(stats, part, **options).loss)
  found = jax.tree.map(jnp.add, *found)
  if getattr(function, "couples_rows", False):
    (name,) = whole
    assert abs(float(found[name].sum - whole[name].sum)) > 1e-3
  else:
    same(found, whole)


@each
def test_an_empty_completion_is_no_nan(module, kind, options):
  # Said to be there, but without a token.
  ids = jnp.where(IDS == 2, 0, IDS)
  found = gradient(module, kind, options, stats_of(), batch_of(ids))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


@each
def test_a_batch_without_completions_is_zero(module, kind, options):
  none = batch_of(0 * IDS, 0 * ENDS, prompt=0 * PROMPT)
  (value, _), slope = gradient(module, kind, options, stats_of(), none)
  assert float(value) == 0.0
  assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(slope))


@each
def test_chosen_up_rejected_down(module, kind, options):
  if module is distill or kind in ("centre", "discopop"):
    pytest.skip("it has no sides, or no slope of one sign")
  stats, batch = stats_of(), batch_of()
  if "reference_free" in options or module is kto:
    # At the start, where policy and reference are equal.
    stats["logp"] = batch.fields["reference/logp"]
  _, slope = gradient(module, kind, options, stats, batch)
  if module is reward:
    slope, up = slope["score"], jnp.array([1, 0, 1, 0]) * THERE
    down = jnp.array([0, 1, 0, 1]) * THERE
  else:
    slope, up, down = slope["logp"], IDS % 2 == 1, (IDS > 0) & (IDS % 2 == 0)
  assert (slope[down > 0] >= 0).all() and (slope[up > 0] <= 0).all()
  assert (slope[down > 0] > 0).any()
  if kind != "apo_down":  # the sides' pulls on the chosen one cancel there
    assert (slope[up > 0] < 0).any()


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


@pytest.mark.parametrize("kind", AOT)
def test_pairs_that_are_not_there_are_not_sorted_in(kind):
  stats, batch = stats_of(), batch_of()
  whole = total(aot, kind, AOT[kind], stats, batch)[1].loss
  rows = jnp.array([2, 0, 1])  # without the empty row, in another order
  part = jax.tree.map(lambda x: x[rows], (stats, batch))
  same(total(aot, kind, AOT[kind], *part)[1].loss, whole, rtol=1e-5)
  (term,) = whole.values()
  assert float(term.weight) == 4.0


@pytest.mark.parametrize(
  "module, kind, options",
  [
    (dpo, "wpo", DPO["wpo"]),
    (aot, "aot", AOT["aot"]),
    (kto, "kto", KTO["kto"]),
  ],
)
def test_a_mesh_changes_nothing(module, kind, options):
  mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
  rows = NamedSharding(mesh, PartitionSpec("data"))
  given = stats_of(), batch_of(kl=jnp.tile(jnp.array([0.0, 1]), (4, 2)))
  value = partial(gradient, module, kind, options)
  expected = value(*given)
  same(jax.jit(value)(*jax.device_put(given, rows)), expected, rtol=1e-5)
