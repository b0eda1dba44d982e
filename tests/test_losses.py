"""What every loss keeps, whatever its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from loss_kinds import (
  AOT,
  DPO,
  ENDS,
  IDS,
  KTO,
  PROMPT,
  READ,
  THERE,
  batch_of,
  each,
  gradient,
  needs_of,
  same,
  stats_of,
  total,
)

from alignjax.losses import aot, distill, dpo, grpo, kto, ppo, reward, rloo, sft


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
    masks = {k: batch.fields[k] * keep for k in ("prompt", "valued")}
    fields = batch.fields | masks | {"whole/kl": jnp.array(0)}
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


NO_SIDES = (distill, grpo, ppo, rloo, sft)


@each
def test_chosen_up_rejected_down(module, kind, options):
  if module in NO_SIDES or kind in ("centre", "discopop"):
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
