import jax
import numpy as np
import pytest

from alignjax import sharding
from alignjax.evals.likelihood import check, likelihoods
from alignjax.evals.packing import Asked, collate, pack, padded
from alignjax.models.lm import LM
from alignjax.models.presets import preset


def array(*ids):
  return np.array(ids, np.int32)


def test_a_row_by_hand():
  # Two questions that begin with 5 6 7, of the first two answers of one token.
  asked = [
    Asked(array(5, 6, 7, 8), array(1)),
    Asked(array(5, 6, 7, 8), array(2)),
    Asked(array(5, 6, 7), array(9, 3)),
  ]
  (row,) = pack(asked, room=32)
  assert row.shared == 3 and row.length == 3 + 1 + 1 and row.predicted == 4
  batch, number = collate([row], 1, 8, 5)
  assert batch.tokens[0].tolist() == [5, 6, 7, 8, 9, 0, 0, 0]
  assert batch.positions[0].tolist() == [0, 1, 2, 3, 3, 0, 0, 0]
  assert batch.documents[0].tolist() == [1, 1, 1, 2, 3, 0, 0, 0]
  assert batch.parents[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
  # Both answers of the first are read where 8 stands; 9 where 7 does.
  assert batch.where[0].tolist() == [3, 3, 2, 4, 0]
  assert batch.targets[0].tolist() == [1, 2, 9, 3, 0]
  assert number[0].tolist() == [0, 1, 2, 2, -1]


def test_rows_are_not_made_where_sharing_would_cost_more():
  long = np.arange(40, dtype=np.int32)
  asked = [Asked(np.append(long, i), array(0)) for i in (50, 51, 52, 53)]
  asked.append(Asked(array(0, 7, 8), array(1)))
  rows = pack(asked, room=100)
  assert sorted(row.length for row in rows) == [3, 44]


@pytest.mark.parametrize("length", [1, 64, 65, 96, 97, 128, 200, 1000, 1537])
def test_lengths_are_few_and_little_is_padded(length):
  size = padded(length)
  assert length <= size and (size == 64 or size < 1.5 * length)
  assert size / (size & -size) in (1, 3)


@pytest.fixture(scope="module")
def lm():
  return LM(preset("tiny"))


@pytest.fixture(scope="module")
def params(lm):
  return lm.init(jax.random.key(0))


def found(lm, params, asked, place, batch=256):
  known = {}
  progress = []
  for out, *step in likelihoods(lm, params, asked, batch=batch, place=place):
    progress.append(step)
    for i, x in out.items():
      assert i not in known
      known[i] = x
  assert progress[-1] == [len(progress)] * 2
  assert sorted(known) == list(range(len(asked)))
  return [known[i] for i in range(len(asked))]


def several(n=60):
  """Continuations whose contexts begin alike, of many lengths."""
  draw = np.random.default_rng(0)
  heads = [draw.integers(0, 264, k) for k in (0, 20, 57)]
  asked = []
  for k in range(n):
    own = draw.integers(0, 264, draw.integers(1, 30))
    context = np.concatenate([heads[k % 3], own]).astype(np.int32)
    for _ in range(k % 4 + 1):
      more = draw.integers(0, 264, draw.integers(1, 5)).astype(np.int32)
      asked.append(Asked(context, more))
  return asked + asked[:3]


@pytest.mark.parametrize("mesh", [(1, 1, 1), (4, 2, 1)])
def test_packed_rows_say_what_rows_alone_say(lm, params, mesh):
  asked = several()
  size = int(np.prod(mesh))
  place = sharding.Placement(
    sharding.make_mesh(mesh, jax.devices()[:size]), [(".*", ())], {}
  )
  out = found(lm, params, asked, place)
  for (context, continuation), x in zip(asked, out):
    whole = np.concatenate([context, continuation])
    ids = np.zeros((1, 96), np.int32)
    ids[0, : len(whole)] = whole
    logits = np.asarray(jax.jit(lm.logits)(params, ids))[0]
    at = np.arange(len(context) - 1, len(whole) - 1)
    logps = np.asarray(jax.nn.log_softmax(logits[at]))
    expected = logps[np.arange(len(at)), continuation].sum()
    assert x.logp == pytest.approx(expected, abs=2e-5)
    assert x.tokens == len(continuation)
    assert x.greedy == (logits[at].argmax(-1) == continuation).all()


def test_a_batch_of_another_size_changes_nothing_but_rounding(lm, params):
  asked = several(20)
  mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
  place = sharding.Placement(mesh, [(".*", ())], {})
  one = found(lm, params, asked, place, batch=64)
  other = found(lm, params, asked, place, batch=4096)
  assert [x.tokens for x in one] == [x.tokens for x in other]
  np.testing.assert_allclose(
    [x.logp for x in one], [x.logp for x in other], atol=2e-5
  )


def test_what_the_model_cannot_read_is_named(lm):
  # The last token is never fed.
  check(lm, [Asked(np.zeros(512, np.int32), array(1))], "q")
  long = Asked(np.zeros(513, np.int32), array(1))
  with pytest.raises(ValueError, match="q: .* 513 tokens; the model takes 512"):
    check(lm, [long], "q")
  with pytest.raises(ValueError, match="q holds token 264, outside"):
    check(lm, [Asked(array(264), array(1))], "q")
