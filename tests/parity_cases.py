"""Parity vectors as batches and statistics, and how near is near enough."""

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.ops.readout import STATS, statistics
from alignjax.totals import ratio
from alignjax.types import Batch


def batch_of(completions, **fields):
  """A batch of those completions; what no loss reads is zeros."""
  completions = jnp.asarray(completions)
  zeros = jnp.zeros_like(completions)
  size = int(completions.max())
  ends = [(completions == s + 1).any(1) for s in range(size)]
  fields = {k.replace("__", "/"): jnp.asarray(v) for k, v in fields.items()}
  return Batch(
    *[zeros] * 5,
    completions,
    jnp.where(completions > 0, 1.0, 0.0),
    ends=jnp.stack(ends, 1).astype(jnp.int32),
    fields=fields,
  )


def pairs(x):
  """[2P, T, …] → [P, 2T, …]: the chosen side, then the rejected one."""
  return jnp.concatenate(jnp.split(x, 2), 1)


@jax.jit
def read(logits, ids):
  """Statistics of logits: position t predicts the token at t + 1."""
  return statistics(logits[:, :-1], ids[:, 1:], STATS)


def inputs(numbers):
  return (
    jnp.asarray(numbers["pairs/logits"], jnp.float64),
    jnp.asarray(numbers["pairs/ref_logits"], jnp.float64),
    jnp.asarray(numbers["pairs/input_ids"]),
    jnp.asarray(numbers["pairs/completion_mask"]),
  )


def pair_case(numbers):
  """(logits → statistics of pairs in one row, their batch)."""
  _, ref, ids, mask = inputs(numbers)
  half = len(ids) // 2
  side = jnp.repeat(jnp.array([1, 2]), half)[:, None]
  batch = batch_of(
    pairs(mask[:, 1:] * side),
    label=np.tile([1.0, 0.0], (half, 1)),
    reference__logp=pairs(read(ref, ids)["logp"]),
  )
  return lambda x: {k: pairs(v) for k, v in read(x, ids).items()}, batch


def total(terms, weights=None):
  """Σ weight · sum / weight of the terms named, of all of them by default."""
  weights = weights or dict.fromkeys(terms.loss, 1.0)
  return sum(w * ratio(terms.loss[k]) for k, w in weights.items())


def close(found, expected):
  assert found.dtype == jnp.float64
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def close_gradient(found, expected):
  assert found.dtype == jnp.float64
  assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
