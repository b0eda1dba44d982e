import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.losses import kto
from alignjax.totals import ratio
from alignjax.types import Batch

OPTIONS = dict(beta=1.0, desirable_weight=1.0, undesirable_weight=3.0)
LOG3 = math.log(3)


def case(z, labels, kl=None, **fields):
  """One row; z of each completion, of one token; the marked ones are kl."""
  z = jnp.array([z])
  ids = jnp.arange(1, z.shape[1] + 1)[None]
  zeros = jnp.zeros_like(ids)
  known = {"reference/logp": -1.0 - z, "label": jnp.array([labels])}
  known["kl"] = jnp.array([kl]) if kl else 0 * z
  batch = Batch(*[zeros] * 5, ids, 1.0 + zeros, None, ids, known | fields)
  flat = jnp.full(z.shape, -1.0)
  return {"logp": flat, "correct": 0 * flat, "entropy": 0 * flat}, batch


def test_quantities_by_hand():
  z, kl = jnp.array(2 * LOG3), jnp.array(LOG3)
  np.testing.assert_allclose(kto.gain(z, beta=1.0, kl=kl), 1 / 4, rtol=1e-6)
  np.testing.assert_allclose(kto.loss_of(z, beta=1.0, kl=kl), 3 / 4, rtol=1e-6)


def test_terms_by_hand():
  # KL completions: mean of z = (2 + 0) log 3 / 2
  given = case(
    [2 * LOG3, 2 * LOG3, 2 * LOG3, 0.0],
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 1.0],
  )
  found = kto.kto(*given, **OPTIONS)
  np.testing.assert_allclose(found.loss["kto"], [1 / 4 + 9 / 4, 2], rtol=1e-6)
  metrics = {name: float(ratio(t)) for name, t in found.metrics.items()}
  np.testing.assert_allclose(metrics["kl"], LOG3, rtol=1e-6)
  np.testing.assert_allclose(metrics["rewards/chosen"], 2 * LOG3, rtol=1e-6)
  assert float(found.metrics["rewards/rejected"].weight) == 1.0
  assert float(found.metrics["entropy"].weight) == 2.0

  found = kto.apo_zero_unpaired(*given, **OPTIONS)
  expected = [1 / 10 + 3 * 9 / 10, 2]
  np.testing.assert_allclose(
    found.loss["apo_zero_unpaired"], expected, rtol=1e-6
  )


def test_a_negative_estimate_is_zero():
  given = case([LOG3, -5.0], [1.0, 0.0], [0.0, 1.0])
  found = kto.kto(*given, **OPTIONS)
  assert float(found.metrics["kl"].sum) == 0.0
  np.testing.assert_allclose(found.loss["kto"], [1 / 4, 1], rtol=1e-6)


def test_no_gradient_through_the_estimate():
  stats, batch = case([LOG3, 1.0], [1.0, 0.0], [0.0, 1.0])

  def value(x):
    return kto.kto({**stats, "logp": x}, batch, **OPTIONS).loss["kto"].sum

  slope = jax.grad(value)(stats["logp"])
  assert float(slope[0, 0]) < 0.0 == float(slope[0, 1])


def test_soft_labels_mix_both_sides():
  one, zero, half = (
    kto.kto(*case([0.7], [p]), **OPTIONS).loss["kto"].sum
    for p in (1.0, 0.0, 0.25)
  )
  np.testing.assert_allclose(half, 0.25 * one + 0.75 * zero, rtol=1e-6)


def test_parts_of_a_batch_add_up_with_the_estimate_of_the_whole():
  whole = case([2.0, -1.0, 0.5, 3.0], [1.0, 0, 0, 0], [0.0, 0, 1, 1])
  parts = [
    case([2.0, 0.5], [1.0, 0], [0.0, 1]),
    case([-1.0, 3.0], [0.0, 0], [0.0, 1]),
  ]
  expected = kto.kto(*whole, **OPTIONS)
  sums = [kto.kto.first(*part)["kl"] for part in parts]
  total = jax.tree.map(jnp.add, *sums)
  assert [float(x) for x in total] == [3.5, 2.0]
  known = {"whole/kl": ratio(total)}
  given = [(s, b._replace(fields=b.fields | known)) for s, b in parts]
  found = jax.tree.map(jnp.add, *[kto.kto(*g, **OPTIONS) for g in given])
  np.testing.assert_allclose(found.loss["kto"], expected.loss["kto"], rtol=1e-6)
  for name, term in expected.metrics.items():
    np.testing.assert_allclose(
      ratio(found.metrics[name]), ratio(term), rtol=1e-6
    )
  alone = jax.tree.map(jnp.add, *[kto.kto(*p, **OPTIONS) for p in parts])
  assert abs(float(alone.loss["kto"].sum - expected.loss["kto"].sum)) > 1e-3


def test_missing_fields_are_named():
  for name in ("label", "kl"):
    stats, batch = case([1.0], [1.0])
    del batch.fields[name]
    with pytest.raises(ValueError, match=f"no field {name!r}"):
      kto.kto(stats, batch, **OPTIONS)


def test_without_other_completions_all_are_judged():
  stats, batch = case([LOG3], [1.0])
  del batch.fields["kl"]
  found = kto.apo_zero_unpaired(stats, batch, **OPTIONS)
  expected = [1 / 4, 1]
  np.testing.assert_allclose(
    found.loss["apo_zero_unpaired"], expected, rtol=1e-6
  )
