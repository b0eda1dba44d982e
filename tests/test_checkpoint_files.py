import hashlib
import json

import pytest
from etils import epath
from etils.epath import backend
from fsspec.implementations.memory import MemoryFileSystem

from alignjax.checkpoint import files, manifest
from alignjax.checkpoint.steps import Steps


@pytest.fixture(params=["local", "gs"])
def folder(request, tmp_path, monkeypatch):
  """A folder on the disk, and one of an object store in memory."""
  if request.param == "local":
    return epath.Path(tmp_path)

  class Store(MemoryFileSystem):
    store, pseudo_dirs, cachable = {}, [""], False

    @classmethod
    def _strip_protocol(cls, path):
      return "/" + str(path).removeprefix("gs://").strip("/")

  store = Store()
  found = type(backend.fsspec_backend)
  monkeypatch.setattr(found, "fs", lambda self, path: store)
  store.mkdir("gs://bucket/run")
  return epath.Path("gs://bucket/run")


def fill(folder, hosts=1):
  """A committed step of four small files."""
  for name in ("a", "d/b", "ocdbt.process_0/c", "ocdbt.process_1/c"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode() * 5)
  found = [manifest.measure(folder, host) for host in range(hosts)]
  digests = [manifest.write(folder, i, m) for i, m in enumerate(found)]
  if hosts == 2:
    manifest.commit(folder, digests)
  return found


def test_names_and_hashes(folder):
  fill(folder / "3")
  assert files.names(folder) == [
    "3/a",
    "3/d/b",
    "3/manifest.0.json",
    "3/ocdbt.process_0/c",
    "3/ocdbt.process_1/c",
  ]
  assert files.sha256(folder / "3/a") == hashlib.sha256(b"aaaaa").hexdigest()


def test_a_file_is_written_whole(folder, monkeypatch):
  file = folder / "file"
  files.write(file, "old")
  files.write(file, "né")
  assert file.read_bytes() == "né".encode() and files.names(folder) == ["file"]

  def cut(self, target):
    raise OSError("cut")

  monkeypatch.setattr(type(file), "replace", cut)
  with pytest.raises(OSError):
    files.write(file, "new")
  assert file.read_bytes() == "né".encode()


def test_paths_are_absolute_or_remote(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  assert files.open_folder("runs") == epath.Path(tmp_path / "runs")
  assert str(files.open_folder("gs://bucket/runs")) == "gs://bucket/runs"


def test_each_host_writes_down_what_it_wrote(folder):
  zero, one = fill(folder / "3", hosts=2)
  assert sorted(zero) == ["a", "d/b", "ocdbt.process_0/c"]
  assert one == {
    "ocdbt.process_1/c": [
      85,
      hashlib.sha256(b"ocdbt.process_1/c" * 5).hexdigest(),
    ]
  }
  assert json.loads((folder / "3/COMMIT").read_text())["step"] == 3
  for hosts in (1, 2, 5):  # any number of hosts verifies
    shares = [manifest.faults(folder / "3", i, hosts) for i in range(hosts)]
    assert shares == [[]] * hosts
  (folder / "3/d/b").write_bytes(b"x" * 15)
  shares = [manifest.faults(folder / "3", i, 5) for i in range(5)]
  assert sum(shares, []) == ["d/b: sha256 differs"]


def test_a_manifest_that_is_being_written_is_nobodys(folder):
  before = fill(folder / "3")[0]
  for name in ("manifest.1.json", "manifest.2.json.part"):
    (folder / "3" / name).write_text("{}")
  assert manifest.measure(folder / "3", 0) == before


def test_a_file_in_no_manifest_is_not_committed(folder):
  fill(folder / "3")  # host 1 has not written its manifest
  digest = files.sha256(folder / "3/manifest.0.json")
  with pytest.raises(OSError, match="ocdbt.process_1/c"):
    manifest.commit(folder / "3", [digest])
  assert not manifest.committed(folder / "3")


def test_steps_of_a_folder(folder):
  for step in (3, 20, 100):
    fill(folder / str(step), hosts=2)
  fill(folder / "101")
  (folder / "007").mkdir()  # no name of a step
  steps = Steps(folder)
  assert steps.committed() == [3, 20, 100]
  assert steps.newest_first() == [
    (101, False),
    (100, True),
    (20, True),
    (3, True),
  ]
  assert steps.clear() == ["101"]
  steps.remove(3)
  assert steps.put_aside(100) == "100.damaged"
  fill(folder / "100", hosts=2)
  assert steps.put_aside(100) == "100.damaged.2"
  names = {n.split("/")[0] for n in files.names(folder)}
  assert names == {"20", "100.damaged", "100.damaged.2"}
