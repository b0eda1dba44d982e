"""Losses that must know something of the whole batch, and those that couple."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alignjax import build, step
from alignjax.build.tables import tables
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.losses import sft
from alignjax.types import Batch

KTO = dict(
  name="kto",
  kind="kto",
  weight=1.0,
  beta=0.5,
  desirable_weight=1.0,
  undesirable_weight=1.5,
)


def judged():
  """Four rows of two one-token completions; the second is another prompt's."""
  ids = jnp.arange(8).reshape(4, 2)
  completions = jnp.broadcast_to(jnp.array([1, 2]), (4, 2))
  reference = -jnp.array([[2.0, 3.0], [2.5, 2.0], [1.0, 4.0], [2.0, 2.5]])
  return Batch(
    *[ids] * 3,
    where=jnp.broadcast_to(jnp.array([0, 1]), (4, 2)),
    targets=ids,
    completions=completions,
    weights=jnp.ones((4, 2)),
    ends=jnp.broadcast_to(jnp.array([2, 3]), (4, 2)),
    fields={
      "reference/logp": reference,
      "label": jnp.array([[1.0, 0], [0, 0], [1, 0], [0, 0]]),
      "kl": jnp.broadcast_to(jnp.array([0.0, 1.0]), (4, 2)),
    },
  )


def table_stats(params, batch, needs):
  logp = params["logp"][batch.targets]
  return {n: logp if n == "logp" else 0 * logp for n in needs}


def after(accumulate):
  params = {"logp": -jnp.linspace(0.5, 1.5, 8)}
  optimizer = optax.scale(-1.0)
  train_step = step.make_train_step(
    table_stats,
    {"main": build.objective("main", KTO)},
    optimizer,
    lambda at: jnp.float32(1),
    accumulate,
  )
  state = step.init(params, {}, optimizer)
  return jax.jit(train_step)(state, judged())


def test_parts_know_the_kl_of_the_whole_batch():
  """Its mean differs from part to part, and the loss is not linear in it."""
  whole, expected = after(1)
  assert float(expected["kl"]) > 0.5
  for k in (2, 4):
    found, metrics = after(k)
    np.testing.assert_allclose(
      found.params["logp"], whole.params["logp"], rtol=1e-6
    )
    assert float(metrics["loss"]) == pytest.approx(float(expected["loss"]))


def test_without_it_parts_would_differ():
  blind = build.objective("main", KTO)._replace(first=None)
  optimizer = optax.scale(-1.0)
  train_step = step.make_train_step(
    table_stats, {"main": blind}, optimizer, lambda at: jnp.float32(1), 2
  )
  state = step.init({"logp": -jnp.linspace(0.5, 1.5, 8)}, {}, optimizer)
  found, _ = jax.jit(train_step)(state, judged())
  gap = jnp.abs(found.params["logp"] - after(1)[0].params["logp"]).max()
  assert float(gap) > 1e-4


AOT = dict(
  name="aot",
  kind="aot",
  weight=1.0,
  beta=0.1,
  label_smoothing=0.0,
  reference_free=False,
)


@pytest.mark.parametrize(
  "kind, more, said",
  [
    ("aot", {"label": 0.7}, "label = 0.7; loss.main sorts"),
    ("aot_unpaired", {"weight": 2}, "weight = 2; loss.main"),
  ],
)
def test_a_loss_that_counts_all_alike_refuses_what_it_would_not_read(
  tiny, tmp_path, kind, more, said
):
  file = tmp_path / "pairs.jsonl"
  row = {"prompt": "a?", "chosen": "b", "rejected": "c"}
  rows = row, {**row, "prompt": "d?", **more}
  file.write_text("".join(json.dumps(r) + "\n" for r in rows))
  config = tiny(
    data__rows="pairs", data__train__path=str(file), data__eval__path=""
  )
  found = tables(config, byte_tokenizer())
  plain = {"main": build.objective("main", KTO)}
  build.check_labels(plain, found)
  sorts = {"main": build.objective("main", AOT | {"kind": kind})}
  with pytest.raises(ValueError, match=f"pairs.jsonl:2: {said}"):
    build.check_labels(plain | sorts, found)
  file.write_text(json.dumps(row) + "\n")
  build.check_labels(sorts, tables(config, byte_tokenizer()))


def test_a_loss_over_all_rows_refuses_microbatches(tiny):
  config = tiny().copy_and_resolve_references()
  config.unlock()
  config.loss = dict(main=AOT)
  build.objectives(config)
  config.train.accumulate = 2
  with pytest.raises(ValueError, match="loss.main is over all rows") as error:
    build.objectives(config)
  assert "train.accumulate=1" in str(error.value)


def test_kinds_are_the_functions_of_a_batch():
  with pytest.raises(ValueError) as error:
    build.objective("main", dict(name="sft", kind="nll", weight=1.0))
  assert str(error.value).endswith(
    "sft has no kind 'nll'; one of loss, chosen, dft."
  )


def test_an_anchor_leaves_completions_of_other_prompts_out():
  """As `layouts.Mismatched` lays them: their weights are 0."""
  batch = judged()._replace(weights=jnp.tile(jnp.array([1.0, 0.0]), (4, 1)))
  stats = {"logp": judged().fields["reference/logp"]}
  stats |= {"correct": jnp.zeros((4, 2)), "entropy": jnp.zeros((4, 2))}
  found = sft.loss(stats, batch).loss["nll"]
  assert [float(x) for x in found] == [2 + 2.5 + 1 + 2, 4.0]
  main = build.objective("main", KTO).loss
  known = judged().fields | {"reference/logp": stats["logp"] - 1.0}
  one, other = (
    main(stats, b._replace(fields=known)) for b in (batch, judged())
  )
  jax.tree.map(np.testing.assert_array_equal, one, other)
  assert float(one.metrics["kl"].sum) == 1.0


def test_an_anchor_is_over_the_chosen_sides():
  batch = judged()
  stats = {"logp": -jnp.ones((4, 2)), "correct": jnp.zeros((4, 2))}
  found = sft.chosen(stats, batch)
  assert [float(x) for x in found.loss["nll"]] == [4.0, 4.0]
  assert float(sft.loss(stats, batch).loss["nll"].weight) == 8.0
