"""Samples laid out as batches."""

import jax
import jax.numpy as jnp
import numpy as np

from alignjax.data.loader import collate
from alignjax.experience import laid, rows
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
