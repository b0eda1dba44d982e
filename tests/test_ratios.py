import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.ops.ratios import log_ratios, pairwise
from alignjax.types import Batch

IDS = jnp.array([[1, 1, 2, 0]])
LOGP = jnp.array([[-1.0, -2, -5, jnp.nan]])
REF = jnp.array([[-2.0, -2, -3, jnp.nan]])
STATS = {"logp": LOGP, "correct": 0 * IDS + 0.0, "entropy": 0 * IDS + 0.0}


def batch(**fields):
  zeros = jnp.zeros_like(IDS)
  ends = jnp.array([[3, 4]])
  fields = {"label": jnp.array([[1.0, 0.0]])} | fields
  fields = {k.replace("__", "/"): v for k, v in fields.items()}
  return Batch(*[zeros] * 5, IDS, 1.0 * IDS.clip(0, 1), None, ends, fields)


KNOWN = dict(reference__logp=REF)


def test_log_ratios_by_hand():
  found = log_ratios(STATS, batch(**KNOWN), reference_free=False)
  np.testing.assert_array_equal(found, [[[-3, -5]], [[1, -2]]])
  found = log_ratios(STATS, batch(), reference_free=True)
  np.testing.assert_array_equal(found, [[[-3, -5]], [[-3, -5]]])
  found = log_ratios(
    STATS,
    batch(**KNOWN),
    reference_free=False,
    factors=jnp.array([[1.0, 0.5, 1, jnp.nan]]),
  )
  np.testing.assert_array_equal(found, [[[-2, -5]], [[1, -2]]])


def test_small_differences_of_long_completions_survive():
  ids = jnp.ones((1, 4000), jnp.int32)
  logp = jnp.full((1, 4000), -5.1)
  fields = {"reference/logp": logp - 1e-4}
  long = Batch(*[ids] * 6, 1.0 * ids, None, jnp.array([[4000]]), fields)
  _, found = log_ratios({"logp": logp}, long, reference_free=False)
  # Sums of −20400 are 0.002 apart in float32; a token's −5.1, 5e-7.
  step = logp[0, 0] - (logp[0, 0] - 1e-4)
  np.testing.assert_allclose(found, [[4000 * float(step)]], rtol=1e-6)


def test_a_missing_reference_is_named():
  with pytest.raises(ValueError, match="no field 'reference/logp'.*has label"):
    log_ratios(STATS, batch(), reference_free=False)


@pairwise(divergence=True, per_token=True)
def difference(u, v, *, beta: float, gap: float):
  """v − u − gap."""
  return beta * (v - u) - gap


@pairwise(divergence=False)
def labelled(u, v, p, *, beta: float):
  return p + 0 * (u + v)


def test_a_function_of_a_pair_becomes_a_loss():
  given = inspect.signature(difference).parameters.values()
  named = [p.name for p in given if p.kind is p.KEYWORD_ONLY]
  assert named == ["beta", "gap", "divergence", "reference_free"]
  assert all(p.default is p.empty for p in given)
  assert difference.__doc__ == "v − u − gap."
  assert float(difference.__wrapped__(1.0, 3.0, beta=2.0, gap=1.0)) == 3.0

  found = difference(
    STATS,
    batch(**KNOWN),
    beta=2.0,
    gap=1.0,
    divergence="reverse_kl",
    reference_free=False,
  )
  assert set(found.loss) == {"difference"}
  # u = 1 over two tokens, v = −2 over one
  assert [float(x) for x in found.loss["difference"]] == [2 * -2.5 - 1, 1.0]
  assert float(found.metrics["rewards/chosen"].sum) == 2.0
  assert float(found.metrics["rewards/rejected"].sum) == -4.0


def test_a_third_argument_is_the_label():
  soft = batch(label=jnp.array([[0.75, 0.25]]))
  found = labelled(STATS, soft, beta=1.0, reference_free=True)
  assert float(found.loss["labelled"].sum) == 0.75


def test_options_it_does_not_have_are_refused():
  for options in (
    dict(beta=1.0),
    dict(beta=1.0, reference_free=True, gap=1.0),
    dict(beta=1.0, reference_free=True, divergence="reverse_kl"),
  ):
    with pytest.raises(TypeError):
      labelled(STATS, batch(), **options)


def test_gradient_by_hand_under_jit():
  def value(x):
    options = dict(beta=2.0, gap=1.0, reference_free=False)
    found = difference(
      {**STATS, "logp": x},
      batch(**KNOWN),
      divergence="reverse_kl",
      **options,
    )
    return found.loss["difference"].sum

  found = jax.jit(jax.grad(value))(LOGP)
  np.testing.assert_array_equal(found, [[-1.0, -1.0, 2.0, 0.0]])
