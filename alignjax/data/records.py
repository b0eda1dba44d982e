"""tensorflow-datasets from disk, as array_record; no tensorflow.

A path is `tfds:NAME[/CONFIG]`, or the folder of a prepared version, the one
that holds features.json. Its splits and their slices are those of the package:
`train[:10%]`, `train+test`.
"""

from collections.abc import Iterator
from pathlib import Path

from alignjax.data.bad import BadRow
from alignjax.data.lines import Item


def is_prepared(path: str) -> bool:
  """Whether a path is one of tensorflow-datasets."""
  return path.startswith("tfds:") or (Path(path) / "features.json").exists()


def read_records(path: str, split: str) -> Iterator[Item]:
  """Rows of a split, bytes as text; `path/split[index]` is their origin."""
  source = _open(path, split, lambda b: b.as_data_source(split=split))
  for index in range(len(source)):
    origin = f"{path}/{split}[{index}]"
    try:
      yield _text(source[index]), origin
    except UnicodeDecodeError as e:
      yield BadRow(origin, "invalid UTF-8", f"not UTF-8: {e.reason}"), origin


def files(path: str, split: str) -> list[Path]:
  """The record files that a split is read from, and features.json."""

  def found(builder):
    features = Path(str(builder.data_dir)) / "features.json"
    shards = builder.info.splits[split].filepaths
    return sorted({features, *(Path(str(p)) for p in shards)})

  return _open(path, split, found)


def _open(path: str, split: str, use):
  import tensorflow_datasets as tfds

  try:
    if path.startswith("tfds:"):
      name = path.removeprefix("tfds:")
      builder = tfds.builder(name, file_format="array_record")
    else:
      builder = tfds.builder_from_directory(path)
    return use(builder)
  except Exception as e:  # the package raises many kinds, with long lists
    reason = str(e).strip().split("\n")[0][:160] or type(e).__name__
    raise FileNotFoundError(
      f"{path}, split {split!r}: tensorflow-datasets cannot open it\n{reason}\n"
      "data sets are read from disk as array_record: prepare one first with\n"
      "  tfds.builder(NAME, file_format='array_record').download_and_prepare()"
    ) from e


def _text(value):
  """Bytes to str and arrays to lists, all the way down."""
  if isinstance(value, dict):
    return {k: _text(v) for k, v in value.items()}
  if isinstance(value, bytes):
    return value.decode("utf-8")
  if hasattr(value, "tolist"):
    return _text(value.tolist())
  if isinstance(value, list | tuple):
    return [_text(v) for v in value]
  return value
