"""A full disk, a folder that cannot be written, a folder that is gone."""

import errno
import os
import subprocess

import pytest
from checkpoint_states import finish, same, start, state_of

from alignjax.checkpoint import Checkpoints
from alignjax.checkpoint.trouble import lost

ROWS = 2**14  # a step of 1 MiB: two of them fit into 3 MiB


@pytest.fixture
def opened(tmp_path):
  found = []

  def make(on_error, folder=tmp_path / "checkpoints", keep=9):
    said = []
    checkpoints = Checkpoints(
      folder, keep=keep, keep_every=0, on_error=on_error, say=said.append
    )
    checkpoints.said = said
    found.append(checkpoints)
    return checkpoints

  yield make
  for checkpoints in found:
    checkpoints.close()


@pytest.fixture
def disk(tmp_path):
  """An own file system of 3 MiB, where this user may mount one."""
  place = tmp_path / "disk"
  place.mkdir()
  size = ["-o", "size=3m", "-t", "tmpfs", "tmpfs", str(place)]
  try:
    made = subprocess.run(["mount", *size], capture_output=True)
  except FileNotFoundError:
    pytest.skip("there is no mount")
  if made.returncode:
    pytest.skip("this user may not mount")
  yield place
  subprocess.run(["umount", "-l", str(place)], check=True)


def save(checkpoints, step, rows=16):
  checkpoints.save(step, state_of(step, rows=rows), {})
  checkpoints.wait()


def fails(checkpoints, on_error, step, rows=16):
  """The message of a save that fails; it is told once."""
  if on_error == "stop":
    with pytest.raises(OSError) as error:
      save(checkpoints, step, rows)
    message = str(error.value)
  else:
    save(checkpoints, step, rows)
    (message,) = checkpoints.said
    checkpoints.said.clear()
  checkpoints.check()
  assert not checkpoints.said
  assert f"/{step} was not saved" in message
  assert len(message.splitlines()) <= 5
  return message


def good(checkpoints, step, rows=16):
  found = checkpoints.newest()
  assert found.step == step and not found.passed
  same(checkpoints.restore(step, state_of(0, rows=rows)), step, rows=rows)


BOTH = pytest.mark.parametrize("on_error", ["stop", "continue"])


@BOTH
def test_a_full_disk(opened, disk, on_error):
  checkpoints = opened(on_error, disk / "checkpoints")
  save(checkpoints, 1, ROWS)
  (disk / "other").write_bytes(bytes(2**20))
  message = fails(checkpoints, on_error, 2, ROWS)
  assert "No space left" in message and "checkpoint.keep" in message
  assert "last good checkpoint is step 1" in message
  assert [p.name for p in checkpoints.folder.iterdir()] == ["1"]
  good(checkpoints, 1, ROWS)
  (disk / "other").unlink()
  save(checkpoints, 3, ROWS)
  assert sorted(p.name for p in checkpoints.folder.iterdir()) == ["1", "3"]
  good(checkpoints, 3, ROWS)


LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from alignjax.checkpoint import Checkpoints
from checkpoint_states import state_of
ours = Checkpoints(
  sys.argv[1], keep=9, keep_every=0, on_error="continue", say=print
)
ours.save(1, state_of(1), {})
ours.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ours.save(2, state_of(2, rows=2**14), {})
ours.wait()
ours.save(3, state_of(3), {})
ours.wait()
print(ours.steps())
"""


def test_a_file_that_may_not_grow(opened, tmp_path):
  folder = tmp_path / "checkpoints"
  status, out, error = finish(start(LIMITED, folder))
  assert status == 0, error
  assert "2 was not saved" in out and "[1, 3]" in out
  good(opened("stop"), 3)
  assert sorted(p.name for p in folder.iterdir()) == ["1", "3"]


@BOTH
@pytest.mark.parametrize("name", ["record.json", "manifest.0.json", "COMMIT"])
def test_a_disk_that_fills_up_at_a_small_file(
  opened, monkeypatch, on_error, name
):
  from alignjax.checkpoint import files

  checkpoints, write = opened(on_error), files.write
  save(checkpoints, 1)

  def full(path, text):
    if path.name == name:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write(path, text)

  monkeypatch.setattr(files, "write", full)
  assert "No space left" in fails(checkpoints, on_error, 2)
  assert [p.name for p in checkpoints.folder.iterdir()] == ["1"]
  good(checkpoints, 1)


@BOTH
def test_a_disk_that_became_read_only(opened, disk, on_error):
  checkpoints = opened(on_error, disk / "checkpoints")
  save(checkpoints, 1)
  subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
  message = fails(checkpoints, on_error, 2)
  assert "Read-only" in message and "for writing" in message
  good(opened(on_error, disk / "checkpoints"), 1)


@BOTH
def test_a_folder_that_cannot_be_made(opened, tmp_path, on_error):
  (tmp_path / "checkpoints").write_text("a file")
  message = fails(opened(on_error), on_error, 1)
  assert "No checkpoint is saved yet" in message
  assert (tmp_path / "checkpoints").read_text() == "a file"


@BOTH
def test_a_folder_that_vanished(opened, tmp_path, on_error):
  """It is not made again: below it another disk would be filled."""
  checkpoints = opened(on_error)
  save(checkpoints, 1)
  away = checkpoints.folder.rename(tmp_path / "away")
  message = fails(checkpoints, on_error, 2)
  assert "any more" in message and "Mount" in message
  assert not checkpoints.folder.exists()
  away.rename(checkpoints.folder)
  good(checkpoints, 1)
  save(checkpoints, 3)
  good(checkpoints, 3)


def test_a_folder_that_vanishes_while_it_is_written(opened, monkeypatch):
  from alignjax.checkpoint import checkpoints as module

  checkpoints = opened("continue")

  def vanish(name):
    if name == "after arrays":
      checkpoints.folder.rmtree()

  monkeypatch.setattr(module, "stage", vanish)
  assert "No such file" in fails(checkpoints, "continue", 2)


def test_what_is_said_of_an_error_without_a_remedy():
  lines = lost("run/40", RuntimeError("a\nb."), None).splitlines()
  assert lines[:2] == [
    "run/40 was not saved: a b.",
    "No checkpoint is saved yet.",
  ]
  assert "step 3" in lost("run/40", OSError(errno.EDQUOT, "quota"), 3)
