"""tensorflow-datasets from disk."""

import json
from pathlib import Path

import pytest

from alignjax.data.sources import files, read


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
  """Two splits as tensorflow-datasets lays them out, one shard each."""
  import tensorflow_datasets as tfds
  from array_record.python.array_record_module import ArrayRecordWriter

  folder = tmp_path_factory.mktemp("tfds") / "tiny" / "1.0.0"
  folder.mkdir(parents=True)
  features = tfds.features.FeaturesDict(
    {
      "text": tfds.features.Text(),
      "tags": tfds.features.Sequence(tfds.features.Text()),
    }
  )
  features.save_config(str(folder))
  for split, numbers in {"train": range(3), "test": range(3, 4)}.items():
    file = f"tiny-{split}.array_record-00000-of-00001"
    writer = ArrayRecordWriter(str(folder / file), "group_size:1")
    for i in numbers:
      row = {"text": f"row {i} é", "tags": ["a", "b"]}
      writer.write(features.serialize_example(features.encode_example(row)))
    writer.close()
  splits = [
    {
      "name": name,
      "shardLengths": [size],
      "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    }
    for name, size in (("train", "3"), ("test", "1"))
  ]
  info = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record"}
  info |= {"splits": splits}
  (folder / "dataset_info.json").write_text(json.dumps(info))
  return str(folder)


def test_tfds_folder_gives_text_not_bytes(tfds_folder):
  rows = list(read(tfds_folder))
  assert sorted(r["text"] for r, _ in rows) == [f"row {i} é" for i in range(3)]
  assert rows[0][0]["tags"] == ["a", "b"]
  assert rows[2][1] == f"{tfds_folder}/train[2]"
  assert len(list(read(tfds_folder, split="train[:2]"))) == 2


def test_tfds_that_cannot_be_opened_says_how_to_prepare(tfds_folder):
  with pytest.raises(FileNotFoundError, match="(?s)split 'nope'.*array_record"):
    list(read(tfds_folder, split="nope"))
  with pytest.raises(FileNotFoundError) as error:
    list(read("tfds:no_such_dataset"))
  assert len(str(error.value).splitlines()) <= 5


def test_tfds_files_are_those_of_the_split(tfds_folder):
  assert files(tfds_folder, split="train[:2]") == [
    Path(tfds_folder) / "features.json",
    Path(tfds_folder) / "tiny-train.array_record-00000-of-00001",
  ]
