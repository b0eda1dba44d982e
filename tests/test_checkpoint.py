import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from alignjax.checkpoint import Checkpoints
from alignjax.sharding import make_mesh
from alignjax.step import State

RECORD = {"train.steps": 9, "seed": 0}


def state_of(step, mesh=(2, 2, 2), frozen=1.0):
  """A state whose numbers tell its step, laid over a mesh."""
  mesh = make_mesh(mesh)
  draw = np.random.default_rng(step)

  def put(x, *axes):
    return jax.device_put(x, NamedSharding(mesh, P(*axes)))

  w = draw.normal(size=(8, 4)).astype(np.float32)
  return State(
    step=put(jnp.int32(step)),
    params={"layers": {"w": put(w, "fsdp", "tensor")}},
    frozen={"base": put(jnp.full(4, frozen))},
    moments=({"w": put(w**2, "fsdp", "tensor")}, put(jnp.int32(step))),
  )


@pytest.fixture
def folder(tmp_path):
  opened = []

  def make(keep=2, keep_every=0):
    found = Checkpoints(
      tmp_path / "checkpoints", keep=keep, keep_every=keep_every
    )
    opened.append(found)
    return found

  yield make
  for checkpoints in opened:
    checkpoints.close()


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_what_is_trained_comes_back_bitwise_and_laid_out(folder):
  saved = state_of(3)
  checkpoints = folder()
  assert checkpoints.latest() is None
  checkpoints.save(saved, RECORD)
  checkpoints.wait()
  assert checkpoints.latest() == 3
  blank = state_of(0, frozen=7.0)
  found = folder().restore(blank, RECORD)
  equal((found.params, found.moments), (saved.params, saved.moments))
  assert int(found.step) == 3
  # Frozen weights are loaded from where they came, not from the checkpoint.
  assert float(found.frozen["base"][0]) == 7.0
  assert jax.tree.structure(found) == jax.tree.structure(blank)
  jax.tree.map(lambda a, b: _same_place(a, b), found, blank)


def _same_place(a, b):
  assert a.sharding == b.sharding and a.dtype == b.dtype


def test_a_checkpoint_moves_to_another_mesh(folder):
  saved, checkpoints = state_of(3), folder()
  checkpoints.save(saved, RECORD)
  checkpoints.wait()
  for mesh in ((1, 8, 1), (1, 1, 1)):
    blank = state_of(0, mesh=(1, 4, 1) if mesh[1] == 8 else mesh)
    found = folder().restore(blank, RECORD)
    equal(found.params, saved.params)
    _same_place(found.params["layers"]["w"], blank.params["layers"]["w"])


def test_parameters_alone(folder):
  saved, checkpoints = state_of(5), folder()
  checkpoints.save(saved, RECORD)
  checkpoints.wait()
  like = state_of(0, mesh=(1, 1, 1)).params
  found = folder(keep=1).params(like)
  equal(found, saved.params)
  assert len(found["layers"]["w"].sharding.device_set) == 1


def test_the_last_ones_stay_and_every_nth(folder, tmp_path):
  checkpoints = folder(keep=2, keep_every=3)
  for step in range(1, 9):
    checkpoints.save(state_of(step), RECORD)
  checkpoints.wait()
  names = (p.name for p in (tmp_path / "checkpoints").iterdir())
  assert sorted(n for n in names if n.isdigit()) == ["3", "6", "7", "8"]


def test_saving_a_step_twice_changes_nothing(folder):
  checkpoints = folder()
  checkpoints.save(state_of(4), RECORD)
  checkpoints.save(state_of(4)._replace(params={"x": jnp.ones(1)}), RECORD)
  checkpoints.wait()
  equal(folder().restore(state_of(0), RECORD).params, state_of(4).params)


def test_another_run_is_refused(folder):
  checkpoints = folder()
  checkpoints.save(state_of(4), RECORD)
  checkpoints.wait()
  with pytest.raises(ValueError) as error:
    folder().restore(state_of(0), RECORD | {"seed": 1})
  message = str(error.value)
  assert "seed = 0" in message and "says 1" in message
  assert "--workdir" in message and len(message.splitlines()) <= 5


def test_donating_the_saved_state_is_safe(folder):
  """The step overwrites its input while the checkpoint is being written."""
  saved, checkpoints = state_of(4), folder()
  expected = jax.device_get(saved.params)
  checkpoints.save(saved, RECORD)
  overwrite = jax.jit(
    lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0
  )
  overwrite(saved)
  checkpoints.wait()
  equal(folder().restore(state_of(0), RECORD).params, expected)
