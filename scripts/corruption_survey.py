"""Damages checkpoints, one file at a time, and looks at what is restored.

  python scripts/corruption_survey.py [--seed 0] [--orbax]

Three steps of a small state are saved. Each case copies them, damages the
newest one, and restores as a run would; what comes back is compared, bit by
bit, with what was saved for that step. Every kind of file is hit in turn. With
--orbax the same is done to a plain orbax CheckpointManager. Prints a table and
exits with 1 where a case was silently wrong.
"""

import argparse
import collections
import contextlib
import itertools
import os
import random
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import numpy as np  # noqa: E402
import orbax.checkpoint as ocp  # noqa: E402

from alignjax.checkpoint import Checkpoints  # noqa: E402
from alignjax.step import State  # noqa: E402

STEPS = (1, 2, 3)
COUNTS = {
  "bit flipped": 60,
  "bit flipped in an array": 60,  # in the largest file, whatever its turn
  "cut short": 30,
  "block zeroed": 30,
  "deleted": 20,
  "two files exchanged": 10,
  "file of the step before": 10,
  "step folder emptied": 1,
  "step before under this name": 1,
}
RIGHT, BACK, REFUSED, WRONG = OUTCOMES = (
  "newest, right",
  "step before, damage named",
  "refused",
  "SILENTLY WRONG",
)


def state_of(step: int) -> State:
  """Arrays whose numbers tell their step; on the first device."""
  draw = np.random.default_rng(step)
  w = draw.normal(size=(256, 256)).astype(np.float32)
  fields = {k: np.float32([step, i]) for i, k in enumerate(State._fields)}
  fields |= dict(
    params={"layers": {"w": w, "b": w[0]}},
    frozen={},
    moments=({"mu": w * 2, "nu": w**2}, np.int32(step)),
  )
  return jax.device_put(State(**fields), jax.devices()[0])


def equal(found, step: int) -> bool:
  pairs = zip(jax.tree.leaves(found), jax.tree.leaves(state_of(step)))
  return all(np.array_equal(a, b) for a, b in pairs)


class Ours:
  """alignjax.checkpoint."""

  def save(self, folder: Path) -> None:
    checkpoints = Checkpoints(
      folder, keep=9, keep_every=0, on_error="stop", say=print
    )
    with contextlib.closing(checkpoints):
      for step in STEPS:
        checkpoints.save(step, state_of(step), {"seed": step})
      checkpoints.wait()

  def restore(self, folder: Path) -> tuple[int, State, list[str]]:
    with contextlib.closing(Checkpoints.reader(folder)) as checkpoints:
      found = checkpoints.newest()
      if found is None:
        raise ValueError("nothing was found")
      if found.record != {"seed": found.step}:
        return found.step, None, []
      state = checkpoints.restore(found.step, state_of(0))
      return found.step, state, found.passed


class Plain:
  """orbax's CheckpointManager."""

  def save(self, folder: Path) -> None:
    with contextlib.closing(ocp.CheckpointManager(folder)) as manager:
      for step in STEPS:
        manager.save(step, args=ocp.args.StandardSave(state_of(step)))
      manager.wait_until_finished()

  def restore(self, folder: Path) -> tuple[int, State, list[str]]:
    with contextlib.closing(ocp.CheckpointManager(folder)) as manager:
      step = manager.latest_step()
      args = ocp.args.StandardRestore(state_of(0))
      return step, manager.restore(step, args=args), []


def kind_of(name: str) -> str:
  """`params/d/ab12…` → `d/*`: the same for every array tree."""
  name = re.sub(r"[0-9a-f]{32}", "*", name)
  return re.sub(r"^(params|moments|rest|default)/", "", name)


def kinds(step: Path) -> dict[str, list[Path]]:
  """Files of a step by their kind."""
  found = collections.defaultdict(list)
  for file in sorted(p for p in step.rglob("*") if p.is_file()):
    found[kind_of(file.relative_to(step).as_posix())].append(file)
  return dict(sorted(found.items()))


def harm(damage: str, step: Path, file: Path, draw: random.Random) -> list[str]:
  """Damages a file of a step, or the step; names of what was touched."""
  data = bytearray(file.read_bytes())
  before = step.with_name(str(int(step.name) - 1))
  touched = [file.relative_to(step).as_posix()]
  if damage.startswith("bit flipped"):
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.write_bytes(data)
  elif damage == "cut short":
    file.write_bytes(data[: draw.randrange(len(data))])
  elif damage == "block zeroed":
    at = draw.randrange(len(data))
    length = len(data[at : at + draw.choice((16, 64, 512))])
    data[at : at + length] = bytes(length)
    file.write_bytes(data)
  elif damage == "deleted":
    file.unlink()
  elif damage == "two files exchanged":
    others = [p for p in kinds(step)[kind_of(touched[0])] if p != file]
    others = others or [p for fs in kinds(step).values() for p in fs]
    other = draw.choice([p for p in others if p != file])
    touched.append(other.relative_to(step).as_posix())
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)
  elif damage == "file of the step before":
    own = file.parent.relative_to(step)
    there = [
      p
      for p in kinds(before)[kind_of(touched[0])]
      if p.parent.relative_to(before) == own
    ]
    file.write_bytes(draw.choice(there).read_bytes())
  elif damage == "step folder emptied":
    shutil.rmtree(step)
    step.mkdir()
    touched = ["no commit marker"]
  elif damage == "step before under this name":
    shutil.rmtree(step)
    shutil.copytree(before, step)
    touched = ["COMMIT"]
  else:
    raise ValueError(f"{damage!r} is none of {', '.join(COUNTS)}.")
  return touched


def judge(library, folder: Path, touched: list[str]) -> str:
  """Restores; the outcome."""
  try:
    step, state, passed = library.restore(folder)
  except Exception:  # whatever it is, it was not silent
    return REFUSED
  if state is None or not equal(state, step):
    return WRONG
  if step == STEPS[-1]:
    return RIGHT
  named = passed and (
    "no commit marker" in passed[0] or any(n in passed[0] for n in touched)
  )
  return BACK if named else "step before, not named"


def survey(library, seed: int, counts: dict[str, int]) -> list[tuple]:
  """(damage, kind of file, outcome) of every case."""
  draw, found = random.Random(seed), []
  with tempfile.TemporaryDirectory() as place:
    base, copy = Path(place, "base"), Path(place, "copy")
    library.save(base)
    newest = str(STEPS[-1])
    every = itertools.cycle(kinds(base / newest))
    for damage, count in counts.items():
      while count:
        shutil.copytree(base, copy)
        kind = next(every)
        file = draw.choice(kinds(copy / newest)[kind])
        if damage.endswith("array"):
          files = sum(kinds(copy / newest).values(), [])
          file = max(files, key=lambda p: p.stat().st_size)
          kind = kind_of(file.relative_to(copy / newest).as_posix())
        if damage.startswith("step"):
          kind = "the whole folder"
        touched = harm(damage, copy / newest, file, draw)
        if any(_differ(base / newest, copy / newest)):
          found.append((damage, kind, judge(library, copy, touched)))
          count -= 1
        shutil.rmtree(copy)
  return found


def _differ(a: Path, b: Path):
  """Whether files of two folders differ, a file at a time."""
  for file in (p for p in a.rglob("*") if p.is_file()):
    other = b / file.relative_to(a)
    yield not other.exists() or other.read_bytes() != file.read_bytes()


def table(found: list[tuple], column: int, title: str) -> str:
  """Outcomes counted by damage (column 0) or by kind of file (1)."""
  outcomes = sorted(
    {*OUTCOMES, *(row[2] for row in found)},
    key=lambda o: OUTCOMES.index(o) if o in OUTCOMES else len(OUTCOMES),
  )
  lines = [f"| {title} | cases | {' | '.join(outcomes)} |"]
  lines.append("| --- |" + " ---: |" * (len(outcomes) + 1))
  for name in [*dict.fromkeys(row[column] for row in found), "all"]:
    rows = [r for r in found if name in (r[column], "all")]
    count = collections.Counter(r[2] for r in rows)
    cells = [name, str(len(rows)), *(str(count[o]) for o in outcomes)]
    lines.append(f"| {' | '.join(cells)} |")
  return "\n".join(lines)


def main() -> int:
  p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  p.add_argument("--seed", type=int, default=0)
  p.add_argument("--orbax", action="store_true", help="CheckpointManager")
  a = p.parse_args()
  found = survey(Plain() if a.orbax else Ours(), a.seed, COUNTS)
  names = ("jax", "orbax-checkpoint", "tensorstore")
  print(f"seed {a.seed}; " + ", ".join(f"{n} {version(n)}" for n in names))
  print(f"\n{table(found, 0, 'damage')}\n\n{table(found, 1, 'file')}")
  return int(any(outcome == WRONG for *_, outcome in found))


if __name__ == "__main__":
  sys.exit(main())
