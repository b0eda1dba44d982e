"""A prompt laid once for two completions gives what two rows give."""

import jax.numpy as jnp
import numpy as np
import pytest
from test_packing_families import program

from alignjax.ops.attention import visible
from alignjax.types import Batch

LENGTH, TRAINED = 24, 16
# (prompt, one completion, the other) in tokens; two rows.
SIZES = ((5, 4, 2), (1, 3, 6))


def pieces():
  draw = np.random.default_rng(0)
  return [[draw.integers(2, 53, n) for n in sizes] for sizes in SIZES]


def batch_of(rows):
  """rows: lists of documents (tokens, position of the first, parent, from where
  its first trained token is predicted, trained tokens)."""
  B = len(rows)
  tokens, positions, documents, parents = np.zeros((4, B, LENGTH), np.int32)
  where, targets, completions = np.zeros((3, B, TRAINED), np.int32)
  for b, row in enumerate(rows):
    at = used = 0
    for d, (ids, first, parent, before, trained) in enumerate(row, 1):
      n = len(ids)
      tokens[b, at : at + n], documents[b, at : at + n] = ids, d
      positions[b, at : at + n] = first + np.arange(n)
      parents[b, at : at + n] = parent
      for i in range(n - trained, n):
        where[b, used] = before if i == 0 else at + i - 1
        targets[b, used], completions[b, used] = ids[i], 1
        used += 1
      at += n
  return Batch(
    *map(jnp.asarray, (tokens, positions, documents, where, targets)),
    jnp.asarray(completions),
    weights=jnp.float32(completions > 0),
    parents=jnp.asarray(parents),
  )


def apart():
  rows = []
  for prompt, *sides in pieces():
    row = [
      (np.concatenate([prompt, side]), 0, 0, None, len(side)) for side in sides
    ]
    rows.append(row)
  return batch_of(rows)


def shared():
  rows = []
  for prompt, *sides in pieces():
    n = len(prompt)
    row = [(prompt, 0, 0, None, 0)]
    row += [(side, n, 1, n - 1, len(side)) for side in sides]
    rows.append(row)
  return batch_of(rows)


# One family of each way to place tokens and to see them; not llama_dynamic,
# whose rope turns a prompt by the length of what follows it.
KINDS = "gemma2 gemma3 gpt2 gpt_neox llama3 mistral qwen3_window".split()


@pytest.mark.parametrize("name", KINDS)
def test_a_shared_prompt_is_two_rows(name):
  run = program(name)
  (one, grad), (other, same) = run(apart()), run(shared())
  assert abs(one - other) < 1e-5 * abs(one)
  assert np.linalg.norm(grad - same) < 1e-5 * np.linalg.norm(grad)


def test_completions_that_see_each_other_are_noticed():
  run, batch = program(KINDS[0]), shared()
  leaking = batch._replace(documents=jnp.minimum(batch.documents, 1))
  assert abs(run(batch)[0] - run(leaking)[0]) > 1e-3
  without = batch._replace(parents=jnp.zeros_like(batch.parents))
  assert abs(run(batch)[0] - run(without)[0]) > 1e-3


def test_who_sees_whom_by_hand():
  """A prompt of two tokens, completions of two and one, padding."""
  positions = jnp.array([[0, 1, 2, 3, 2, 0]])
  documents = jnp.array([[1, 1, 2, 2, 3, 0]])
  parents = jnp.array([[0, 0, 1, 1, 1, 0]])
  see = visible(positions, positions, documents, documents, 0, parents)
  expected = [
    [1, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 0, 0],
    [1, 1, 0, 0, 1, 0],
    [0, 0, 0, 0, 0, 1],
  ]
  np.testing.assert_array_equal(see[0], np.array(expected, bool))
  near = visible(positions, positions, documents, documents, 2, parents)
  np.testing.assert_array_equal(near[0, 4], [0, 1, 0, 0, 1, 0])
