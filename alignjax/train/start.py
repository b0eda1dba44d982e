"""Where a run begins: anew, where it stopped, or with older weights."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from etils import epath
from jax.experimental import multihost_utils

from alignjax.checkpoint import Checkpoints, Found, refuse
from alignjax.step import State

RESUME = ("", "weights-only", "fresh-optimizer")
# What each mode must find as it was; the rest of a record may differ.
WEIGHTS = ("model", "frozen")
DATA = (*WEIGHTS, "tokenizer", "template", "data", "seed", "train.batch")
LOGS = ("metrics", "evaluations", "samples", "events")


def check(resume: str) -> None:
  """Raises ValueError for a mode there is not."""
  if resume not in RESUME:
    raise ValueError(
      f"--resume={resume!r} is unknown; one of {', '.join(RESUME[1:])}, "
      "or none: to go on as the run is."
    )


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
    differ. "weights-only" keeps the parameters alone and begins at step 0; the
    older run's checkpoints and logs are moved aside, to names with `before-`.
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
    refuse(found.record, _part(record, None))
    lines = [*found.passed, f"continuing after step {found.step}"]
    return checkpoints.restore(found.step, state), lines
  if resume == "fresh-optimizer":
    refuse(found.record, _part(record, DATA))
    back = checkpoints.restore(found.step, state, moments=False)
    line = f"continuing after step {found.step} with a fresh optimizer"
    return back, [*found.passed, line]
  if found is not None:
    refuse(found.record, _part(record, WEIGHTS))
    older = _move(checkpoints.folder, found.step, workdir)
  with contextlib.closing(Checkpoints.reader(older)) as before:
    found = before.newest()
    refuse(found.record, _part(record, WEIGHTS))
    params = before.params(found.step, state.params)
  line = f"weights of step {found.step} of {older}; a run from step 0"
  return state._replace(params=params), [*found.passed, line]


def _goes_on(found: Found, record: Mapping, resume: str) -> bool:
  """Whether the run is to go on as it is; its own differences are refused."""
  if not resume:
    return True
  own = found.record.get("resume") == resume
  return own and all(found.record.get(k) == v for k, v in record.items())


def _part(record: Mapping[str, str], names: Sequence[str] | None) -> dict:
  """The entries called, or in a block called, by one of `names`."""
  return {
    k: v
    for k, v in record.items()
    if (k != "resume" if names is None else k.startswith(tuple(names)))
  }


def _older(folder: epath.Path) -> epath.Path | None:
  """The newest of the folders `_move` has left."""
  if not folder.parent.exists():
    return None
  steps = {
    int(p.name.rpartition("-")[2]): p
    for p in folder.parent.iterdir()
    if p.name.startswith(f"{folder.name}.before-")
  }
  return steps[max(steps)] if steps else None


def _move(folder: epath.Path, step: int, workdir: Path) -> epath.Path:
  """Renames checkpoints, then logs; nothing that is there is overwritten."""
  aside = folder.parent / f"{folder.name}.before-{step}"
  if aside.exists():
    raise ValueError(
      f"{aside} is there already.\nRename it, or use another --workdir."
    )
  if jax.process_index() == 0:
    for name in LOGS:
      file = workdir / f"{name}.jsonl"
      target = workdir / f"{name}.before-{step}.jsonl"
      if file.exists():
        file.rename(target)
    folder.rename(aside)
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices("older run moved aside")
  return aside
