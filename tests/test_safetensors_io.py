"""The reader and writer against the safetensors package and broken files."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from alignjax.models.safetensors_io import read_header, write_file

RNG = np.random.default_rng(0)


def test_the_package_reads_what_is_written(tmp_path):
  arrays = {"a": RNG.normal(size=(3, 5)), "b.c": RNG.normal(size=7)}
  arrays = {k: v.astype(np.float32) for k, v in arrays.items()}
  shapes = {k: v.shape for k, v in arrays.items()}
  file = tmp_path / "x.safetensors"
  write_file(file, shapes, "F32", arrays.values())
  theirs = load_file(file)
  assert list(theirs) == list(arrays)
  assert all(np.array_equal(theirs[k], arrays[k]) for k in arrays)


def test_what_the_package_writes_is_read(tmp_path):
  arrays = {
    "half": RNG.normal(size=(3, 5)).astype(np.float16),
    "wide": RNG.normal(size=(2, 1, 3)),
    "empty": np.zeros((0, 4), np.float32),
    "bits": np.ones(3, np.uint8),
  }
  file = tmp_path / "x.safetensors"
  save_file(arrays, file, {"format": "pt"})
  stored = read_header(file)
  assert set(stored) == set(arrays)
  for name in ("half", "wide", "empty"):
    assert stored[name].shape == arrays[name].shape
    assert np.array_equal(stored[name].read(), arrays[name])
  with pytest.raises(ValueError, match="type U8 are not supported"):
    stored["bits"].read()


def test_bfloat16_is_bit_exact(tmp_path):
  array = RNG.normal(size=(4, 3)).astype(ml_dtypes.bfloat16)
  file = tmp_path / "x.safetensors"
  write_file(file, {"a": (4, 3)}, "BF16", [array])
  read = read_header(file)["a"].read()
  assert read.dtype == array.dtype
  assert np.array_equal(read.view(np.uint16), array.view(np.uint16))
  # 1 + 1/256 lies between two bfloat16; to even is down.
  assert np.float32(1 + 1 / 256).astype(ml_dtypes.bfloat16) == 1


def test_writing_other_than_planned_is_an_error(tmp_path):
  with pytest.raises(ValueError, match="a: float32"):
    write_file(tmp_path / "x", {"a": (3,)}, "F32", [np.ones(2, np.float32)])


def spoil(file, **change):
  """A valid file of one tensor with one thing wrong."""
  header = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
  header = change.get("header", header).encode()
  length = change.get("length", len(header))
  file.write_bytes(length.to_bytes(8, "little") + header + b"\0" * 8)
  return file


@pytest.mark.parametrize(
  "change",
  [
    {"length": 2**40},
    {"length": 3},
    {"header": "[1, 2]"},
    {"header": '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}'},
    {"header": '{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'},
    {"header": '{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}'},
    {"header": '{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,-8]}}'},
    {"header": '{"a":{"dtype":"F32","data_offsets":[0,8]}}'},
    {"header": '{"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}'},
    {"header": '{"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}}'},
  ],
)
def test_broken_files_are_refused(change, tmp_path):
  assert read_header(spoil(tmp_path / "good"))["a"].read().shape == (2,)
  with pytest.raises(ValueError, match="not a safetensors file"):
    read_header(spoil(tmp_path / "bad", **change))


def test_short_files_are_refused(tmp_path):
  file = tmp_path / "x"
  for content in (b"", b"version https://git-lfs.github.com/spec/v1\n"):
    file.write_bytes(content)
    with pytest.raises(ValueError, match="Git LFS"):
      read_header(file)
