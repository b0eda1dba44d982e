"""What a kill at each moment of a save leaves."""

import pytest
from checkpoint_states import finish, same, start, state_of
from etils import epath

from alignjax.checkpoint import Checkpoints

KILLED = """
import os
from alignjax.checkpoint import Checkpoints, checkpoints
from checkpoint_states import RECORD, state_of
folder, at = sys.argv[1:]

def stage(name):
  if name == at and step == 2:
    os._exit(9)

checkpoints.stage = stage
ours = Checkpoints(folder, keep=1, keep_every=0, on_error="stop", say=print)
for step in (1, 2):
  ours.save(step, state_of(step), RECORD)
  ours.wait()
"""

LEFT = {
  "before write": (1, []),
  "after arrays": (1, ["2"]),
  "before manifest": (1, ["2"]),
  "before commit": (1, ["2"]),
  "after commit": (2, []),
}


@pytest.fixture
def folder(tmp_path):
  said = []
  checkpoints = Checkpoints(
    tmp_path / "checkpoints",
    keep=1,
    keep_every=0,
    on_error="stop",
    say=said.append,
  )
  checkpoints.said = said
  yield checkpoints
  checkpoints.close()


def names(folder):
  return sorted(p.name for p in folder.folder.iterdir())


@pytest.mark.parametrize("at", LEFT)
def test_killed_in_a_save(folder, at):
  status, _, error = finish(start(KILLED, folder.folder, at))
  assert status == 9, error
  newest, left = LEFT[at]
  found = folder.newest()
  assert found.step == newest and len(found.passed) == len(left)
  same(folder.restore(newest, state_of(0)), newest)
  folder.tidy()
  whole = ["1", "2"] if newest == 2 else ["1"]
  assert names(folder) == whole and len(folder.said) == len(left)
  folder.save(2, state_of(2), {})
  folder.wait()
  same(folder.restore(folder.newest().step, state_of(0)), 2)


@pytest.mark.parametrize("rename", [True, False], ids=["orbax", "ours"])
def test_killed_while_files_are_written(folder, rename):
  """The folder that orbax writes into, and a marker that has no name yet."""
  for step in (1, 2):
    folder.save(step, state_of(step), {})
    folder.wait()
    if step == 1:
      kept = folder._steps.path(1).rename(folder.folder / "kept")
  kept.rename(folder.folder / "1")
  two = folder._steps.path(2)
  if rename:
    (two / "COMMIT").unlink()
    two.rename(folder.folder / "2.orbax-checkpoint-tmp")
  else:
    (two / "COMMIT").rename(two / "COMMIT.part")
  found = folder.newest()
  assert (found.step, len(found.passed)) == (1, 1)
  folder.tidy()
  assert names(folder) == ["1"]


def test_killed_in_a_removal(folder, monkeypatch):
  """The marker goes first, so half a step is never taken for a whole one."""
  local = type(epath.Path("/"))
  rmtree = local.rmtree

  def cut(self, **options):
    if self.name == "1":
      raise OSError("cut")
    rmtree(self, **options)

  folder.save(1, state_of(1), {})
  folder.wait()
  with monkeypatch.context() as patch:
    patch.setattr(local, "rmtree", cut)
    folder.save(2, state_of(2), {})
    folder.wait()  # step 2 is saved, whatever became of step 1
  folder.check()
  assert folder.said == [f"{folder.folder} cannot be cleared: cut"]  # once
  assert names(folder) == ["1", "2"] and folder.steps() == [2]
  folder.tidy()
  assert names(folder) == ["2"]
