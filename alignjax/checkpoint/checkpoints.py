"""The folder of checkpoints: saved in the background, restored if whole."""

import contextlib
import errno
import json
import os
import threading
from collections.abc import Callable, Mapping

import jax

from alignjax.checkpoint import files, manifest, search
from alignjax.checkpoint.arrays import Arrays
from alignjax.checkpoint.hosts import Meeting, draw_name
from alignjax.checkpoint.record import RECORD
from alignjax.checkpoint.search import Found
from alignjax.checkpoint.steps import Steps, beyond
from alignjax.checkpoint.trouble import lost
from alignjax.step import State

ON_ERROR = ("stop", "continue")


def stage(name: str) -> None:
  """Called at the moments of a save; tests of crashes replace it."""


class Checkpoints:
  """The checkpoints of a run, one folder a step.

  What is trained is saved, with a small JSON record of the run it belongs to;
  frozen weights are loaded again from where they came. A step counts once its
  COMMIT marker is written, and is restored only where every file has the size
  and sha256 that were noted when it was saved. Every host of a run makes the
  same calls. Only `tidy` and `save` change the folder.

  keep: the newest steps that stay; keep_every: so do its multiples (0: none).
  on_error: whether a save that fails stops the run or is said and passed over.
  """

  def __init__(
    self,
    folder: str | os.PathLike,
    *,
    keep: int,
    keep_every: int,
    on_error: str,
    say: Callable[[str], None],
  ):
    if on_error not in ON_ERROR:
      raise ValueError(
        f"checkpoint.on_error = {on_error!r}; it is {' or '.join(ON_ERROR)}."
      )
    if keep < 1:
      raise ValueError(f"checkpoint.keep = {keep}; keep at least 1 checkpoint.")
    self._steps = Steps(files.open_folder(folder))
    self.folder = self._steps.folder
    self._keep, self._keep_every = keep, keep_every
    self._stops, self.say = on_error == "stop", say
    self._name = draw_name()
    self._hosts = Meeting(f"{self._name}/{self.folder.name}")
    self._saves = self._hosts  # each save has meetings of its own
    self._arrays = Arrays("params", "moments", "rest", meet=self._meet)
    self._thread: threading.Thread | None = None
    self._good: int | None = None  # the newest step known to be whole
    self._damaged: list[int] = []
    self._news: list[str] = []
    self._failure: tuple[int, Exception] | None = None

  @classmethod
  def reader(cls, folder: str | os.PathLike) -> "Checkpoints":
    """For those who only look: `newest`, `restore`, `params`."""
    return cls(
      folder, keep=1, keep_every=0, on_error="stop", say=lambda _: None
    )

  def steps(self) -> list[int]:
    """Committed steps, ascending; their files are not looked at."""
    return self._steps.committed()

  def newest(self) -> Found | None:
    """The newest step that verifies; None where nothing was ever committed.

    Raises ValueError where steps were committed and none of them verifies:
    training never starts again from nothing unasked.
    """
    found, self._damaged = search.newest(self._steps, self._hosts)
    return found

  def tidy(self) -> None:
    """Removes what saves cut short left, and says so.

    Steps that `newest` found damaged are put aside, as STEP.damaged.
    """
    for line in self._hosts.tell(self._tidied):
      self.say(line)

  def save(self, step: int, state: State, record: Mapping) -> None:
    """Starts saving; the arrays are off the devices when it returns.

    Waits for the save before. Nothing happens where the step is saved already.
    What goes wrong is told by `check`.
    """
    self.wait()
    text = json.dumps(dict(record), indent=1) + "\n"
    try:
      if self._hosts.tell(lambda: self._is_saved(step)):
        return
    except Exception as error:  # on all hosts
      self._failure = step, error
      return
    self._saves = Meeting(f"{self._name}/{self.folder.name}/{step}")
    failure = None
    try:
      stage("before write")
      trees = _trees(state)
      self._arrays.save(self._steps.path(step), trees)
    except Exception as error:  # on this one, perhaps: told where hosts meet
      failure = error
    self._thread = threading.Thread(
      target=self._finish, args=(step, text, failure), name=f"save-{step}"
    )
    self._thread.start()

  def restore(self, step: int, like: State, *, moments: bool = True) -> State:
    """A step that verified, laid out as `like`, whose frozen weights stay.

    moments: False keeps those of `like`.
    """
    wanted = _trees(like)
    if not moments:
      del wanted["moments"]
    found = self._arrays.restore(self._steps.path(step), wanted)
    self._good = step
    return like._replace(**found.pop("rest"), **found)

  def params(self, step: int, like: dict) -> dict:
    """The trained parameters of a step, laid out as the tree `like`."""
    wanted = dict(params=like)
    return self._arrays.restore(self._steps.path(step), wanted)["params"]

  def check(self) -> None:
    """Tells once what happened in the background since the last call.

    Raises OSError where a save failed and on_error is "stop".
    """
    news, self._news = self._news, []
    for line in news:
      self.say(line)
    if self._failure is None:
      return
    (step, error), self._failure = self._failure, None
    message = lost(f"{self.folder}/{step}", error, self._good)
    if self._stops:
      raise OSError(message) from error
    self.say(message)

  def wait(self) -> None:
    """Until what was started is on disk; then as `check`."""
    self._join()
    self.check()

  def close(self) -> None:
    """As `wait`, but what went wrong is said and never raised."""
    self._join()
    self._stops = False
    self.check()
    self._arrays.close()

  def _join(self) -> None:
    if self._thread is not None:
      self._thread.join()
    self._thread = None

  def _meet(self) -> None:
    self._saves.share(lambda: None)

  def _finish(self, step: int, record: str, failure: Exception | None) -> None:
    """The rest of a save, in its own thread."""
    try:
      self._commit(step, record, failure)
      self._good = step
      if jax.process_index() == 0:
        self._prune(step)
    except Exception as error:
      self._failure = step, error
      with contextlib.suppress(OSError):  # else the next save does it
        if jax.process_index() == 0:
          self._steps.clear()

  def _prune(self, new: int) -> None:
    whole = {*self._steps.committed()} - {*self._damaged}
    options = dict(keep=self._keep, keep_every=self._keep_every)
    try:
      for step in beyond(whole, new, **options):
        self._steps.remove(step)
    except OSError as error:  # what is saved is saved
      self._news.append(f"{self.folder} cannot be cleared: {error}")

  def _commit(self, step: int, record: str, failure: Exception | None) -> None:
    folder, meeting = self._steps.path(step), self._saves
    host = jax.process_index()

    def arrays():
      if failure is not None:
        raise failure
      self._arrays.wait()

    def manifests():
      if host == 0:
        files.write(folder / RECORD, record)
      found = manifest.measure(folder, host)
      stage("before manifest")
      return manifest.write(folder, host, found)

    meeting.share(arrays)
    stage("after arrays")
    digests = meeting.share(manifests)
    stage("before commit")
    meeting.tell(lambda: manifest.commit(folder, digests))
    stage("after commit")

  def _is_saved(self, step: int) -> bool:
    """Whether a step is committed; where it is not, makes room for it."""
    if self._good is not None and not self._steps.exists():
      raise FileNotFoundError(
        errno.ENOENT, "No such file or folder any more", str(self.folder)
      )
    if step in self._steps.committed():
      return True
    self._steps.make_room(step)
    return False

  def _tidied(self) -> list[str]:
    where = self.folder.name
    done = [
      f"{where}/{name}: removed, it was never whole"
      for name in self._steps.clear()
    ]
    for step in sorted({*self._damaged} & {*self._steps.committed()}):
      name = self._steps.put_aside(step)
      done.append(f"{where}/{step}: put aside as {name}")
    self._damaged = []
    return done


def _trees(state: State) -> dict:
  """What is saved of a state, each in a folder; `rest` is small, but
  for a reference that moves."""
  rest = state._asdict()
  del rest["frozen"]
  return {k: rest.pop(k) for k in ("params", "moments")} | {"rest": rest}
