"""Samples laid out as batches, alone, in pairs, and beside other rows."""

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.data.loader import collate
from alignjax.experience import joined, laid, paired, rows
from alignjax.losses import dpo
from alignjax.ops.pairs import pairs_of
from alignjax.sample import Prompts, Samples
from alignjax.types import Row

PROMPTS = Prompts(
  np.array([[5, 6, 7, 0], [8, 9, 0, 0], [4, 4, 4, 4]], np.int32),
  np.array([3, 2, 4], np.int32),
  np.arange(3, dtype=np.int32),
)
SAMPLES = Samples(
  np.array([[11, 12, 0], [13, 0, 0], [14, 15, 16]], np.int32),
  np.zeros((3, 3), np.float32),
  np.array([2, 1, 3], np.int32),
  np.array([1, 1, 0], np.int32),
)


def test_rows_are_those_a_loader_makes():
  whole = []
  for b in range(3):
    prompt = PROMPTS.tokens[b, : PROMPTS.lengths[b]]
    answer = SAMPLES.tokens[b, : SAMPLES.lengths[b]]
    tokens = np.concatenate([prompt, answer])
    ids = np.repeat([0, 1], [len(prompt), len(answer)]).astype(np.int32)
    whole.append(Row(tokens, ids, ""))
  expected = collate(whole, 7, 3, 1)
  found = jax.device_get(jax.jit(laid)(PROMPTS, SAMPLES))
  assert found.fields.pop("valued").tolist() == [[1, 1, 1], [1, 1, 0], [1] * 3]
  # The state after the last token is listed too, where there is room.
  after = [[0, 0, 4], [0, 2, 0], [0, 0, 0]]
  expected = expected._replace(where=expected.where + after)
  for name in expected._fields[:-1]:
    np.testing.assert_array_equal(
      getattr(found, name), getattr(expected, name), name
    )


def test_some_rows_of_a_batch():
  batch = laid(PROMPTS, SAMPLES)
  found = rows(batch, jnp.array([2, 0]))
  assert found.targets.tolist() == [[14, 15, 16], [11, 12, 0]]
  assert found.fields["valued"].shape == (2, 3)


def known(batch, **fields):
  more = {
    k: jnp.where(batch.completions > 0, x, 0.0) for k, x in fields.items()
  }
  return batch._replace(fields={**batch.fields, **more})


def two_groups():
  """Four completions, two of each of two prompts."""
  prompts = Prompts(
    np.array([[5, 6], [5, 6], [9, 0], [9, 0]], np.int32),
    np.array([2, 2, 1, 1], np.int32),
    np.arange(4, dtype=np.int32),
  )
  samples = Samples(
    np.array([[11, 12], [13, 0], [14, 15], [16, 0]], np.int32),
    np.zeros((4, 2), np.float32),
    np.array([2, 1, 2, 1], np.int32),
    np.array([1, 1, 0, 1], np.int32),
  )
  return known(laid(prompts, samples), **{"reference/logp": jnp.ones((4, 2))})


def test_the_best_and_the_worst_become_a_pair():
  """Of the first prompt the second completion is the better one."""
  scores = jnp.array([0.1, 0.7, 0.5, 0.5])
  found = jax.jit(paired, static_argnums=2)(two_groups(), scores, 2)
  assert found.tokens[0].tolist() == [5, 6, 13, 0, 5, 6, 11, 12]
  assert found.documents[0].tolist() == [1, 1, 1, 0, 2, 2, 2, 2]
  assert found.positions[0].tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
  assert found.completions[0].tolist() == [1, 0, 2, 2]
  assert found.targets[0].tolist() == [13, 0, 11, 12]
  at = found.where[0][jnp.array([0, 2, 3])]
  assert found.tokens[0][at + 1].tolist() == [13, 11, 12]
  assert found.ends[0].tolist() == [2, 7]
  assert found.fields["reference/logp"][0].tolist() == [1, 0, 1, 1]
  assert found.fields["label"].tolist() == [[1, 0], [1, 0]]


def test_completions_that_score_the_same_are_no_pair():
  scores = jnp.array([0.1, 0.7, 0.5, 0.5])
  found = paired(two_groups(), scores, 2)
  assert pairs_of(found).present.tolist() == [[True], [False]]
  assert not found.completions[1].any() and not found.weights[1].any()

  def value(logp):
    stats = dict.fromkeys(("logp", "correct", "entropy"), logp)
    options = dict(beta=0.1, label_smoothing=0.0, divergence="reverse_kl")
    terms = dpo.sigmoid(stats, found, **options, reference_free=False)
    return terms.loss["sigmoid"].sum

  slope = jax.grad(value)(jnp.zeros((2, 4)))
  assert slope[0, 0] < 0 < slope[0, 2] and not slope[1].any()


def test_other_rows_stand_behind_completions():
  """Rows longer than the sampled ones, and shorter; nothing else is known."""
  batch = known(laid(PROMPTS, SAMPLES), advantages=jnp.ones((3, 3)))
  for n in (3, 12):
    ids = np.repeat([0, 1], [1, n - 1]).astype(np.int32)
    row = Row(np.arange(1, n + 1, dtype=np.int32), ids, "")
    other = collate([row, row], n, n - 1)
    found = jax.jit(joined)(batch, other)
    B, T = found.targets.shape
    assert (B, found.tokens.shape[1], T) == (5, max(7, n), max(3, n - 1))
    for name in ("tokens", "documents", "targets", "completions", "weights"):
      part = getattr(found, name)
      for had, own in ((batch, part[:3]), (other, part[3:])):
        x = getattr(had, name)
        np.testing.assert_array_equal(own[:, : x.shape[1]], x)
        assert not own[:, x.shape[1] :].any()
    assert found.fields["mixed"].tolist() == [[0] * T] * 3 + [[1] * T] * 2
    assert not found.fields["advantages"][3:].any()
    assert not found.fields["valued"][3:].any()
    assert found.ends.tolist() == [*batch.ends.tolist(), [0], [0]]
