"""Which files of a folder hold a split: by its card, its state or their names.

A folder is read as Hugging Face data sets are laid out, without their package:

1. `save_to_disk` folders: dataset_dict.json and a folder for each split, or
   state.json beside the Arrow files of one.
2. `configs` in the YAML block of README.md: the splits of each config, as
   patterns of files. `FOLDER:CONFIG` chooses among several.
3. `data/SPLIT-00000-of-00002.parquet`, any ending.
4. The split as a word in the names of folders, or else of files; training and
   train are one word, so are valid, val, dev and validation, and testing, eval,
   evaluation and test. Without any such word all files are for training.

`hf:OWNER/NAME[:CONFIG]` is fetched from the hub first: data files alone, and of
those the ones that the card names for the split.
https://huggingface.co/docs/hub/datasets-data-files-configuration
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from alignjax.data import cards

_TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
ENDINGS = (*_TEXT, *(f"{e}.gz" for e in _TEXT), ".parquet", ".arrow")
_WORDS = {
  "train": ("train", "training"),
  "validation": ("validation", "valid", "val", "dev"),
  "test": ("test", "testing", "eval", "evaluation"),
}
# JSON that lies beside the data in a folder.
_CARDS = (
  "config.json",
  "dataset_info.json",
  "dataset_infos.json",
  "dataset_dict.json",
  "state.json",
)


def find(path: str, split: str) -> list[Path]:
  """The data files of a split, sorted by name; a file is its own.

  Raises FileNotFoundError where path, config or split is not there.
  """
  if path.startswith("hf:"):
    name, _, config = path.removeprefix("hf:").partition(":")
    folder = cards.fetch(name, config, split, ENDINGS)
    return _of_folder(folder, config, split)
  file, config = Path(path), ""
  if not file.exists() and ":" in path:
    head, _, config = path.rpartition(":")
    file = Path(head) if Path(head).is_dir() else file
  if not file.exists():
    raise FileNotFoundError(_missing(file))
  return _of_folder(file, config, split) if file.is_dir() else [file]


def _missing(file: Path) -> str:
  folder = next(p for p in file.absolute().parents if p.is_dir())
  names = sorted(p.name for p in folder.iterdir())
  more = f" and {len(names) - 12} more" if len(names) > 12 else ""
  return (
    f"no such file or folder: {file}\n"
    f"the nearest folder that exists is {folder}\n"
    f"it holds: {', '.join(names[:12]) or 'nothing'}{more}"
  )


def _of_folder(folder: Path, config: str, split: str) -> list[Path]:
  if (folder / "dataset_dict.json").exists():
    splits = _json(folder / "dataset_dict.json").get("splits", [])
    cards.check_split(split, splits, folder)
    return _of_state(folder / split)
  if (folder / "state.json").exists():
    saved = _json(folder / "state.json").get("_split") or ""
    if re.fullmatch(r"\w+", saved):  # others, "train+test" say, are no names
      cards.check_split(split, [saved], folder)
    return _of_state(folder)
  base, patterns = cards.wanted(folder, config, split)
  if patterns is None:
    return _by_name(folder / base, split)
  return cards.matching(folder, patterns, ENDINGS)


def _json(file: Path) -> dict:
  if not file.is_file():
    raise FileNotFoundError(f"no such file: {file}\nsave the data set again")
  try:
    found = json.loads(file.read_text("utf-8"))
  except ValueError as e:
    raise ValueError(f"{file}: bad JSON: {e}\nfetch or save it again") from e
  return found if isinstance(found, dict) else {}


def _of_state(folder: Path) -> list[Path]:
  """The Arrow files of one saved split."""
  state = _json(folder / "state.json")
  found = [folder / f["filename"] for f in state.get("_data_files", [])]
  lost = [p.name for p in found if not p.is_file()]
  if lost or not found:
    raise FileNotFoundError(
      f"{folder}: state.json names {', '.join(lost) or 'no data files'}"
      f"{', which is not there' if lost else ''}\nsave the data set again"
    )
  return sorted(found)


def _by_name(folder: Path, split: str) -> list[Path]:
  """The data files whose names say that they belong to a split."""
  names = {p: p.relative_to(folder) for p in sorted(folder.rglob("*"))}
  found = {
    p: name
    for p, name in names.items()
    if p.name.lower().endswith(ENDINGS)
    and p.name not in _CARDS
    and not any(part.startswith((".", "__")) for part in name.parts)
    and p.is_file()
  }
  if not found:
    raise FileNotFoundError(
      f"no data files in the folder {folder}\n"
      f"looked for: {', '.join(ENDINGS)}, or a tensorflow-datasets folder "
      "(features.json)"
    )
  splits = _named(found)
  if split not in splits:
    same = next((w for w in _WORDS.values() if split in w), ())
    split = next((w for w in same if w in splits), split)
  if not splits and split == "train":
    splits = {"train": list(found)}  # no name says a split: all is for training
  if split not in splits:
    raise FileNotFoundError(
      f"no file of split {split!r} in the folder {folder}\n"
      f"splits found: {', '.join(sorted(splits)) or 'none'}; "
      f"files: {', '.join(p.name for p in list(found)[:8])}"
    )
  _check_whole(splits[split])
  return splits[split]


def _named(found: dict[Path, Path]) -> dict[str, list[Path]]:
  """Split → files, by the first of the rules that any name follows."""
  words = {word for group in _WORDS.values() for word in group}
  shard = r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}.*"
  rules = (
    lambda name: re.findall(f"^{shard}$", name.as_posix()),
    lambda name: words & _words(name.parent),
    lambda name: words & _words(name.name),
  )
  for rule in rules:
    splits = defaultdict(list)
    for file, name in found.items():
      for split in rule(name):
        splits[split].append(file)
    if splits:
      return splits
  return {}


def _words(name: object) -> set[str]:
  return set(re.split(r"[^a-z]+", str(name).lower()))


def _check_whole(files: Sequence[Path]) -> None:
  """Raises where a shard is missing, or a file is there in two forms."""
  stems, shards = {}, defaultdict(set)
  for file in files:
    end = next(e for e in reversed(ENDINGS) if file.name.lower().endswith(e))
    stem = file.with_name(file.name[: -len(end)])
    other = stems.setdefault(stem, file)
    if other != file:
      raise ValueError(
        f"{other} and {file.name}: one file in two forms?\n"
        "take one away, or give the files themselves as path"
      )
    if match := re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})", str(stem)):
      shards[match[1], int(match[3])].add(int(match[2]))
  for (name, count), there in shards.items():
    if lost := sorted(set(range(count)) - there):
      raise FileNotFoundError(
        f"{name}: {len(lost)} of {count} shards are missing, the first of them "
        f"number {lost[0]:05d}\nfetch the data set again"
      )
