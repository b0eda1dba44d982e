"""`--hosts`: one command on several hosts is one run."""

import os
import sys
import threading
import time

from alignjax.cli.arguments import quiet

# A host that is silent for so long is lost, and the others end.
LOST_S, BEAT_S = 20, 4
ALIVE = "alignjax/alive"


def join(given: str) -> None:
  """Meets the other hosts, before jax looks for devices.

  given: "" for a run of this host alone; "auto" where a TPU VM, SLURM,
    Kubernetes or Open MPI says who the others are; or ADDRESS:PORT,N,I, by
    hand: where host 0 listens, how many there are, and which this is.

  Raises ValueError for another form, and where this is one of many processes
  that nobody told so.
  """
  if not given:
    alone()
    return
  address, *numbers = given.split(",")
  by_hand = {}
  if given != "auto":
    told = len(numbers) == 2 and ":" in address
    if not (told and all(n.isdecimal() for n in numbers)):
      raise ValueError(
        f"--hosts={given} is not auto, or ADDRESS:PORT,N,I: where host 0\n"
        "listens, how many hosts there are, and which one this is, from 0."
      )
    n, i = map(int, numbers)
    if i >= n:
      raise ValueError(f"--hosts={given}: host {i} is not one of 0 to {n - 1}.")
    by_hand = dict(coordinator_address=address, num_processes=n, process_id=i)
  quiet()
  import jax

  jax.distributed.initialize(**by_hand, heartbeat_timeout_seconds=5 * LOST_S)
  Watch().start()


def alone() -> None:
  """Raises where several processes were started and each would run alone."""
  named = os.environ.get("TPU_WORKER_HOSTNAMES", "")
  counts = {
    "SLURM": int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1),
    "Open MPI": int(os.environ.get("OMPI_COMM_WORLD_SIZE") or 1),
    "This TPU": len(named.split(",")),
  }
  for by, n in counts.items():
    if n > 1:
      raise ValueError(
        f"{by} started {n} processes, and each would run alone in one folder.\n"
        "Give --hosts=auto, so that they are one run."
      )


class Watch(threading.Thread):
  """Shows the others that this host lives, and ends it where one does not.

  What waits for a lost host in a collective waits for ever. Where host 0 is
  lost, which keeps the keys, jax aborts the others at once.
  """

  def __init__(self):
    super().__init__(daemon=True)
    # No public way to the coordination service.
    from jax._src.distributed import global_state

    self.client, self.host = global_state.client, global_state.process_id

  def run(self) -> None:
    seen, beat = {}, 0
    while True:
      now, beat = time.monotonic(), beat + 1
      try:
        key = f"{ALIVE}/{self.host}"
        self.client.key_value_set(key, str(beat), allow_overwrite=True)
        heard = self.client.key_value_dir_get(f"{ALIVE}/")
      except Exception:
        end("host 0")
      for name, text in heard:
        if seen.get(name, ("",))[0] != text:
          seen[name] = text, now
        elif now - seen[name][1] > LOST_S:
          end(f"host {name.rpartition('/')[2]}")
      time.sleep(BEAT_S)


def end(who: str) -> None:
  """Ends this process at once, as what can be tried again."""
  from alignjax.train.signals import EXIT_STOPPED

  print(
    f"error: {who} was lost. The same command on all hosts, also on another\n"
    "  number of them, goes on from the newest checkpoint.",
    file=sys.stderr,
  )
  leave(EXIT_STOPPED)


def leave(status: int) -> None:
  """Ends this process, which would wait for others that wait for it.

  Host 0 keeps the keys and goes last, or jax would abort the others before they
  have said why they end.
  """
  from jax._src.distributed import global_state

  sys.stderr.flush()
  if global_state.client is not None and global_state.process_id == 0:
    time.sleep(BEAT_S + 1)
  os._exit(status)
