import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from alignjax import optim, sharding
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.sharding import Placement, make_mesh
from configs.common import ACTIVATIONS, PARAMS


def place(mesh=(2, 2, 2), params=PARAMS, activations=ACTIVATIONS):
  return Placement(make_mesh(mesh), params, activations)


def simple(rules, mesh=(2, 2, 2)):
  return place(mesh, rules)


@pytest.mark.parametrize(
  "asked, made",
  [
    ((2, 2, 2), (2, 2, 2)),
    ((-1, 1, 1), (8, 1, 1)),
    ((2, -1, 2), (2, 2, 2)),
    ((1, 1, -1), (1, 1, 8)),
    ((1, 2, 1), (1, 2, 1)),  # fewer devices than there are
  ],
)
def test_meshes(asked, made):
  mesh = make_mesh(asked)
  assert tuple(mesh.shape.values()) == made
  assert tuple(mesh.shape) == ("data", "fsdp", "tensor")
  assert mesh.size == np.prod(made)


@pytest.mark.parametrize(
  "asked, message",
  [
    ((3, 1, 1), r"needs 3 devices and 8 are here; the product must divide"),
    ((16, 1, 1), r"mesh = \(16, 1, 1\) needs 16 devices and 8 are here"),
    ((-1, 3, 1), r"needs 6 devices and 8 are here"),
    ((-1, 16, 1), r"needs 16 devices and 8 are here"),
    ((2, 2), r"mesh = \(2, 2\) is not \(data, fsdp, tensor\)"),
    ((0, 1, 1), r"three positive integers"),
    ((-1, -1, 1), r"one may be -1"),
  ],
)
def test_meshes_that_do_not_fit_are_refused(asked, message):
  with pytest.raises(ValueError, match=message):
    make_mesh(asked)


def test_a_rule_names_the_last_axes_and_the_first_match_wins():
  p = simple(((".*/up", ("fsdp", "tensor")), (".*", ()), ("a/up", ("data",))))
  assert p.param("a/up", (4, 6)).spec == P("fsdp", "tensor")
  assert p.param("a/up", (3, 4, 6)).spec == P(None, "fsdp", "tensor")
  assert p.param("other", (3, 5)).is_fully_replicated
  p = simple((("w", (("data", "fsdp"), None)),))
  assert p.param("w", (8, 3)).spec == P(("data", "fsdp"), None)
  assert p.param("w", (8, 3)).shard_shape((8, 3)) == (2, 3)


def test_wrong_rules_say_what_is_wrong():
  p = simple((("w", ("fsdp", "tensor")),))
  with pytest.raises(ValueError, match=r"No sharding rule matches .* v \(4,\)"):
    p.param("v", (4,))
  with pytest.raises(ValueError, match=r"Rule 'w' names 2 axes; w has shape"):
    p.param("w", (4,))
  message = r"w \(4, 5\): 5 does not divide over tensor = 2 \(rule 'w'\)"
  with pytest.raises(ValueError, match=message):
    p.param("w", (4, 5))
  shape = jax.ShapeDtypeStruct((4, 4), jnp.float32)
  with pytest.raises(ValueError, match="rule 'gone' matches no parameter"):
    simple((("w", ()), ("gone", ()))).tree({"w": shape})
  with pytest.raises(KeyError, match="'hiden'; .* looked_up, hidden"):
    p.constrain(jnp.zeros((4, 4)), "hiden")


def test_key_value_heads_that_do_not_divide_need_an_explicit_rule():
  shapes = LM(preset("tiny")).shapes()
  with pytest.raises(ValueError, match="replicated_kv") as error:
    place((1, 1, 8)).tree(shapes)
  assert "attention/key/kernel" in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_the_rules_of_the_configs_cover_a_model():
  p, shapes = place(), LM(preset("tiny")).shapes()
  found = optim.flatten_dict(p.tree(shapes), sep="/")
  for path, x in optim.flatten_dict(shapes, sep="/").items():
    whole = found[path].is_fully_replicated
    assert whole == path.endswith("scale"), path
    if not whole:
      shard = found[path].shard_shape(x.shape)
      assert np.prod(shard) * 4 == np.prod(x.shape), path


def test_a_state_lies_as_its_parameters_do():
  p = place()
  shapes = LM(preset("tiny")).shapes()
  trained, _ = optim.split(shapes, ("embed",))
  optimizer = optim.make(
    trained,
    name="adamw",
    clip=0.0,
    weight_decay=0.0,
    no_decay=(),
    lr_factors=(),
    options=dict(b1=0.9, b2=0.95, eps=1e-8),
  )
  moments = jax.eval_shape(optimizer.init, trained)
  found = p.like({"params": trained, "moments": moments}, shapes)
  kernel = p.param("layers/0/mlp/up/kernel", (4, 128, 344))
  assert kernel.spec == P(None, "fsdp", "tensor")
  moment = found["moments"][0]
  for tree in (found["params"], moment.mu, moment.nu):
    assert tree["layers"]["0"]["mlp"]["up"]["kernel"] == kernel
  assert moment.count.is_fully_replicated


def test_large_parameters_left_whole_are_reported():
  p = simple((("a", ("fsdp", None)), ("b|c", ())))
  sizes = {"a": (1024, 1024), "b": (1024, 512), "c": (4,)}
  tree = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in sizes.items()}
  assert p.left_whole(tree, floor=2**20) == ["b (1024, 512) 2.0 MiB"]
  alone = simple((("a", ("fsdp", None)), ("b|c", ())), (1, 1, 1))
  assert alone.left_whole(tree, floor=2**20) == []


def test_constrain_splits_an_activation_inside_jit():
  p = place()
  x = jax.jit(lambda x: p.constrain(x + 1, "hidden"))(jnp.zeros((8, 3, 4)))
  assert x.sharding.shard_shape(x.shape) == (2, 3, 4)
  np.testing.assert_array_equal(x, np.ones((8, 3, 4)))


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 2, 2), (1, 1, 8)])
def test_rows_are_made_where_they_belong(mesh):
  p, x = place(mesh), np.arange(24).reshape(8, 3)
  asked = []

  def make(rows):
    asked.append(rows)
    return {"x": x[rows]}

  assert sharding.local_rows(8, p.rows) == list(range(8))
  found = sharding.put_rows(make, 8, p.rows)["x"]
  assert asked == [list(range(8))] and found.sharding == p.rows
  np.testing.assert_array_equal(found, x)
  for shard in found.addressable_shards:
    assert len(shard.data) == 8 // p.row_multiple
    np.testing.assert_array_equal(shard.data, x[shard.index])


class Far(jax.sharding.Sharding):
  """A sharding of which this host holds some devices only."""

  def __init__(self, whole, mine):
    self.whole, self.mine = whole, mine

  def addressable_devices_indices_map(self, shape):
    every = self.whole.devices_indices_map(shape)
    return {d: i for d, i in every.items() if d.id in self.mine}


@pytest.mark.parametrize(
  "mine, rows",
  [
    (range(4), [0, 1, 2, 3]),
    (range(4, 8), [4, 5, 6, 7]),
    ((0, 1, 6), [0, 1, 6, 7]),  # tensor: devices 0 and 1 hold the same rows
  ],
)
def test_a_host_needs_the_rows_of_its_devices(mine, rows):
  assert sharding.local_rows(8, Far(place().rows, mine)) == rows
