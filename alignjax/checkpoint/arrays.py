"""Arrays of a step: orbax writes and reads them."""

import contextlib
from collections.abc import Callable, Mapping

import jax
import orbax.checkpoint as ocp
from etils import epath

from alignjax.sharding import path_name


class Arrays:
  """Named trees of arrays, each a folder of a step's folder.

  `meet` is called, in the thread that writes, where all hosts must have come.
  """

  def __init__(self, *names: str, meet: Callable[[], object]):
    options = ocp.options.AsyncOptions(
      barrier_sync_fn=lambda *, key, timeout_ms: meet(),
      # Where making them fails in the background, the threads that write wait
      # minutes for them, and so does the end of the process.
      create_directories_asynchronously=False,
    )
    handlers = {k: ocp.StandardCheckpointHandler() for k in names}
    self._orbax = ocp.AsyncCheckpointer(
      ocp.CompositeCheckpointHandler(**handlers), async_options=options
    )

  def save(self, folder: epath.Path, trees: Mapping) -> None:
    """Starts writing; the arrays are off the devices when it returns."""
    args = {k: ocp.args.StandardSave(v) for k, v in trees.items()}
    self._orbax.save(folder, args=ocp.args.Composite(**args))

  def wait(self) -> None:
    """Until what was started is written; raises what went wrong in it.

    Nothing writes any more when it raises.
    """
    try:
      self._orbax.wait_until_finished()
    except Exception:
      # orbax raises at the first of its writers that fails and leaves the
      # others writing; it has no public name for them.
      manager = getattr(self._orbax, "_async_manager", None)
      for writer in getattr(manager, "_commit_futures", None) or ():
        with contextlib.suppress(Exception):
          writer.result()
      raise

  def restore(self, folder: epath.Path, like: Mapping) -> dict:
    """Trees laid out as those of `like`.

    Raises ValueError where the step holds arrays of other names or shapes.
    """
    described = self._orbax.metadata(folder).item_metadata
    args = {}
    for name, tree in like.items():
      _refuse_other(
        f"{folder.parent.name}/{folder.name}", described[name], tree
      )
      args[name] = ocp.args.StandardRestore(jax.tree.map(_described, tree))
    found = self._orbax.restore(folder, args=ocp.args.Composite(**args))
    return {name: found[name] for name in like}

  def close(self) -> None:
    """Waits for what is being written, and lets go of the threads."""
    self._orbax.close()


def _described(x: jax.Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _refuse_other(where: str, saved, wanted) -> None:
  saved, wanted = _shapes(saved), _shapes(wanted)
  for name in sorted(saved.keys() | wanted.keys()):
    if saved.get(name) != wanted.get(name):
      raise ValueError(
        f"{where} holds {name} as {saved.get(name, 'nothing')}; this run "
        f"needs {wanted.get(name, 'nothing')}.\n"
        "Use the config that the checkpoint was made with, or another "
        "--workdir."
      )


def _shapes(tree) -> dict[str, str]:
  """`layers/0/w` → `float32[8, 4]`."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {path_name(p): f"{x.dtype}{list(x.shape)}" for p, x in leaves}
