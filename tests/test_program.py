"""What the compiled train step is and does, on several meshes."""

import dataclasses
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from alignjax import build, optim
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.train import Run
from alignjax.types import Batch

STEPS = 20
MESHES = {
  (8, 1, 1): (),
  (2, 2, 2): (),
  (1, 8, 1): (),
  (1, 1, 8): ("replicated_kv",),
}
SETTINGS = dict(data__max_length=96, model__chunk=8)


class Program:
  """Twenty steps of one mesh, and the program that made them."""

  def __init__(self, config, params, data):
    place = build.placement(config)
    lm = LM(
      preset(config.model.preset),
      remat=config.model.remat,
      chunk=config.model.chunk,
      constrain=place.constrain,
    )
    self.run = Run(config, place, lm, build.objectives(config))
    laid = jax.device_put(params, place.tree(params))
    state = self.run.init(laid, {})
    batches = [self.run.put(data.train, i) for i in range(STEPS)]
    compiled = self.run.train_step.lower(state, batches[0]).compile()
    self.text, self.losses = compiled.as_text(), []
    for batch in batches:
      self.before = state
      state, metrics = compiled(state, batch)
      self.losses.append(float(metrics["loss"]))
    self.state = state
    self.rows, self.predicted = data.train[0].targets.shape


@pytest.fixture(scope="module")
def program(tiny):
  """A function of a mesh; the same weights and batches on each."""
  alone = tiny(mesh=(1, 1, 1), **SETTINGS)
  place = build.placement(alone)
  model = build.model(alone, place)
  data = build.data(alone, model.tokenizer, model.lm.config, place)
  params = jax.device_get(model.params)
  made = {}

  def get(mesh):
    if mesh not in made:
      config = tiny(*MESHES.get(mesh, ()), mesh=mesh, **SETTINGS)
      made[mesh] = Program(config, params, data)
    return made[mesh]

  return get


@pytest.mark.parametrize("mesh", MESHES)
def test_a_mesh_gives_the_losses_of_one_device(program, mesh):
  alone, found = program((1, 1, 1)), program(mesh)
  assert len(found.losses) == STEPS
  np.testing.assert_allclose(found.losses, alone.losses, atol=2e-5, rtol=0)
  assert alone.losses[-1] < alone.losses[0] - 0.5  # twenty real steps


@pytest.mark.parametrize("mesh", MESHES)
def test_parameters_and_moments_stay_split(program, mesh):
  data, fsdp, tensor = mesh
  found = program(mesh)
  assert int(found.state.step) == STEPS
  moment = next(m for m in found.state.moments if hasattr(m, "mu"))
  for tree in (found.state.params, moment.mu, moment.nu):
    for path, x in optim.flatten_dict(tree, sep="/").items():
      ways = fsdp * tensor
      if path.endswith("scale"):
        ways = 1
      elif "replicated_kv" in MESHES[mesh] and re.search("key|value", path):
        ways = fsdp
      shard = x.addressable_shards[0].data
      assert len(x.sharding.device_set) == 8, path
      assert shard.size * ways == x.size, (path, x.sharding)


@pytest.mark.parametrize("mesh", [(1, 1, 1), *MESHES])
def test_the_state_is_donated(program, mesh):
  found = program(mesh)
  leaves = jax.tree.leaves(found.before)
  assert all(x.is_deleted() for x in leaves)
  table = re.search(r"input_output_alias=\{(.*?)\}, entry", found.text)[1]
  assert len(re.findall(r"\(\d+, \{\}, m", table)) == len(leaves)


def arrays(text):
  """Dimensions other than 1 of every array in a program."""
  shapes = set(re.findall(r"\b[a-z]+\d+\[([\d,]+)\]", text))
  split = (tuple(map(int, s.split(","))) for s in shapes)
  return {tuple(d for d in dims if d > 1) for dims in split}


def whole_vocabulary(text, rows, predicted, mesh, vocab=264, width=128):
  """Arrays of words that hold a device's share of all predicted places."""
  _, fsdp, tensor = mesh
  words = {vocab, vocab // tensor, vocab // (fsdp * tensor)}
  widths = {width, width // fsdp}
  share = rows * predicted * vocab // np.prod(mesh)
  found = []
  for dims in arrays(text):
    rest = list(dims)
    for word in words & set(dims):
      rest.remove(word)
      table = np.prod(rest) in widths  # embedding, head
      if not table and np.prod(dims) >= share:
        found.append(dims)
      break
  return found


@pytest.mark.parametrize("mesh", [(1, 1, 1), *MESHES])
def test_no_array_is_places_by_vocabulary(program, mesh):
  found = program(mesh)
  rows, predicted = found.rows, found.predicted
  assert predicted >= 3 * SETTINGS["model__chunk"]
  assert not whole_vocabulary(found.text, rows, predicted, mesh)
  # The chunk is there, so the search reads the program it means.
  own, words = rows // mesh[0], 264 // (mesh[1] * mesh[2])
  chunk = {(own, 8, words), (own * 8, words), (8, words)}
  assert arrays(found.text) & chunk


def test_a_place_by_vocabulary_array_would_be_found():
  for shape in ("8,24,264", "192,264", "264,8,24", "8,96,264"):
    assert whole_vocabulary(f"f32[{shape}]{{}}", 8, 24, (1, 1, 1)), shape
  for shape in ("1,24,264", "24,264"):
    assert whole_vocabulary(f"bf16[{shape}]", 8, 24, (8, 1, 1)), shape
  for shape in ("4,24,132", "8,24,66"):
    assert whole_vocabulary(f"f32[{shape}]", 8, 24, (1, 2, 2)), shape
  for shape in ("8,8,264", "264,128", "128,264", "8,24,128"):
    assert not whole_vocabulary(f"f32[{shape}]", 8, 24, (1, 1, 1)), shape


def readout_flops(text, vocab=264):
  """Multiplications of the matrix products over the vocabulary."""
  shape = r"%([\w.-]+) = \w+\[([\d,]*)\]"
  dims = {
    name: tuple(int(d) for d in s.split(",") if d)
    for name, s in re.findall(shape, text)
  }
  product = shape + r"\S* dot\(%([\w.-]+), %([\w.-]+)\), (.*)"
  total = 0
  for name, _, left, right, rest in re.findall(product, text):
    over = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)[1]
    inner = [dims[left][int(i)] for i in over.split(",")]
    if vocab in dims[name] + dims[left] + dims[right]:
      total += int(np.prod(dims[name]) * np.prod(inner))
  return total


def test_each_of_eight_devices_reads_out_an_eighth(program):
  alone = readout_flops(program((1, 1, 1)).text)
  # Forward, and two gradients, of B·chunk·V·D each.
  assert alone == 3 * 8 * 8 * 264 * 128
  assert readout_flops(program((8, 1, 1)).text) * 8 == alone


REMATERIALISED = '''
import sys
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from alignjax import build, optim, sharding
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.train import Run
from alignjax.types import Batch
from configs import sft

def compile(mesh):
  c = sft.get_config("tiny")
  c.mesh, c.data.max_length = mesh, 96
  place = build.placement(c)
  lm = LM(preset("tiny"), chunk=8, constrain=place.constrain)
  run = Run(c, place, lm, build.objectives(c))
  state = jax.eval_shape(run.init, lm.shapes(), {})
  shape = lambda n: jax.ShapeDtypeStruct((8, n), jnp.int32)
  weights = jax.ShapeDtypeStruct((8, 24), jnp.float32)
  batch = Batch(*[shape(96)] * 3, *[shape(24)] * 3, weights)
  run.train_step.lower(state, batch).compile()

def provoke():
  """Looks rows up in a table split along its width."""
  mesh = sharding.make_mesh((2, 2, 2))
  lie = lambda *axes: NamedSharding(mesh, P(*axes))
  rows = ("data", "fsdp")
  def f(table, ids):
    x = jnp.take(table, ids, axis=0)
    return jax.lax.with_sharding_constraint(x, lie(rows, None, None))
  jax.jit(f, in_shardings=(lie("tensor", "fsdp"), lie(rows))).lower(
    jax.ShapeDtypeStruct((264, 128), jnp.float32),
    jax.ShapeDtypeStruct((8, 96), jnp.int32),
  ).compile()

for mesh in ((2, 2, 2), (1, 4, 2)):
  print("mesh", mesh, file=sys.stderr, flush=True)
  compile(mesh)
print("provoked", file=sys.stderr, flush=True)
provoke()
'''


def test_nothing_is_rematerialised_involuntarily(root):
  """Read from what the compiler says, in a process without a cache."""
  environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
  environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
  found = subprocess.run(
    [sys.executable, "-c", REMATERIALISED],
    cwd=root,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr[-2000:]
  ours, provoked = found.stderr.split("provoked\n")
  assert "mesh (1, 4, 2)" in ours
  assert "nvoluntary full remat" not in ours
  if jax.__version_info__ < (0, 11):  # later compilers do not say it any more
    assert "nvoluntary full remat" in provoked  # so it would have been seen


def moved(text, length=96):
  """Activations [rows, tokens, …] that devices send to one another whole."""
  kinds = "all-gather|all-to-all|collective-permute"
  return re.findall(rf"= (\w+\[\d+,{length},\d+\])\S* (?:{kinds})\(", text)


def test_weights_are_gathered_not_activations(program, tiny):
  """What a rematerialisation leaves in the program, said or not."""
  for mesh in ((8, 1, 1), (2, 2, 2), (1, 8, 1)):
    assert not moved(program(mesh).text), mesh
  # Hidden units that lie otherwise than the weights that make them.
  planted = tiny(mesh=(2, 2, 2), **SETTINGS)
  planted.sharding.activations["mlp"] = (None, "fsdp", None)
  place = build.placement(planted)
  lm = LM(preset("tiny"), chunk=8, constrain=place.constrain)
  run = Run(planted, place, lm, build.objectives(planted))
  state = jax.eval_shape(run.init, lm.shapes(), {})
  shape = lambda n: jax.ShapeDtypeStruct((8, n), np.int32)  # noqa: E731
  weights = jax.ShapeDtypeStruct((8, 24), np.float32)
  batch = Batch(*[shape(96)] * 3, *[shape(24)] * 3, weights)
  assert moved(run.train_step.lower(state, batch).compile().as_text())


def test_a_vocabulary_that_divides_over_nothing(tiny):
  """263 tokens over four devices: the head is whole, tokens stay in rows."""
  found = []
  for mesh in ((1, 1, 1), (1, 4, 1)):
    config = tiny(mesh=mesh, **SETTINGS)
    place = build.placement(config)
    lm, tokenizer = build.outline(config, place)
    small = dataclasses.replace(lm.config, vocab=263)
    assert place.of_vocabulary(264) is place
    lm = dataclasses.replace(
      lm, config=small, constrain=place.of_vocabulary(263).constrain
    )
    run = Run(config, place, lm, build.objectives(config))
    data = build.data(config, tokenizer, small, place)
    made = jax.jit(lm.init, out_shardings=place.tree(lm.shapes()))
    state = run.init(made(jax.random.key(0)), {})
    _, metrics = run.train_step(state, run.put(data.train, 0))
    found.append({k: float(metrics[k]) for k in ("loss", "grad_norm")})
  assert found[0] == pytest.approx(found[1], rel=2e-5)
