import json

import pyarrow
import pytest

from alignjax.data.folders import ENDINGS, find
from alignjax.data.sources import read


def fill(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text('{"text": "a"}\n')


def names(folder, split="train", config=""):
  found = find(f"{folder}{config}", split)
  return [p.relative_to(folder).as_posix() for p in found]


def test_shards_in_data_are_named_in_full(tmp_path):
  shards = [f"data/train_sft-0000{i}-of-00002.parquet" for i in range(2)]
  fill(tmp_path, *shards, "data/train_gen-00000-of-00001.parquet", "train.csv")
  assert names(tmp_path, "train_sft") == shards
  assert names(tmp_path, "train_gen") == [
    "data/train_gen-00000-of-00001.parquet"
  ]
  with pytest.raises(FileNotFoundError, match="found: train_gen, train_sft"):
    names(tmp_path, "train")


def test_a_missing_shard_is_not_passed_over(tmp_path):
  fill(tmp_path, *(f"data/train-0000{i}-of-00004.parquet" for i in (0, 3)))
  with pytest.raises(FileNotFoundError) as error:
    names(tmp_path)
  assert "2 of 4 shards are missing, the first of them number 00001" in str(
    error.value
  )


def test_folders_name_splits_before_files_do(tmp_path):
  fill(tmp_path, "train/test_cases.csv", "test/a.csv", "readme.json")
  assert names(tmp_path) == ["train/test_cases.csv"]
  assert names(tmp_path, "test") == ["test/a.csv"]


def test_words_for_a_split_are_one_word(tmp_path):
  fill(tmp_path, "my-Training.csv", "dev.jsonl", "evaluation0.tsv.gz")
  assert names(tmp_path) == ["my-Training.csv"]
  assert (
    names(tmp_path, "validation") == names(tmp_path, "val") == ["dev.jsonl"]
  )
  assert names(tmp_path, "test") == ["evaluation0.tsv.gz"]
  fill(tmp_path, "validation.jsonl")  # the very word comes first
  assert names(tmp_path, "validation") == ["validation.jsonl"]
  assert names(tmp_path, "dev") == ["dev.jsonl"]


def test_cards_and_hidden_files_are_no_data(tmp_path):
  fill(tmp_path, ".cache/train.json", "__MACOSX/train.json", "config.json")
  fill(tmp_path, "state/train.txt", "dataset_infos.json")
  with pytest.raises(FileNotFoundError, match="no data files in the folder"):
    names(tmp_path)
  fill(tmp_path, "b.json", "a.csv")
  assert names(tmp_path) == ["a.csv", "b.json"]


def test_one_file_in_two_forms_is_refused(tmp_path):
  fill(tmp_path, "train.jsonl", "train.jsonl.gz")
  with pytest.raises(ValueError, match="one file in two forms"):
    names(tmp_path)
  assert find(str(tmp_path / "train.jsonl"), "train")


def test_every_ending_has_a_reader(tmp_path):
  for ending in ENDINGS:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"")
    try:
      list(read(str(path)))
    except ValueError as e:
      assert "cannot tell what kind" not in str(e)


def save(folder, split, texts, name="train"):
  """A split as `save_to_disk` leaves it, two files."""
  folder.mkdir(parents=True)
  files = [f"data-0000{i}-of-00002.arrow" for i in range(2)]
  for file, part in zip(files, (texts[:1], texts[1:])):
    data = pyarrow.table({"text": part})
    with pyarrow.ipc.new_stream(str(folder / file), data.schema) as stream:
      stream.write_table(data)
  state = {"_data_files": [{"filename": f} for f in files], "_split": split}
  (folder / "state.json").write_text(json.dumps(state))
  (folder / "dataset_info.json").write_text("{}")


def texts(folder, split="train"):
  return [row["text"] for row, _ in read(str(folder), split=split)]


def test_a_saved_split_is_read_and_held_to_its_name(tmp_path):
  save(tmp_path / "a", "test", ["x", "y", "z"])
  assert texts(tmp_path / "a", "test[1:]") == ["y", "z"]
  with pytest.raises(FileNotFoundError, match="no split 'train'; splits: test"):
    texts(tmp_path / "a")
  for number, split in enumerate((None, "train+test")):  # these are no names
    save(tmp_path / f"b{number}", split, ["x", "y"])
    assert texts(tmp_path / f"b{number}") == ["x", "y"]
  (tmp_path / "a" / "data-00001-of-00002.arrow").unlink()
  with pytest.raises(FileNotFoundError, match="00001-of-00002.arrow, which is"):
    texts(tmp_path / "a", "test")


def test_saved_splits_are_read_by_name(tmp_path):
  # Both halves of a train_test_split remember the split they were cut from.
  save(tmp_path / "train", "train", ["x", "y"])
  save(tmp_path / "test", "train", ["z", "w"])
  card = tmp_path / "dataset_dict.json"
  card.write_text('{"splits": ["train", "test", "gone"]}')
  assert texts(tmp_path) == ["x", "y"] and texts(tmp_path, "test") == ["z", "w"]
  with pytest.raises(FileNotFoundError, match="'dev'; splits: train, test, go"):
    texts(tmp_path, "dev")
  with pytest.raises(
    FileNotFoundError, match="no such file: .*gone/state.json"
  ):
    texts(tmp_path, "gone")
  card.write_text("{")
  with pytest.raises(ValueError, match="dataset_dict.json: bad JSON"):
    texts(tmp_path)
