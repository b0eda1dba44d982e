"""What a run was made of: versions, commit, command, configuration."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from alignjax.log.records import replace_file

PACKAGES = (
  "alignjax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "grain",
  "transformers",
  "tokenizers",
  "safetensors",
  "gguf",
  "ml-collections",
  "numpy",
)


def environment() -> dict:
  """What produced a run: start time (UTC), command, versions, commit.

  Says nothing of the machine's or the user's name. `commit` and `dirty` (of
  tracked files) are there when alignjax runs from a git checkout.
  """
  command = [Path(sys.argv[0]).name, *sys.argv[1:]]
  made = {
    "started": datetime.now(UTC).isoformat(timespec="seconds"),
    "command": shlex.join(command),
    "python": platform.python_version(),
    "platform": platform.platform(),
    "packages": {},
  }
  for name in PACKAGES:
    try:
      made["packages"][name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  root = Path(__file__).resolve().parents[2]
  if (root / ".git").exists():
    try:
      made["commit"] = _git(root, "rev-parse", "HEAD")
      changes = _git(root, "status", "--porcelain", "--untracked-files=no")
      made["dirty"] = bool(changes)
    except (OSError, subprocess.SubprocessError):
      pass  # no git, or a checkout of another user
  return made


def _git(root: Path, *arguments: str) -> str:
  command = ["git", "-C", str(root), *arguments]
  done = subprocess.run(command, capture_output=True, check=True, timeout=10)
  return done.stdout.decode().strip()


def write_run(
  workdir: str | Path,
  config_json: str,
  extra: Mapping[str, Any],
  *,
  resumed: bool = False,
) -> None:
  """Writes config.json (resolved) and run.json: environment() and `extra`.

  `extra` is what only the caller knows, such as devices and mesh. Of a resumed
  run, what run.json said before goes to its list "earlier".

  Raises:
    ValueError: `config_json` is not JSON.
  """
  config = json.loads(config_json)
  workdir = Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  run = {**environment(), **extra}
  if resumed and (workdir / "run.json").exists():
    before = json.loads((workdir / "run.json").read_text("utf-8"))
    run["earlier"] = [*before.pop("earlier", []), before]
  for name, value in (("config.json", config), ("run.json", run)):
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    replace_file(workdir / name, text + "\n")
