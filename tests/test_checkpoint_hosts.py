"""Two real processes, four devices each, on one folder."""

import json
import socket

import pytest
from checkpoint_states import RECORD, finish, same, start, state_of

from alignjax.checkpoint import Checkpoints

PAIR = """
import errno, jax
port, host, folder = sys.argv[1:]
host = int(host)
jax.distributed.initialize(f"127.0.0.1:{port}", 2, host)
from alignjax.checkpoint import Checkpoints, checkpoints, hosts, manifest
from checkpoint_states import RECORD, same, state_of
said = []
ours = Checkpoints(
  folder, keep=3, keep_every=0, on_error="continue", say=said.append
)

def save(step):
  ours.save(step, state_of(step, (2, 2, 2)), RECORD)
  ours.wait()
"""

SAVING = """
save(3)
assert ours.newest().step == 3

# One host's disk is full while it writes its manifest.
write = manifest.write
def full(folder, host, found):
  if host == 1:
    raise OSError(errno.ENOSPC, "No space left on device")
  return write(folder, host, found)
manifest.write = full
save(4)
assert len(said) == 1 and "No space left" in said[0], said
assert "last good checkpoint is step 3" in said[0], said
assert ("Host 1" in said[0]) == (host == 0), said
assert ours.steps() == [3], ours.steps()
manifest.write = write
save(5)
assert ours.steps() == [3, 5], (ours.steps(), said)

# The folder is gone when it is looked for (both have looked before).
ours.newest()
import os
if host == 0:
  os.rename(folder, folder + ".away")
save(6)
assert "6 was not saved" in said[-1] and "any more" in said[-1], said
if host == 0:
  os.rename(folder + ".away", folder)

# One host does not come.
hosts.TIMEOUT = 2
if host == 0:
  save(7)
  assert "host 1 did not come within 2 s" in said[-1], said
  assert "7 was not saved" in said[-1] and len(said) == 3, said
  print("done")
else:
  import time
  time.sleep(4)
ours.close()
"""

READING = """
found = ours.newest()
assert found.step == 7 and found.record == RECORD, found
assert found.passed == ["checkpoints/8: params/_METADATA: missing"], found
same(ours.restore(7, state_of(0, (4, 2, 1))), 7)
ours.tidy()
assert said == ["checkpoints/8: put aside as 8.damaged"], said
save(9)
assert ours.steps() == [7, 9], (ours.steps(), said)
print("done")
ours.close()
"""


def pair(code, folder):
  """What host 0 prints, after both processes end well."""
  with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
  both = [start(PAIR + code, port, i, folder, devices=4) for i in (0, 1)]
  ends = [finish(process) for process in both]
  assert [end[0] for end in ends] == [0, 0], "\n".join(e[2] for e in ends)
  return ends[0][1]


@pytest.fixture
def alone(tmp_path):
  said = []
  checkpoints = Checkpoints(
    tmp_path / "checkpoints",
    keep=3,
    keep_every=0,
    on_error="stop",
    say=said.append,
  )
  yield checkpoints
  checkpoints.close()


def test_two_processes_save_and_one_restores(alone, tmp_path):
  assert "done" in pair(SAVING, tmp_path / "checkpoints")
  found = alone.newest()
  assert found.step == 5
  same(alone.restore(5, state_of(0)), 5)
  folder = tmp_path / "checkpoints" / "5"
  marker = json.loads((folder / "COMMIT").read_text())
  assert marker["hosts"] == 2 == len(marker["manifests"])
  mine = json.loads((folder / "manifest.1.json").read_text())
  assert mine and all("/ocdbt.process_1/" in name for name in mine)


def test_one_process_saves_and_two_restore(alone, tmp_path):
  for step in (7, 8):
    alone.save(step, state_of(step), RECORD)
  alone.wait()
  (tmp_path / "checkpoints" / "8" / "params" / "_METADATA").unlink()
  assert "done" in pair(READING, tmp_path / "checkpoints")
  assert alone.newest().step == 9
  assert (tmp_path / "checkpoints" / "8.damaged").is_dir()
