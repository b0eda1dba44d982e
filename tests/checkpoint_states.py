"""Small states for the tests of checkpoints, here and in other processes."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from alignjax.sharding import make_mesh
from alignjax.step import State

RECORD = {"train.steps": 9, "seed": 0}
TESTS = Path(__file__).resolve().parent


def numbers(step, rows=16, frozen=1.0):
  """A state of numpy arrays whose numbers tell its step."""
  draw = np.random.default_rng(step)
  w = draw.normal(size=(rows, 8)).astype(np.float32)
  fields = {k: np.float32([step / 3, i]) for i, k in enumerate(State._fields)}
  fields |= dict(
    step=np.int32(step),
    params={"layers": {"w": w, "b": w[0]}},
    frozen={"base": np.full(4, frozen, np.float32)},
    moments=({"w": w**2}, np.asarray(step, jnp.bfloat16)),
  )
  return State(**fields)


def state_of(step, mesh=(2, 2, 2), **options):
  """`numbers` laid over a mesh."""
  mesh = make_mesh(mesh)

  def put(x):
    axes = ("fsdp", "tensor") if np.ndim(x) == 2 else ()
    place, x = NamedSharding(mesh, P(*axes)), np.asarray(x)
    return jax.make_array_from_callback(x.shape, place, lambda i: x[i])

  return jax.tree.map(put, numbers(step, **options))


def same(found, step, **options):
  """All but the frozen weights are those of a step, bit by bit."""

  def equal(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape
    for shard in a.addressable_shards:
      np.testing.assert_array_equal(shard.data, b[shard.index])

  saved = jax.tree.map(np.asarray, numbers(step, **options))
  jax.tree.map(equal, found._replace(frozen={}), saved._replace(frozen={}))


def start(code, *argv, devices=8, **environment):
  """A process that runs `code` with these names and its arguments."""
  lines = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]"
  count = f" --xla_force_host_platform_device_count={devices}"
  environment["XLA_FLAGS"] = os.environ["XLA_FLAGS"] + count  # the last counts
  return subprocess.Popen(
    [sys.executable, "-c", f"{lines}\n{code}", *map(str, argv)],
    env=os.environ | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process, timeout=60):
  """(exit status, what it printed, the end of its errors)."""
  try:
    out, error = process.communicate(timeout=timeout)
  except subprocess.TimeoutExpired:
    process.kill()
    out, error = process.communicate()
  return process.returncode, out[-500:], error[-3000:]
