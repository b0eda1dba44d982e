"""TensorBoard's events: a view of the rows, which the disk may refuse."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

FLUSH_EVERY_S = 10.0


class Events:
  """Scalars and texts, written by the caller.

  tensorboardX's SummaryWriter is not used: its thread ends at the first write
  that fails, and then who adds to its queue waits for ever.

  first: the first step to come; what TensorBoard has from there on is hidden.
  say: told once where the disk refuses; no more is written then.
  """

  def __init__(self, folder: Path, first: int, say: Callable[[str], None]):
    self._folder, self._say, self._file = folder, say, None
    self._flushed = time.monotonic()
    try:
      folder.mkdir(parents=True, exist_ok=True)
      self._file = EventsWriter(str(folder / "events"))
    except OSError as error:
      self._give_up(error)
    self._write(Event(step=first, file_version="brain.Event:2"))
    start = SessionLog(status=SessionLog.START)
    self._write(Event(step=first, session_log=start))

  def scalars(self, step: int, values: Mapping[str, int | float]) -> None:
    """Those that are finite; the rest is in the rows."""
    for name, x in values.items():
      if math.isfinite(x):
        self._write(Event(step=step, summary=summary.scalar(name, x)))

  def text(self, step: int, name: str, text: str) -> None:
    """A text, under its name."""
    self._write(Event(step=step, summary=summary.text(name, text)))

  def close(self) -> None:
    """Writes what is left; nothing is written after it."""
    if self._file is not None:
      try:
        self._file.close()
      except OSError as error:
        self._give_up(error)

  def _write(self, event: Event) -> None:
    if self._file is None:
      return
    event.wall_time = time.time()
    try:
      self._file.write_event(event)
      if time.monotonic() - self._flushed >= FLUSH_EVERY_S:
        self._file.flush()
        self._flushed = time.monotonic()
    except OSError as error:
      self._give_up(error)

  def _give_up(self, error: OSError) -> None:
    self._file = None
    self._say(f"{self._folder}: {error.strerror}; TensorBoard gets no more")
