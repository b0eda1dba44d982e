"""Packed rows give the loss and the gradient of the same rows alone, in every
family: attention, windows and positions know no neighbour."""

import functools

import jax
import numpy as np
import pytest
from test_families import NAMES, fixture

from alignjax.data.loader import collate
from alignjax.data.pack import join, plan
from alignjax.losses.sft import loss
from alignjax.types import Row

# Windows of the fixtures are 3 and 4 tokens, GPT-2's have 13 or 16 positions.
SIZES = (9, 4, 1, 2, 12, 7, 2, 1, 5, 3)
LENGTH = 24
NONE = Row(np.zeros(0, np.int32), np.zeros(0, np.int32), "padding")


def documents(longest):
  """Rows with prompts of up to three tokens; some train a token or none."""
  draw = np.random.default_rng(0)
  rows = []
  for n in (min(n, longest) for n in SIZES):
    completions = np.ones(n, np.int32)
    completions[: draw.integers(0, 4)] = 0
    tokens = draw.integers(2, 53, n).astype(np.int32)
    rows.append(Row(tokens, completions, f"row of {n}"))
  return rows


def together(rows):
  """The rows packed; as many rows as before, so that one program does both."""
  lengths = [len(row.tokens) for row in rows]
  bins = plan(lengths, [0] * len(rows), length=LENGTH, predicted=LENGTH)
  assert len(bins) <= 3 and all(len(b) > 1 for b in bins)
  packed = [join([rows[i] for i in b]) for b in bins]
  return packed + [NONE] * (len(rows) - len(packed))


@functools.cache
def program(name):
  """batch → (Σ of the loss, its gradient as one vector), compiled once."""
  lm, params, _, _ = fixture(name)

  def total(params, batch):
    stats = lm.stats(params, batch, ("logp", "correct"))
    return loss(stats, batch).loss["nll"].sum

  # Compiled in half the time; the arithmetic is the same float32.
  run = jax.jit(
    jax.value_and_grad(total),
    compiler_options={"xla_backend_optimization_level": 0},
  )

  def values(batch):
    value, grad = run(params, batch)
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(grad)]
    return float(value), np.concatenate(leaves)

  return values


@functools.cache
def batches(name):
  """The rows alone and packed."""
  rows = documents(12)
  return [collate(r, LENGTH, LENGTH) for r in (rows, together(rows))]


def apart(one, other):
  """How far two (loss, gradient) are apart, relative to the norms of one."""
  return (
    abs(other[0] - one[0]) / abs(one[0]),
    np.linalg.norm(other[1] - one[1]) / np.linalg.norm(one[1]),
  )


@pytest.mark.parametrize("name", NAMES)
def test_packed_rows_are_rows_alone(name):
  alone, packed = batches(name)
  assert (packed.documents > 1).any()
  assert (alone.completions > 0).sum() == (packed.completions > 0).sum()
  run = program(name)
  base = run(alone)
  assert max(apart(base, run(packed))) < 1e-5
  # The measure sees a leak: the same row as if it were one document.
  leaking = packed._replace(documents=np.minimum(packed.documents, 1))
  assert max(apart(base, run(leaking))) > 1e-2
  # Positions that do not start anew matter where they are learned; a rotary
  # embedding knows differences alone.
  config = fixture(name)[0].config
  ongoing = np.minimum(np.arange(LENGTH), config.max_length - 1)
  ongoing = np.where(packed.documents > 0, ongoing, 0).astype(np.int32)
  shifted = apart(base, run(packed._replace(positions=ongoing)))
  if config.rope is None:
    assert max(shifted) > 1e-2
  elif name != "llama_dynamic":
    assert max(shifted) < 1e-3
