"""Adapters: hand-computed, in the scan as in a loop, merged as beside."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from alignjax import optim, pretrained
from alignjax.models import lora as adapters
from alignjax.models.lm import LM
from alignjax.models.lora import Lora, merge, without
from alignjax.models.presets import preset
from alignjax.models.transformer import REMAT
from alignjax.sharding import Placement, make_mesh
from configs.common import ACTIVATIONS, PARAMS

ALL = Lora(3, 6.0, (".*/kernel",))
TRAINED = ("(?!lora/).*",)  # what is frozen: all that is no adapter
# A over the axis of its inputs, B over that of its outputs.
RULES = (
  ("lora/.*/(query|key|value)/a", ("fsdp", None)),
  ("lora/.*/(query|key|value)/b", (None, "tensor", None)),
  ("lora/.*/out/a", ("tensor", None, None)),
  ("lora/.*/(gate|up)/a", ("fsdp", None)),
  ("lora/.*/(gate|up)/b", (None, "tensor")),
  ("lora/.*/down/a", ("tensor", None)),
  ("lora/.*/(out|down)/b", (None, "fsdp")),
)


def jit(f):
  """Compiled in half the time; the arithmetic is the same float32."""
  return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def adapted(lm, draw):
  """(lm with adapters, parameters of which A and B count)."""
  lm = dataclasses.replace(lm, lora=ALL)
  return lm, jax.tree.map(jnp.asarray, draw(lm, 3))


@pytest.fixture(scope="module")
def batch(ragged):
  return jax.tree.map(jnp.asarray, ragged)


def statistics(lm, params, batch):
  needs = ("logp", "entropy")
  return jit(lambda p: lm.stats(p, batch, needs))(params)


def close(a, b, atol=2e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=atol, rtol=0), a, b
  )


def test_shapes_follow_the_axes_of_kernels(adapted, small):
  lm, _ = adapted
  tree = lm.shapes()["lora"]
  c = small
  attention = tree["layers"]["1"]["attention"]
  assert attention["query"]["a"].shape == (2, c.width, 3)
  assert attention["query"]["b"].shape == (2, 3, c.heads, c.head_size)
  assert attention["key"]["b"].shape == (2, 3, c.kv_heads, c.head_size)
  assert attention["out"]["a"].shape == (2, c.heads, c.head_size, 3)
  assert attention["out"]["b"].shape == (2, 3, c.width)
  down = tree["tail_0"]["mlp"]["down"]
  assert down["a"].shape == (c.hidden, 3)
  assert down["b"].shape == (3, c.width)
  assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


def test_a_new_adapter_changes_nothing(adapted, batch):
  lm, params = adapted
  base = without(params)
  new = adapters.init(jax.random.key(0), base, ALL)
  for path, x in jax.tree_util.tree_flatten_with_path(new)[0]:
    assert (path[-1].key == "a") == bool(np.any(x))
  a = new["tail_0"]["attention"]["out"]["a"]  # 4 heads of 8: ±1/√32
  assert 0.8 < float(jnp.abs(a).max()) * 32**0.5 <= 1
  one = new["layers"]["0"]["mlp"]["up"]["a"]
  assert not np.array_equal(one, new["layers"]["1"]["mlp"]["up"]["a"])
  assert not np.array_equal(one[0], one[1])
  found = statistics(lm, base | {"lora": new}, batch)
  plain = statistics(LM(lm.config, chunk=lm.chunk), base, batch)
  close(found, plain, atol=1e-6)
  # The same model, of parameters without adapters: the reference.
  close(statistics(lm, without(params), batch), plain, atol=0)
  other = statistics(lm, params, batch)
  assert np.abs(other["logp"] - plain["logp"]).max() > 0.1


def test_rank_one_by_hand():
  kernel = jnp.float32([[1, 2, 3], [4, 5, 6]])
  params = {
    "tail_0": {"mlp": {"up": {"kernel": kernel}}},
    "lora": {
      "tail_0": {
        "mlp": {"up": {"a": jnp.ones((2, 1)), "b": jnp.float32([[1, 0, -1]])}}
      }
    },
  }
  params["lora"]["tail_0"]["mlp"]["up"]["a"] = jnp.float32([[2], [-1]])
  # W + 3/1 · [2, -1]ᵀ · [1, 0, -1]
  merged = merge(params, Lora(1, 3.0, (".*",)))
  np.testing.assert_array_equal(
    merged["tail_0"]["mlp"]["up"]["kernel"], [[7, 2, -3], [1, 5, 9]]
  )
  assert set(merged) == {"tail_0"}


def test_scales():
  assert Lora(16, 32.0, ("x",)).scale == 2.0
  assert Lora(16, 32.0, ("x",), root=True).scale == 8.0
  assert Lora(4, 8.0, ["x"]) == Lora(4, 8.0, ("x",))


def test_merged_is_beside(adapted, batch):
  """One sum, W + s·A·B in front or x·W + s·x·A·B: values and gradients."""
  lm, params = adapted
  base, new = without(params), params["lora"]
  plain = LM(lm.config, chunk=lm.chunk)

  def beside(new):
    return lm.stats(base | {"lora": new}, batch, ("logp",))["logp"].sum()

  def in_front(new):
    merged = merge(base | {"lora": new}, ALL)
    return plain.stats(merged, batch, ("logp",))["logp"].sum()

  ours, grads = jit(jax.value_and_grad(beside))(new)
  theirs, expected = jit(jax.value_and_grad(in_front))(new)
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)
  scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(expected))
  close(grads, expected, atol=1e-4 * scale)
  for x in jax.tree.leaves(grads):
    assert np.any(x)


@pytest.mark.parametrize("remat", REMAT)
def test_every_layer_has_its_own(adapted, batch, remat):
  """An adapter of one layer of the stack is a changed kernel there."""
  lm, params = adapted
  lm = dataclasses.replace(lm, remat=remat)
  new = jax.tree.map(jnp.zeros_like, params["lora"])
  b = params["lora"]["layers"]["1"]["attention"]["out"]["b"]
  new["layers"]["1"]["attention"]["out"] = {
    "a": params["lora"]["layers"]["1"]["attention"]["out"]["a"],
    "b": np.stack([0 * b[0], b[1]]),
  }
  tree = without(params) | {"lora": new}
  merged = merge(tree, ALL)
  kernel = without(params)["layers"]["1"]["attention"]["out"]["kernel"]
  changed = merged["layers"]["1"]["attention"]["out"]["kernel"] != kernel
  assert not changed[0].any() and changed[1].all()
  close(statistics(lm, tree, batch), statistics(lm, merged, batch))


def test_the_base_is_frozen_and_only_adapters_train(adapted, batch):
  lm, params = adapted
  trained, frozen = optim.split(params, TRAINED)
  assert set(trained) == {"lora"} and "lora" not in frozen

  def loss(trained, frozen):
    whole = optim.merge(trained, frozen)
    return lm.stats(whole, batch, ("logp",))["logp"].sum()

  def products(argnums):
    f = jax.jit(jax.grad(loss, argnums=argnums))
    lines = f.lower(trained, frozen).as_text().splitlines()
    return [line for line in lines if "dot_general" in line]

  # The gradient of a kernel is a product [D, tokens] · [tokens, F].
  c = lm.config
  up = f"-> tensor<{c.width}x{c.hidden}xf32>"
  assert not any(up in line for line in products(0))
  assert any(up in line for line in products(1))


def test_sampling_reads_adapters_as_training_does(adapted):
  """`extend` gives the hidden states that `hidden` gives."""
  lm, params = adapted
  tokens = jnp.arange(2, 14, dtype=jnp.int32).reshape(2, 6)
  place = jnp.broadcast_to(jnp.arange(6), (2, 6)), jnp.ones_like(tokens)
  found, _ = jit(lambda p: lm.extend(lm.cast(p), tokens, *place, None))(params)
  expected = jit(lambda p: lm.hidden(p, tokens, *place))(params)
  close(found, expected, atol=1e-5)


def test_narrow_kernels_are_merged_in_float32(adapted):
  _, params = adapted
  narrow = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
  narrow["lora"] = params["lora"]
  wide = jax.tree.map(lambda x: x.astype(jnp.float32), without(narrow))
  exact = merge(wide | {"lora": params["lora"]}, ALL)
  found = merge(narrow, ALL)
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(x, y.astype(jnp.bfloat16)),
    found,
    exact,
  )


def test_merged_parameters_export(adapted, batch, tmp_path):
  config = preset("tiny").replace(vocab=40, width=16, depth=2, hidden=24)
  lm = LM(config, lora=ALL)
  params = jit(lm.init)(jax.random.key(1))
  params["lora"] = jax.tree.map(lambda x: x + 0.05, params["lora"])
  with pytest.raises(ValueError, match="Cannot export: .* lora/layers"):
    pretrained.export(tmp_path, lm, params, None)
  pretrained.export(tmp_path, lm, merge(params, ALL), None)
  back, merged, _ = pretrained.load(tmp_path)
  expected = statistics(lm, params, batch)
  close(statistics(back, merged, batch), expected)
  base = statistics(lm, without(params), batch)
  assert np.abs(base["logp"] - expected["logp"]).max() > 1e-2


@pytest.fixture(scope="module")
def sharded(draw):
  """(place, lm, params, gradient of them) on one device and on eight."""
  config = preset("tiny").replace(width=32, depth=2, hidden=48, vocab=40)
  place = Placement(make_mesh((2, 2, 2)), (*PARAMS, *RULES), ACTIVATIONS)
  lm = LM(config, lora=Lora(4, 8.0, (".*/kernel",)))
  return place, lm, draw(lm)


def test_sharded_is_unsharded(sharded, batch):
  place, lm, params = sharded
  trained, frozen = optim.split(params, TRAINED)

  def gradient(lm):
    def loss(trained, frozen, batch):
      found = lm.stats(optim.merge(trained, frozen), batch, ("logp",))
      return -found["logp"].mean()

    return jax.value_and_grad(loss)

  expected = jax.jit(gradient(lm))(trained, frozen, batch)
  on_mesh = dataclasses.replace(lm, constrain=place.constrain)
  shardings = optim.split(place.tree(lm.shapes()), TRAINED)
  found = jax.jit(
    gradient(on_mesh),
    in_shardings=(*shardings, place.rows),
    out_shardings=(place.replicated, shardings[0]),
  )(trained, frozen, batch)
  close(found, expected)
  spec = found[1]["lora"]["layers"]["0"]["attention"]["query"]
  assert spec["a"].sharding.spec == P(None, "fsdp", None)
  assert spec["b"].sharding.spec == P(None, None, "tensor", None)
  # A merged kernel needs no communication: each device has what it takes.
  merged = jax.jit(
    lambda p: merge(p, lm.lora),
    in_shardings=(place.tree(lm.shapes()),),
    out_shardings=Placement(place.mesh, PARAMS, ACTIVATIONS).tree(
      without(lm.shapes())
    ),
  )
  text = merged.lower(params).compile().as_text()
  assert not any(word in text for word in ("all-gather", "all-reduce"))
  close(merged(params), merge(params, lm.lora), atol=1e-5)


@pytest.mark.parametrize(
  "fields, message",
  [
    (dict(rank=0), "lora.rank = 0; it must be at least 1"),
    (dict(alpha=0.0), "lora.alpha = 0.0; it must be above 0"),
    (dict(targets=()), "lora.targets is empty"),
  ],
)
def test_adapters_that_cannot_be_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(ALL, **fields)


@pytest.mark.parametrize(
  "target, message",
  [
    (".*/q_proj/.*", "(?s)'.*q_proj.*' matches nothing.*attention/key/kernel"),
    ("embed", "'embed' matches embed, no kernel"),
    (".*attention.*", "layers/0/attention/key_norm/scale, no kernel"),
  ],
)
def test_targets_that_are_no_kernels_are_refused(lm, target, message):
  with pytest.raises(ValueError, match=message) as error:
    adapters.init(
      jax.random.key(0), lm.shapes(), Lora(1, 1.0, (".*/kernel", target))
    )
  assert len(str(error.value).splitlines()) <= 5


def test_adapters_of_a_model_that_has_none_are_refused(lm, adapted, batch):
  with pytest.raises(ValueError, match="have adapters; LM.* has none"):
    lm.stats(adapted[1], batch, ("logp",))
