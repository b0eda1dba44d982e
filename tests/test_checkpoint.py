import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_states import RECORD, numbers, same, state_of

from alignjax.checkpoint import Checkpoints
from alignjax.checkpoint.steps import beyond

MESHES = {
  "8,1,1": (8, 1, 1),
  "4,2,1": (4, 2, 1),
  "2,2,2": (2, 2, 2),
  "1,1,8": (1, 1, 8),
  "1 device": (1, 1, 1),
  "2 devices": (1, 2, 1),
  "4 devices": (1, 2, 2),
}


@pytest.fixture
def folder(tmp_path):
  """Opens tmp_path/checkpoints anew; what is said is its `said`."""
  opened = []

  def make(keep=2, keep_every=0, on_error="stop"):
    said = []
    found = Checkpoints(
      tmp_path / "checkpoints",
      keep=keep,
      keep_every=keep_every,
      on_error=on_error,
      say=said.append,
    )
    found.said = said
    opened.append(found)
    return found

  yield make
  for checkpoints in opened:
    checkpoints.close()


def save(checkpoints, *steps):
  for step in steps:
    checkpoints.save(step, state_of(step), RECORD | {"at": step})
    checkpoints.wait()


def test_what_is_trained_comes_back_bitwise_and_laid_out(folder):
  checkpoints = folder()
  assert checkpoints.newest() is None and checkpoints.steps() == []
  save(checkpoints, 3)
  found = folder().newest()
  assert found == (3, RECORD | {"at": 3}, [])
  blank = state_of(0, frozen=7.0)
  state = folder().restore(3, blank)
  same(state, 3)
  # Frozen weights are loaded from where they came, not from the checkpoint.
  assert float(state.frozen["base"][0]) == 7.0
  assert jax.tree.structure(state) == jax.tree.structure(blank)
  jax.tree.map(same_place, state, blank)


def same_place(a, b):
  assert a.sharding == b.sharding and a.dtype == b.dtype


@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_a_checkpoint_moves_to_every_mesh(folder, mesh):
  checkpoints = folder()
  checkpoints.save(3, state_of(3, mesh), RECORD)
  checkpoints.wait()
  for other in MESHES.values():
    blank = state_of(0, other)
    found = checkpoints.restore(3, blank)
    same(found, 3)
    jax.tree.map(same_place, found, blank)


def test_parameters_alone(folder):
  checkpoints = folder()
  save(checkpoints, 5)
  like = state_of(0, mesh=(1, 1, 1)).params
  found = folder().params(5, like)
  jax.tree.map(np.testing.assert_array_equal, found, numbers(5).params)
  assert len(found["layers"]["w"].sharding.device_set) == 1


def test_arrays_of_another_model_are_refused_by_name(folder):
  checkpoints = folder()
  save(checkpoints, 5)
  like = state_of(0)
  other = {"w": like.params["layers"]["w"], "b": jnp.zeros(6)}
  with pytest.raises(ValueError, match=r"layers/b as float32\[8\]") as error:
    checkpoints.params(5, {"layers": other})
  assert "float32[6]" in str(error.value) and "5 holds" in str(error.value)
  with pytest.raises(ValueError, match="layers/b .*needs nothing"):
    checkpoints.params(5, {"layers": {"w": other["w"]}})
  with pytest.raises(ValueError, match="extra as nothing"):
    checkpoints.params(5, like.params | {"extra": other["b"]})


def test_the_last_ones_stay_and_every_nth(folder):
  checkpoints = folder(keep=2, keep_every=3)
  save(checkpoints, *range(1, 9))
  assert checkpoints.steps() == [3, 6, 7, 8]


def test_what_is_kept():
  assert beyond([1, 2, 3, 4], 4, keep=1, keep_every=0) == [1, 2, 3]
  assert beyond([1, 2, 3, 4], 4, keep=2, keep_every=2) == [1]
  # What was just committed stays, whatever stands beside it.
  assert beyond([7, 8, 9], 7, keep=1, keep_every=0) == [8]


def test_nothing_is_removed_before_the_new_step_is_whole(folder, monkeypatch):
  from alignjax.checkpoint import checkpoints as module

  checkpoints, seen = folder(keep=1), {}
  save(checkpoints, 1)
  monkeypatch.setattr(
    module, "stage", lambda name: seen.update({name: checkpoints.steps()})
  )
  save(checkpoints, 2)
  assert seen == {
    "before write": [1],
    "after arrays": [1],
    "before manifest": [1],
    "before commit": [1],
    "after commit": [1, 2],
  }
  assert checkpoints.steps() == [2]


def test_saving_a_step_twice_changes_nothing(folder):
  checkpoints = folder()
  other = state_of(4)._replace(params={"x": jnp.ones(1)})
  checkpoints.save(4, state_of(4), RECORD)
  checkpoints.save(4, other, RECORD)  # in flight
  checkpoints.wait()
  folder().save(4, other, RECORD)  # on disk
  same(folder().restore(4, state_of(0)), 4)


def test_leftovers_are_passed_over_and_removed(folder, tmp_path):
  checkpoints, place = folder(), tmp_path / "checkpoints"
  save(checkpoints, 3)
  (place / "5").mkdir()  # an empty step
  (place / "6.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
  (place / "notes").mkdir()
  (place / "3" / "COMMIT").rename(place / "kept")
  assert checkpoints.newest() is None  # leftovers alone: a fresh folder
  (place / "kept").rename(place / "3" / "COMMIT")
  found = checkpoints.newest()
  assert found.step == 3 and found.passed == [
    "checkpoints/6: no commit marker: its save was cut short",
    "checkpoints/5: no commit marker: its save was cut short",
  ]
  before = sorted(p.name for p in place.iterdir())
  assert "6.orbax-checkpoint-tmp" in before  # looking changes nothing
  checkpoints.tidy()
  assert sorted(line.split(":")[0] for line in checkpoints.said) == [
    "checkpoints/5",
    "checkpoints/6.orbax-checkpoint-tmp",
  ]
  assert sorted(p.name for p in place.iterdir()) == ["3", "notes"]


def test_a_half_step_is_saved_over(folder, tmp_path):
  (tmp_path / "checkpoints" / "5" / "params").mkdir(parents=True)
  checkpoints = folder()
  save(checkpoints, 5)
  same(checkpoints.restore(checkpoints.newest().step, state_of(0)), 5)


def test_donating_the_saved_state_is_safe(folder):
  """The step overwrites its input while the checkpoint is being written."""
  saved, checkpoints = state_of(4), folder()
  checkpoints.save(4, saved, RECORD)
  overwrite = jax.jit(
    lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0
  )
  overwrite(saved)
  checkpoints.wait()
  same(folder().restore(4, state_of(0)), 4)


def test_a_record_that_is_not_json_is_refused_at_once(folder):
  with pytest.raises(TypeError, match="not JSON serializable"):
    folder().save(1, state_of(1), {"seed": object()})


@pytest.mark.parametrize(
  "options, message",
  [
    (dict(on_error="ignore"), "on_error = 'ignore'; it is stop or continue"),
    (dict(keep=0), "keep = 0; keep at least 1"),
  ],
)
def test_options_that_make_no_sense(folder, options, message):
  with pytest.raises(ValueError, match=message):
    folder(**options)
