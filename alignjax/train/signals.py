"""SIGTERM and SIGINT during a run: save and stop; twice: at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

# sysexits.h, EX_TEMPFAIL: the same command goes on.
EXIT_STOPPED = 75


class Stopped(SystemExit):
  """A run that was told to stop, after its step was saved; exit status 75."""

  def __init__(self, step: int):
    super().__init__(EXIT_STOPPED)
    self.step = step


class Signals:
  """While it is entered, the first signal sets `asked`.

  The second ends the process at once with 128 + its number, whatever the main
  thread is doing: a handler of Python's would wait for a compilation to end.
  Outside of the main thread nothing is caught.
  """

  CAUGHT = (signal.SIGTERM, signal.SIGINT)

  def __init__(self, say: Callable[[str], None]):
    self.say, self.asked = say, False

  def __enter__(self) -> "Signals":
    self._stack = contextlib.ExitStack()
    if threading.current_thread() is not threading.main_thread():
      return self
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for one in self.CAUGHT:
      before = signal.signal(one, self._ask)
      self._stack.callback(signal.signal, one, before)
    # Undone from the last to the first: no signal finds a pipe that is closed.
    self._stack.callback(os.close, writer)
    self._stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer))
    threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
    return self

  def __exit__(self, *error: object) -> None:
    self._stack.close()

  def _ask(self, *_: object) -> None:
    self.asked = True

  def _watch(self, reader: int) -> None:
    first = True
    while number := os.read(reader, 1):
      if number[0] not in self.CAUGHT:
        continue
      if not first:
        os._exit(128 + number[0])
      first = False
      name = signal.Signals(number[0]).name
      with contextlib.suppress(OSError):  # a terminal that is gone
        self.say(f"{name}: saving after this step; once more ends it at once")
    os.close(reader)

  def agreed(self) -> bool:
    """Whether any host was asked; all hosts call it at the same place."""
    if jax.process_count() == 1:
      return self.asked
    return bool(multihost_utils.process_allgather(np.int32(self.asked)).any())
