"""Where a run begins: anew, where it stopped, or with older weights."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from alignjax.build.record import flat
from alignjax.checkpoint import Checkpoints, Found, differing, refuse
from alignjax.checkpoint.hosts import Meeting, draw_name
from alignjax.step import State

RESUME = ("", "weights-only", "fresh-optimizer")
# What each mode must find as it was; the rest of a record may differ.
WEIGHTS = ("model", "frozen")
DATA = (
  "reference",
  *WEIGHTS,
  "tokenizer",
  "template",
  "data",
  "seed",
  "train.batch",
)
FILES = (
  "metrics.jsonl",
  "evaluations.jsonl",
  "samples.jsonl",
  "events.jsonl",
  "config.json",
  "run.json",
)


def check(resume: str) -> None:
  """Raises ValueError for a mode there is not."""
  if resume not in RESUME:
    raise ValueError(
      f"--resume={resume!r} is unknown; one of {', '.join(RESUME[1:])}, "
      "or none: to go on as the run is."
    )


def agree(config: ConfigDict, resume: str) -> None:
  """Raises ValueError on all hosts where one has another config or code."""
  if jax.process_count() == 1:
    return
  digest = hashlib.sha256()
  package = Path(__file__).parents[1]
  for file in sorted(package.rglob("*.py")):
    digest.update(str(file.relative_to(package)).encode() + file.read_bytes())
  facts = {f"config.{key}": value for key, value in flat(config).items()}
  facts |= {"--resume": resume, "code of alignjax": digest.hexdigest()[:12]}
  facts |= {"jax": jax.__version__, "devices": jax.local_device_count()}
  Meeting(draw_name()).agree(facts)


def begin(
  checkpoints: Checkpoints,
  state: State,
  record: Mapping[str, str],
  resume: str,
  workdir: Path,
) -> tuple[State, list[str]]:
  """The state to go on from (`state.data` tells where), and lines to be said.

  state: of a run from its beginning. record: what a checkpoint must agree with.
  resume: "" refuses whatever differs. "fresh-optimizer" keeps parameters, step
    and data position and makes new moments; optimizer, schedule and loss may
    differ. "weights-only" keeps the parameters alone and begins at step 0, with
    the reference of the config; the older run's checkpoints and logs are moved
    aside, to names with `before-1`, `before-2` and so on.
    Once the run has a checkpoint made under the same mode, it just goes on.

  Raises ValueError naming what differs; FileNotFoundError where `resume` finds
  nothing to go on from.
  """
  found, older = checkpoints.newest(), _older(checkpoints.folder)
  if found is None and not resume and older is None:
    return state, []
  if found is None and resume != "weights-only" or not (found or older):
    there = f"{checkpoints.folder} holds no checkpoint"
    if older is not None:
      there += f" of this run, which began with the weights of {older}"
    raise FileNotFoundError(
      f"{there}.\nGive --resume=weights-only where there are older weights, no "
      "--resume in a fresh folder, or another --workdir."
    )
  if found is not None and _goes_on(found, record, resume):
    refuse(*_both(found, record, None))
    lines = [*found.passed, f"continuing after step {found.step}"]
    return checkpoints.restore(found.step, state), lines
  if resume == "fresh-optimizer":
    refuse(*_both(found, record, DATA))
    back = checkpoints.restore(found.step, state, moments=False)
    line = f"continuing after step {found.step} with a fresh optimizer"
    return back, [*found.passed, line]
  if found is not None:
    refuse(*_both(found, record, WEIGHTS))
    older = _move(checkpoints.folder, older, workdir)
  with contextlib.closing(Checkpoints.reader(older)) as before:
    found = before.newest()
    refuse(*_both(found, record, WEIGHTS))
    params = before.params(found.step, state.params)
  line = f"weights of step {found.step} of {older}; a run from step 0"
  return state._replace(params=params), [*found.passed, line]


def first_step(state: State, steps: int) -> int:
  """Steps done; raises ValueError where they are more than `steps`."""
  done = int(state.data)
  if done > steps:
    raise ValueError(
      f"train.steps = {steps}, and the run's checkpoint is of step {done}.\n"
      f"Give {done} or more, or another --workdir."
    )
  return done


def _goes_on(found: Found, record: Mapping, resume: str) -> bool:
  """Whether the run is to go on as it is; its own differences are refused."""
  if not resume:
    return True
  own = found.record.get("resume") == resume
  return own and not differing(*_both(found, record, None))


def _both(
  found: Found, record: Mapping, names: Sequence[str] | None
) -> tuple[dict, dict]:
  """What a checkpoint and a config say of all there is, or of `names`.

  names: of entries or of their blocks. What only the checkpoint has (a loss, a
    part of a mixture) is None of the config.
  """
  there, here = (
    {
      k: v
      for k, v in one.items()
      if (k != "resume" if names is None else k.startswith(tuple(names)))
    }
    for one in (found.record, record)
  )
  return there, {k: None for k in there if k not in here} | here


def _older(folder: epath.Path) -> epath.Path | None:
  """The last of the folders `_move` has left."""
  found = {}
  for path in folder.parent.iterdir() if folder.parent.exists() else ():
    name, _, number = path.name.rpartition(".before-")
    if name == folder.name and number.isdecimal():
      found[int(number)] = path
  return found[max(found)] if found else None


def _move(
  folder: epath.Path, older: epath.Path | None, workdir: Path
) -> epath.Path:
  """Renames logs, then checkpoints; nothing that is there is overwritten."""
  number = int(older.name.rpartition("-")[2]) + 1 if older else 1
  aside = folder.parent / f"{folder.name}.before-{number}"
  if jax.process_count() > 1:  # all have looked at the folder
    multihost_utils.sync_global_devices("older run is moved aside")
  if jax.process_index() == 0:
    for file in (workdir / name for name in FILES):
      if file.exists():
        file.rename(file.with_name(f"{file.stem}.before-{number}{file.suffix}"))
    folder.rename(aside)
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices("older run moved aside")
  return aside
