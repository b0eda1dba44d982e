import shutil

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects

from alignjax.data.folders import find
from alignjax.data.sources import files, read

CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path:
    - "b/*.csv"
    - a.jsonl
  - split: held.out
    path: "**/h.jsonl"
- config_name: list
  data_files: ["a.jsonl", "c/h.jsonl"]
- config_name: text
  data_files: a.jsonl
- config_name: mapping
  data_files:
    train: a.jsonl
    test: ["b/2.csv"]
- config_name: below
  data_dir: c
  data_files: "*.jsonl"
- config_name: names
  data_dir: d
- config_name: deep
  data_files: "**/*.json"
- config_name: all
  data_files: "b/*"
- config_name: none
  data_files: "z/*.csv"
- config_name: out
  data_files: "../secret.jsonl"
- config_name: odd
  data_files:
  - split: train
    path: a.jsonl
  - split: train
    path: b/1.csv
---
# Words
configs: none
"""


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / "set"
  for name in ("a.jsonl", "c/h.jsonl", "c/notes.txt", "d/test.jsonl"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text('{"text": "x"}\n')
  (root / "c/e/f").mkdir(parents=True)
  (root / "c/e/f/g.json").write_text("[]")
  (root / "b").mkdir()
  for name in "12":
    (root / "b" / f"{name}.csv").write_text(f"text\n{name}\n")
  (root / "b" / "run.py").write_text("raise SystemExit")
  (root / "README.md").write_text(CARD)
  return root


@pytest.mark.parametrize(
  "config, split, expected",
  [
    ("", "train", "a.jsonl b/1.csv b/2.csv"),
    (":default", "held.out", "c/h.jsonl"),
    (":deep", "train", "c/e/f/g.json"),
    (":list", "train", "a.jsonl c/h.jsonl"),
    (":text", "train", "a.jsonl"),
    (":mapping", "test", "b/2.csv"),
    (":below", "train", "c/h.jsonl"),
    (":names", "test", "d/test.jsonl"),
    (":all", "train", "b/1.csv b/2.csv"),
  ],
)
def test_a_card_names_the_files_of_a_split(folder, config, split, expected):
  found = find(f"{folder}{config}", split)
  assert [p.relative_to(folder).as_posix() for p in found] == expected.split()


def test_rows_come_sorted_by_file(folder):
  assert [r["text"] for r, _ in read(f"{folder}:list")] == ["x", "x"]
  assert [r["text"] for r, _ in read(str(folder))] == ["x", "1", "2"]
  assert files(f"{folder}:mapping", split="test[:1]") == [folder / "b/2.csv"]


@pytest.mark.parametrize(
  "config, split, error, reason",
  [
    (":nope", "train", FileNotFoundError, "no config 'nope'\n.*names: default"),
    (":text", "dev", FileNotFoundError, "no split 'dev'; splits: train"),
    (
      ":none",
      "train",
      FileNotFoundError,
      r"no data file 'z/\*\.csv', which its RE",
    ),
    (":out", "train", ValueError, "'../secret.jsonl' leads out of the folder"),
    (":odd", "train", ValueError, r"data_files is \[.*\n.*each split once"),
  ],
)
def test_a_card_that_does_not_help_says_why(
  folder, config, split, error, reason
):
  with pytest.raises(error, match=reason) as found:
    find(f"{folder}{config}", split)
  assert len(str(found.value).splitlines()) <= 5


def card(folder, text):
  (folder / "README.md").write_text(f"---\n{text}\n---\n")


def test_one_config_or_a_marked_one_needs_no_name(folder):
  card(folder, "configs:\n- config_name: x\n  data_files: a.jsonl")
  assert find(str(folder), "train") == [folder / "a.jsonl"]
  two = "configs:\n- config_name: x\n  data_files: b/1.csv\n"
  two += "- config_name: y\n  data_files: a.jsonl"
  card(folder, two)
  with pytest.raises(
    FileNotFoundError, match="no default one\n.*: x, y\n.*CONF"
  ):
    find(str(folder), "train")
  card(folder, f"{two}\n  default: true")
  assert find(str(folder), "train") == [folder / "a.jsonl"]


def test_a_card_without_configs_leaves_it_to_names(folder):
  for text in ("license: mit", "configs: []"):
    card(folder, text)
    assert find(str(folder), "test") == [folder / "d/test.jsonl"]
  with pytest.raises(FileNotFoundError, match="no config 'x'\n.*names: none"):
    find(f"{folder}:x", "train")
  card(folder, "configs: [")
  with pytest.raises(ValueError, match="README.md: its YAML block cannot be r"):
    find(str(folder), "test")


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
  """The folder as a data set of the hub; returns where it is fetched to."""
  here = tmp_path / "fetched"

  def download(name, *, repo_type, allow_patterns, ignore_patterns):
    if (name, repo_type) != ("owner/set", "dataset"):
      raise OSError("404 Client Error.\nmore")
    found = [p for p in folder.rglob("*") if p.is_file()]
    wanted = filter_repo_objects(
      [p.relative_to(folder).as_posix() for p in found],
      allow_patterns=allow_patterns,
      ignore_patterns=ignore_patterns,
    )
    for file in wanted:
      (here / file).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(folder / file, here / file)
    return str(here)

  monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
  return here


def fetched(here):
  found = (p.relative_to(here).as_posix() for p in here.rglob("*"))
  return sorted(f for f in found if (here / f).is_file())


def test_the_hub_gives_what_the_split_needs_and_no_code(hub):
  assert [r["text"] for r, _ in read("hf:owner/set")] == ["x", "1", "2"]
  assert fetched(hub) == ["README.md", "a.jsonl", "b/1.csv", "b/2.csv"]
  assert len(list(read("hf:owner/set:all"))) == 2
  assert "b/run.py" not in fetched(hub)
  rows = list(read("hf:owner/set:default", split="held.out"))
  assert [o for _, o in rows] == [f"{hub}/c/h.jsonl:1"]


def test_the_hub_without_configs_gives_all_data_files(hub, folder):
  card(folder, "license: mit")
  assert files("hf:owner/set", split="test") == [hub / "d/test.jsonl"]
  assert "b/run.py" not in fetched(hub) and "a.jsonl" in fetched(hub)
  assert "c/notes.txt" not in fetched(hub)


def test_the_hub_fails_in_four_lines(hub):
  with pytest.raises(FileNotFoundError) as error:
    read("hf:owner/other")
  assert "'owner/other' from the hub failed: 404 Client Error." in str(
    error.value
  )
  assert "HF_TOKEN" in str(error.value) and "more" not in str(error.value)


def test_a_pattern_of_any_depth_is_fetched_at_none(hub, folder):
  card(folder, 'configs:\n- config_name: x\n  data_files: "**/*.jsonl"')
  assert find("hf:owner/set", "train") == [
    hub / name for name in ("a.jsonl", "c/h.jsonl", "d/test.jsonl")
  ]
