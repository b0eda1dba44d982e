import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import build
from alignjax.data.layouts import (
  Annotated,
  Apart,
  Mismatched,
  derangement,
  unfolded,
)
from alignjax.data.loader import InOrder, collate, shape_of, trained
from alignjax.data.pack import Packed
from alignjax.data.rows import Rows
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.ops.completions import sums
from alignjax.types import Row


def answers(prompt, *sides, fields=None, weight=None, origin="a:1"):
  """A prompt and completions, all of each trained."""
  tokens = np.concatenate([prompt, *sides]).astype(np.int32)
  sizes = [len(prompt), *map(len, sides)]
  documents = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes)
  return Row(
    tokens,
    documents - 1,
    origin,
    documents,
    None if weight is None else np.full(len(tokens), weight, np.float32),
    (documents > 1).astype(np.int32),
    {k: np.array(v, np.float32) for k, v in (fields or {}).items()},
  )


def drawn(n, sides=2, seed=0, fields=True):
  rng = np.random.default_rng(seed)
  return [
    answers(
      *(rng.integers(2, 40, k) for k in rng.integers(1, 6, 1 + sides)),
      fields={"label": ([1, 0] if sides == 2 else [i % 2])},
      origin=f"a:{i + 1}",
    )
    for i in range(n)
  ]


def test_a_prompt_is_written_out_by_hand():
  row = answers([5, 6], [7], [8, 9], weight=2)
  found = unfolded(row)
  assert found.tokens.tolist() == [5, 6, 7, 5, 6, 8, 9]
  assert found.documents.tolist() == [1, 1, 1, 2, 2, 2, 2]
  assert found.completions.tolist() == [0, 0, 1, 0, 0, 2, 2]
  assert found.weights.tolist() == [2] * 7 and found.parents is None
  one = unfolded(answers([5, 6], [7]))
  assert one.tokens.tolist() == [5, 6, 7] and set(one.documents) == {1}


def checked(table):
  """A table whose sizes are those of its rows."""
  for i, row in enumerate(table):
    assert len(row.tokens) == table.lengths[i]
    assert len(trained(row)) == table.counts[i]
    assert len(row.fields["label"]) == table.completions[i]
    assert collate([row], *shape_of([table])).positions.max() < table.reach[i]
  return table


def test_sizes_are_known_before_rows_are_made():
  rows = checked(Rows.of(drawn(12)))
  apart = checked(Apart(rows))
  for table in (rows, apart):
    checked(Packed(table, 48, 40))
  judged = checked(Rows.of(drawn(12, sides=1)))
  other = checked(Mismatched(judged, 0, 100))
  checked(Apart(other))
  checked(Mismatched(judged, 0, 7))  # completions are cut


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_a_derangement_is_one_cycle(n):
  found = derangement(3, n)
  at, seen = 0, []
  for _ in range(n):
    seen.append(at)
    at = int(found[at])
  assert at == 0 and sorted(seen) == list(range(n))
  if n > 3:
    assert derangement(4, n).tolist() != found.tolist()


def test_the_derangement_is_written_down():
  # Reference log-probabilities of an older run are of these pairs.
  assert derangement(0, 6).tolist() == [4, 0, 1, 2, 5, 3]


def test_another_completion_is_set_under_a_prompt_by_hand():
  rows = Rows.of(
    [
      answers([5, 6], [7, 8, 9], fields={"label": [1]}, weight=2),
      answers([3], [4], fields={"label": [0]}, origin="a:2"),
    ]
  )
  found = Mismatched(rows, 0, 5)[0]
  assert found.tokens.tolist() == [5, 6, 7, 8, 9, 4]
  assert found.documents.tolist() == [1, 1, 2, 2, 2, 3]
  assert found.parents.tolist() == [0, 0, 1, 1, 1, 1]
  assert found.completions.tolist() == [0, 0, 1, 1, 1, 2]
  assert found.weights.tolist() == [2] * 5 + [0] and found.origin == "a:1"
  assert found.fields["label"].tolist() == [1, 0]
  assert found.fields["kl"].tolist() == [0, 1]
  cut = Mismatched(rows, 0, 3)[1]
  assert cut.tokens.tolist() == [3, 4, 7, 8]
  assert cut.weights.tolist() == [1, 1, 0, 0]  # none of its own: 1 each
  with pytest.raises(ValueError, match="a:1: the only row"):
    Mismatched(Rows.of([rows[0]]), 0, 5)
  assert len(Mismatched(Rows.of([]), 0, 5)) == 0


def test_packed_pairs_by_hand():
  pair = dict(fields={"label": [0.75, 0.25]})
  rows = [answers([5, 6], [7], [8, 9], **pair), answers([3], [4], [2], **pair)]
  packed = Packed(Rows.of(rows), 8, 8)
  batch = collate(packed, *shape_of([packed], 1))
  assert batch.tokens[0].tolist() == [5, 6, 7, 8, 9, 3, 4, 2]
  assert batch.documents[0].tolist() == [1, 1, 2, 3, 3, 4, 5, 6]
  assert batch.parents[0].tolist() == [0, 0, 1, 1, 1, 0, 4, 4]
  assert batch.positions[0].tolist() == [0, 1, 2, 2, 3, 0, 1, 1]
  assert batch.completions[0].tolist() == [1, 2, 2, 3, 4]
  assert batch.where[0].tolist() == [1, 1, 3, 5, 5]
  assert batch.ends[0].tolist() == [2, 4, 6, 7]
  assert batch.fields["label"][0].tolist() == [0.75, 0.25, 0.75, 0.25]


def test_numbers_of_tokens_follow_them_into_every_layout():
  rows = Rows.of(drawn(6))
  values = [np.arange(n) + 100.0 * i for i, n in enumerate(rows.counts)]
  for table in (rows, Apart(rows)):
    own = Annotated(table, {"reference/logp": values})
    for lying in (own, Packed(own, 64, 64)):
      shape = shape_of([lying])
      assert dict(shape.fields)["reference/logp"] == "tokens"
      batch = collate(lying, *shape)
      found = batch.fields["reference/logp"]
      assert found.dtype == np.float32 and found.shape == batch.where.shape
      real = batch.completions > 0
      assert not found[~real].any()
      everything = np.concatenate(values)
      assert sorted(found[real].tolist()) == sorted(everything.tolist())
    batch = collate(own, *shape_of([own]))
    np.testing.assert_array_equal(
      batch.fields["reference/logp"][2, : rows.counts[2]], values[2]
    )


def test_rows_of_one_document_take_numbers_too():
  rows = Rows.of(
    Row(np.arange(n, dtype=np.int32), np.int32([0] + [1] * (n - 1)), "a:1")
    for n in (3, 5)
  )
  own = Annotated(rows, {"x": [np.float32([1, 2]), np.float32([3, 4, 5, 6])]})
  packed = Packed(own, 8, 8)
  batch = collate(packed, *shape_of([packed]))
  assert batch.fields["x"][0].tolist() == [3, 4, 5, 6, 1, 2, 0, 0]
  assert batch.ends is None


def test_an_empty_row_has_the_fields_of_the_others():
  rows = Rows.of(drawn(3))
  batches = InOrder({"": rows}, batch=4, shape=shape_of([rows]))
  padding, whole = batches.batch(0, [3]), batches[0]
  assert jax.tree.structure(padding) == jax.tree.structure(whole)
  assert not padding.ends.any() and not padding.fields["label"].any()
  assert padding.fields["label"].shape == (1, 2)


def value_of(lm):
  def value(params, batch):
    logp = lm.stats(params, batch, ("logp",))["logp"]
    both = sums(logp, batch.completions, batch.ends.shape[1])
    there = batch.ends > 0
    x = jnp.where(there, both, 0.0)
    x = (x * (batch.fields["label"] - 0.3)).reshape(len(x), -1, 2).sum(2)
    return jnp.where(there[:, ::2], -jax.nn.log_sigmoid(x), 0.0).sum()

  return jax.jit(jax.value_and_grad(value))


def same(one, other):
  assert abs(one[0] - other[0]) < 1e-5 * abs(one[0])
  pairs = zip(jax.tree.leaves(one[1]), jax.tree.leaves(other[1]))
  top = max(float(abs(x).max()) for x in jax.tree.leaves(one[1]))
  assert all(float(abs(a - b).max()) < 1e-5 * top for a, b in pairs)


@pytest.fixture
def source(tmp_path):
  file = tmp_path / "pairs.jsonl"
  rows = [
    {
      "prompt": f"{i}? " + "x" * i,
      "chosen": "yes " * (i % 4 + 1),
      "rejected": n,
    }
    for i, n in enumerate(["no", "never", "nay nay nay", "n", "not so", "-"])
  ]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


def config_of(tiny, source, **more):
  config = tiny(
    data__train__path=source,
    data__train__limit=0,
    data__eval__path="",
    train__batch=6,
    mesh=(1, 1, 1),
  )
  with config.unlocked():
    config.data.rows = "pairs"
    config.data.update(more)
  return config


def read(config, **options):
  place = build.placement(config)
  return build.data(config, byte_tokenizer(), preset("tiny"), place, **options)


def test_layouts_agree_in_loss_and_gradient(tiny, source, draw, tmp_path):
  """From a file of pairs through tokens, cache and loader."""
  lm = LM(preset("tiny"))
  params, value = draw(lm), value_of(lm)
  found = []
  for layout in ("apart", "shared"):
    config = config_of(tiny, source, layout=layout)
    data = read(config, cache=tmp_path / "cache")
    found.append((data.train, value(params, data.train[0])))
    config = config_of(tiny, source, layout=layout, packing=256)
    packed = read(config, cache=tmp_path / "cache")
    assert len(packed.train.parts[""]) < 6
    batch = InOrder(packed.train.parts, batch=6, shape=packed.train.shape)[0]
    found.append((packed.train, value(params, batch)))
  assert len(list((tmp_path / "cache").iterdir())) == 1  # one for all layouts
  (apart, first), *others = found
  for _, other in others:
    same(first, other)
  shared = others[1][0]
  assert shared.parts[""].lengths.sum() < apart.parts[""].lengths.sum()
  assert apart.shape.completions == 2 and not apart.shape.parents
  assert shared[0].ends.shape == (6, 2) and shared[0].parents is not None
