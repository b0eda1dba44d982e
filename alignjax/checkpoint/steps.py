"""The steps of a folder of checkpoints, as one host sees and changes them."""

import re
from collections.abc import Collection

from etils import epath

from alignjax.checkpoint import files, manifest

STEP = re.compile(r"(0|[1-9][0-9]*)(\.orbax-checkpoint-tmp.*)?")


class Steps:
  """Committed steps, and what saves that were cut short left behind."""

  def __init__(self, folder: epath.Path):
    self.folder = folder

  def path(self, step: int) -> epath.Path:
    """The folder of a step, there or not."""
    return self.folder / str(step)

  def exists(self) -> bool:
    """Whether anything was ever saved here."""
    return self.folder.is_dir()

  def committed(self) -> list[int]:
    """Ascending."""
    names = [n for n in self._entries() if STEP.fullmatch(n)[2] is None]
    return sorted(int(n) for n in names if manifest.committed(self.folder / n))

  def leftovers(self) -> list[str]:
    """Names of folders that no commit marker makes a step."""
    whole = set(map(str, self.committed()))
    return [n for n in self._entries() if n not in whole]

  def newest_first(self) -> list[tuple[int, bool]]:
    """(step, whether it was committed) of all that is there."""
    found = {int(STEP.fullmatch(n)[1]): False for n in self.leftovers()}
    found |= dict.fromkeys(self.committed(), True)
    return sorted(found.items(), reverse=True)

  def remove(self, step: int) -> None:
    """The marker goes first: what a kill leaves is then no checkpoint."""
    (self.path(step) / manifest.COMMIT).unlink(missing_ok=True)
    self._discard(self.path(step))

  def clear(self) -> list[str]:
    """Removes what saves left that were cut short; the names of it."""
    names = self.leftovers()
    for name in names:
      self._discard(self.folder / name)
    return names

  def make_room(self, step: int) -> None:
    """Raises OSError where no folder can be made."""
    self.clear()
    trial = self.folder / f"{step}.orbax-checkpoint-tmp"
    trial.mkdir(parents=True)
    self._discard(trial)

  def put_aside(self, step: int) -> str:
    """Renames a damaged step; its new name."""
    taken, name, n = self._names(), f"{step}.damaged", 1
    while name in taken:
      n += 1
      name = f"{step}.damaged.{n}"
    self.path(step).rename(self.folder / name)
    files.sync(self.folder)
    return name

  def _discard(self, path: epath.Path) -> None:
    if path.is_dir():
      path.rmtree(missing_ok=True)
    else:
      path.unlink(missing_ok=True)

  def _names(self) -> list[str]:
    return [p.name for p in self.folder.iterdir()] if self.exists() else []

  def _entries(self) -> list[str]:
    return [n for n in self._names() if STEP.fullmatch(n)]


def beyond(
  steps: Collection[int], new: int, *, keep: int, keep_every: int
) -> list[int]:
  """Steps that are not kept once `new` is committed."""
  kept = {new, *sorted(steps)[-keep:]}
  return [
    step
    for step in sorted(steps)
    if step not in kept and not (keep_every and step % keep_every == 0)
  ]
