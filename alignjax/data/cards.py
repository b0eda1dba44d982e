"""What the card of a Hugging Face data set says of its files, and the hub.

The YAML block of README.md may list `configs`; each has a config_name and
data_files: a path, a list of paths, {split: path}, or a list of {split: NAME,
path: PATH or list of them}; paths are patterns, below data_dir if it is given.
https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

_CODE = ("*.py", "*.pkl", "*.pickle", "*.pt", "*.pth", "*.bin")


def wanted(
  folder: Path, config: str, split: str
) -> tuple[str, list[str] | None]:
  """Where the card says to look: a folder in it, and patterns if it has any.

  config: "" for the only one, or the default one.

  Raises FileNotFoundError for a config or split that the card does not name,
  ValueError for a card that cannot be read.
  """
  configs = _configs(folder / "README.md")
  if not configs and not config:
    return "", None
  by_name = {str(c.get("config_name")): c for c in configs}
  marked = [n for n, c in by_name.items() if c.get("default") is True]
  if len(by_name) == 1:
    marked = list(by_name)
  name = config or (*marked, "default")[0]
  entry = by_name.get(name)
  if entry is None:
    what = f"no config {config!r}" if config else "many configs, no default one"
    raise FileNotFoundError(
      f"{folder} has {what}\n"
      f"its README.md names: {', '.join(by_name) or 'none'}\n"
      "write one after the path: FOLDER:CONFIG or hf:OWNER/NAME:CONFIG"
    )
  base = _inside(str(entry.get("data_dir") or ""), folder)
  if not entry.get("data_files"):
    return base, None
  splits = _splits(entry["data_files"], folder / "README.md")
  check_split(split, splits, f"{folder}, config {name!r},")
  return base, [
    _inside(str(PurePosixPath(base, p)), folder) for p in splits[split]
  ]


def _inside(name: str, folder: Path) -> str:
  """The same, which must not lead out of the folder."""
  parts = PurePosixPath(name).parts
  if "://" in name or "/" in parts[:1] or ".." in parts:
    raise ValueError(
      f"{folder}/README.md: {name!r} leads out of the folder\n"
      "fetch those files, and give them as path"
    )
  return name


def _configs(card: Path) -> list[dict]:
  import huggingface_hub

  if not card.is_file():
    return []
  try:
    found = (huggingface_hub.metadata_load(card) or {}).get("configs") or []
  except Exception as e:  # of the YAML package, which is not ours
    raise ValueError(
      f"{card}: its YAML block cannot be read: {str(e)[:200]}\n"
      "repair the card, or give the data files themselves as path"
    ) from e
  return [c for c in found if isinstance(c, dict)]


def _splits(data_files, card: Path) -> dict[str, list[str]]:
  """Split → patterns, of each form a card may have."""
  if isinstance(data_files, str):
    data_files = [data_files]
  if isinstance(data_files, list):
    entries = [f for f in data_files if isinstance(f, dict)]
    if not entries:
      data_files = {"train": data_files}
    elif len({str(f.get("split")) for f in entries}) == len(data_files):
      data_files = {f.get("split"): f.get("path") for f in entries}
  found = {}
  for split, paths in data_files.items() if type(data_files) is dict else ():
    found[str(split)] = [paths] if isinstance(paths, str) else paths
  text = all(
    isinstance(p, list) and all(isinstance(x, str) for x in p)
    for p in found.values()
  )
  if not found or not text:
    raise ValueError(
      f"{card}: data_files is {repr(data_files)[:80]}\n"
      "legal: a path, a list of paths, {split: path}, or a list of "
      "{split: NAME, path: PATH or list of them}, each split once"
    )
  return found


def matching(
  folder: Path, patterns: Sequence[str], endings: tuple[str, ...]
) -> list[Path]:
  """The data files of a folder that patterns of its card mean, sorted."""
  found = set()
  for pattern in patterns:
    names = glob.glob(pattern, root_dir=folder, recursive=True)
    names = [n for n in names if n.lower().endswith(endings)]
    files = {folder / n for n in names if (folder / n).is_file()}
    if not files:
      raise FileNotFoundError(
        f"{folder} has no data file {pattern!r}, which its README.md names\n"
        f"known endings: {', '.join(endings)}"
      )
    found |= files
  return sorted(found)


def check_split(split: str, legal: Iterable[str], where: object) -> None:
  """Raises FileNotFoundError for a split that is none of the legal ones."""
  if split not in legal:
    raise FileNotFoundError(
      f"{where} has no split {split!r}; splits: {', '.join(legal) or 'none'}"
    )


def fetch(name: str, config: str, split: str, endings: Sequence[str]) -> Path:
  """The local folder of a hub data set, with what a split of it needs."""
  folder = _fetch(name, ["README.md"])
  base, patterns = wanted(folder, config, split)
  if patterns is None:
    patterns = [str(PurePosixPath(base) / f"*{e}") for e in endings]
  # The hub's `**/` is at least one folder, a card's may be none.
  return _fetch(name, [*patterns, *(p.replace("**/", "") for p in patterns)])


def _fetch(name: str, wanted: list[str]) -> Path:
  import huggingface_hub

  try:
    folder = huggingface_hub.snapshot_download(
      name,
      repo_type="dataset",
      allow_patterns=wanted,
      ignore_patterns=list(_CODE),
    )
  except Exception as error:  # of many kinds, over three libraries
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    raise FileNotFoundError(
      f"fetching the data set {name!r} from the hub failed: {reason}\n"
      "check the name (hf:OWNER/NAME) and the network (HF_TOKEN for gated "
      "data), or give a folder"
    ) from error
  return Path(folder)
