"""Files that are broken, of another kind, or cannot be written."""

import ml_dtypes
import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alignjax.models import safetensors_io
from alignjax.models.safetensors_io import check_types, read_folder, write_file

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_written_is_read(dtype, tmp_path):
  arrays = {"a": RNG.normal(size=(3, 5)), "b.c": RNG.normal(size=7)}
  arrays = {k: v.astype(np.dtype(dtype)) for k, v in arrays.items()}
  file = tmp_path / "model.safetensors"
  write_file(file, arrays)
  stored = read_folder(tmp_path)
  check_types(stored, tmp_path)
  assert {k: tuple(t.get_shape()) for k, t in stored.items()} == {
    "a": (3, 5),
    "b.c": (7,),
  }
  for name, array in arrays.items():
    read = stored[name][...]
    assert read.dtype == array.dtype and read.tobytes() == array.tobytes()
  assert safe_open(file, framework="numpy").metadata() == {"format": "pt"}
  # Whoever may read a new file may read this one.
  (tmp_path / "new").touch()
  assert file.stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.mark.parametrize("dtype", [np.int8, ml_dtypes.float8_e4m3fn])
def test_quantised_tensors_are_refused(dtype, tmp_path):
  save_file({"q": np.ones(2, dtype)}, tmp_path / "model.safetensors")
  with pytest.raises(ValueError, match="q is of type .*F32, F16, BF16.*\n"):
    check_types(read_folder(tmp_path), tmp_path)


HEADER = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
WHOLE = len(HEADER).to_bytes(8, "little") + HEADER + b"\0" * 8


@pytest.mark.parametrize(
  "content",
  [
    b"",
    WHOLE[:5],
    WHOLE[:30],
    WHOLE[:-3],
    WHOLE.replace(b"[2]", b"[3]"),
    RNG.bytes(500),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
  ],
  ids=["empty", "5 bytes", "header", "data", "shape", "garbage", "pointer"],
)
def test_broken_files_are_refused(content, tmp_path):
  file = tmp_path / "model.safetensors"
  file.write_bytes(WHOLE)
  assert read_folder(tmp_path)["a"][...].tolist() == [0, 0]
  file.write_bytes(content)
  with pytest.raises(ValueError, match="half downloaded.*Git LFS") as error:
    read_folder(tmp_path)
  assert str(file) in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
  def full(*_, **__):
    raise SafetensorError("No space left on device")

  monkeypatch.setattr(safetensors_io, "save_file", full)
  with pytest.raises(OSError, match="No space left.*\nMake room"):
    write_file(tmp_path / "x.safetensors", {"a": np.ones(2, np.float32)})
