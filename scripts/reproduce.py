"""Runs a finished run again: `python scripts/reproduce.py RUN [--out DIR]`.

The config.json of the folder is trained anew with the present code, in a folder
of its own (a temporary one without --out), and metrics.jsonl and
evaluations.jsonl are compared row by row, to the digit, but for times. Exit
status 0 where all numbers agree, 1 otherwise.

Run it where the run was started: paths of a config are relative. Functions of
your own (readers, rewards, losses) must be found on PYTHONPATH. A GPU repeats
itself with XLA_FLAGS=--xla_gpu_deterministic_ops=true alone.
"""

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from alignjax import build  # noqa: E402
from alignjax.cli.arguments import quiet  # noqa: E402
from alignjax.log import environment, read_metrics  # noqa: E402
from alignjax.train import train  # noqa: E402

FILES = ("metrics.jsonl", "evaluations.jsonl")
NOT_COMPARED = ("step", "wall_s", "step_s", "tokens_per_s")
SHOWN = 5  # differences
ABSENT = "absent"


class Difference(NamedTuple):
  """A value that differs; `ABSENT` where a run has no such row or name."""

  file: str
  step: int
  name: str
  before: object
  now: object

  def __str__(self) -> str:
    held = "" if self.file == FILES[0] else "held-out "
    before, now = told(self.before, self.now)
    return f"step {self.step}: {held}{self.name} {before} → {now}"

  @property
  def relative(self) -> float:
    """|difference| / the larger magnitude; ∞ where one is no number."""
    pair = self.before, self.now
    if not all(isinstance(x, int | float) for x in pair):
      return math.inf
    return abs(self.before - self.now) / max(map(abs, pair))


def told(before: object, now: object) -> tuple[str, str]:
  """Both values, with as many digits (4 at least) as tell them apart."""
  if all(isinstance(x, float) for x in (before, now)):
    for digits in range(4, 17):
      pair = f"{before:.{digits}g}", f"{now:.{digits}g}"
      if pair[0] != pair[1]:
        return pair
  return str(before), str(now)


def config_of(workdir: Path) -> ConfigDict:
  """The config of a run, which touches nothing but the new folder."""
  file = workdir / "config.json"
  if not file.is_file():
    raise FileNotFoundError(f"{workdir} is not a run: it has no config.json.")
  config = ConfigDict(_tuples(json.loads(file.read_text("utf-8"))))
  config.checkpoint.folder, config.checkpoint.every = "", 0
  config.log.tensorboard, config.log.wandb = False, ""
  return config.lock()


def _tuples(value):
  """The same with tuples for lists, as configs have them."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def changes(run: Mapping, now: Mapping) -> Iterator[str]:
  """Lines on what a run was made of and what is otherwise now."""
  before, here = _flat(run), _flat(now)
  for name in dict.fromkeys([*before, *here]):
    if before.get(name) != here.get(name):
      yield f"{name}: {before.get(name)} → {here.get(name)}"
  if run.get("dirty") or now.get("dirty"):
    yield "tracked files were changed since the commit: " + " and ".join(
      when for when, x in (("then", run), ("now", now)) if x.get("dirty")
    )
  if any("--resume" in r["command"] for r in (run, *run.get("earlier", ()))):
    yield "it began with the state of another run (--resume); this one does not"


def _flat(run: Mapping) -> dict:
  devices = Counter(run["devices"])
  return {
    **{name: run.get(name) for name in ("python", "platform", "commit")},
    **run["packages"],
    "devices": ", ".join(f"{n} {kind}" for kind, n in devices.items()),
    "hosts": run["hosts"],
  }


def compare(before: Path, now: Path) -> tuple[int, int, list[Difference]]:
  """(steps, numbers, differences in their order) of two run folders."""
  steps, numbers, found = 0, 0, []
  for file in FILES:
    old, new = _rows(before / file), _rows(now / file)
    steps = steps or len(old | new)
    for step in old | new:
      sides = old.get(step, {}), new.get(step, {})
      for name in dict.fromkeys([*sides[0], *sides[1]]):
        if name in NOT_COMPARED:
          continue
        numbers += 1
        pair = [side.get(name, ABSENT) for side in sides]
        if pair[0] != pair[1]:
          found.append(Difference(file, step, name, *pair))
  return steps, numbers, sorted(found, key=lambda d: d.step)


def _rows(file: Path) -> dict[int, dict]:
  rows = read_metrics(file) if file.exists() else []
  return {row["step"]: row for row in rows}


def verdict(steps: int, numbers: int, found: Sequence[Difference]) -> str:
  """The last line."""
  if not found:
    return f"reproduced: {steps} steps, {numbers} numbers, to the digit"
  largest = max(d.relative for d in found)
  by = f"by up to {largest:.2g} of their size"
  return f"not reproduced: {len(found)} of {numbers} numbers differ, {by}"


def reproduce(workdir: Path, out: Path) -> int:
  """Trains into `out`, says what differs, returns the exit status."""
  config = config_of(workdir)
  if out.exists() and any(out.iterdir()):
    raise FileExistsError(f"{out} is not empty; give a new folder by --out.")
  if not _rows(workdir / FILES[0]):
    raise ValueError(f"{workdir} has no row in {FILES[0]}: nothing to compare.")
  devices = build.placement(config).mesh.devices.flat
  now = environment() | {
    "devices": [str(d.device_kind) for d in devices],
    "hosts": jax.process_count(),
  }
  run = json.loads((workdir / "run.json").read_text("utf-8"))
  for line in changes(run, now):
    print(f"warning: {line}", flush=True)
  train(config, out)
  steps, numbers, found = compare(workdir, out)
  for difference in found[:SHOWN]:
    print(difference)
  print(verdict(steps, numbers, found))
  return int(bool(found))


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("workdir", type=Path, metavar="RUN")
  parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder")
  options = parser.parse_args(argv)
  quiet()
  if options.out:
    return reproduce(options.workdir, options.out)
  with tempfile.TemporaryDirectory(prefix="reproduced-") as folder:
    return reproduce(options.workdir, Path(folder))


if __name__ == "__main__":
  sys.exit(main())
