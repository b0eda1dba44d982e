"""Checkpoints of a training state (orbax, asynchronous)."""

from collections.abc import Mapping
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from alignjax.step import State


class Checkpoints:
  """The `checkpoints` folder of a run.

  What is trained is saved (step, parameters, moments), with a small record of
  the run it belongs to; frozen weights are loaded again from where they came.
  """

  def __init__(self, folder: Path, *, keep: int, keep_every: int):
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep, keep_period=keep_every or None
    )
    self._manager = ocp.CheckpointManager(
      Path(folder).absolute(), options=options
    )

  def latest(self) -> int | None:
    """The newest step saved, None in a fresh folder."""
    return self._manager.latest_step()

  def save(self, state: State, record: Mapping) -> None:
    """Starts saving; arrays are copied off the devices before it returns."""
    step = int(state.step)
    if self.latest() == step:
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardSave(state.params),
        rest=ocp.args.StandardSave(_rest(state)),
        record=ocp.args.JsonSave(dict(record)),
      ),
    )

  def restore(self, state: State, record: Mapping) -> State:
    """The newest checkpoint, laid out as `state` is.

    Raises ValueError where its record differs from `record`.
    """
    step = self.latest()
    found = self._manager.restore(
      step, args=ocp.args.Composite(record=ocp.args.JsonRestore())
    )["record"]
    differing = [k for k in record if found.get(k) != record[k]]
    if differing:
      k = differing[0]
      raise ValueError(
        f"The run's checkpoint was made with {k} = {found.get(k)!r}; the "
        f"config says {record[k]!r}.\nUse another --workdir, or the first "
        "value."
      )
    saved = self._manager.restore(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardRestore(_like(state.params)),
        rest=ocp.args.StandardRestore(_like(_rest(state))),
      ),
    )
    return state._replace(params=saved["params"], **saved["rest"])

  def params(self, like: dict) -> dict:
    """The trained parameters alone, laid out as the tree `like` is."""
    saved = self._manager.restore(
      self.latest(),
      args=ocp.args.Composite(params=ocp.args.StandardRestore(_like(like))),
    )
    return saved["params"]

  def wait(self) -> None:
    """Until what was started is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    self._manager.close()


def _rest(state: State) -> dict:
  return dict(step=state.step, moments=state.moments)


def _like(tree):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
  )
