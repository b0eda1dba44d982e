"""Hosts of a run that wait for each other, in any thread, and never for ever.

Collectives of the devices would do neither: from a second thread they mix
with those of training, and they have no timeout.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # no public way to the coordination service
from jax.experimental import multihost_utils

TIMEOUT = 900  # seconds that hosts wait for the slowest


class HostError(RuntimeError):
  """Another host failed, or did not come."""


class Meeting:
  """Meetings of all hosts, in one order; `name` is used once in a run."""

  def __init__(self, name: str):
    self._name, self._number = name, 0

  def share(self, work: Callable[[], Any]) -> list:
    """Does `work` on every host; what each found, in the order of hosts.

    Results are JSON values. Where it fails on one host it raises on all: the
    error itself there, HostError elsewhere.
    """
    mine = None
    try:
      said = {"found": work()}
    except HostError:
      raise  # all have heard of it
    except Exception as error:
      mine, said = error, {"error": f"{type(error).__name__}: {error}"}
    heard = [json.loads(text) for text in self._exchange(json.dumps(said))]
    if mine is not None:
      raise mine
    for host, said in enumerate(heard):
      if "error" in said:
        raise HostError(f"Host {host}: {said['error']}")
    return [said["found"] for said in heard]

  def tell(self, work: Callable[[], Any]) -> Any:
    """Does `work` on host 0; all hosts get what it found."""
    return self.share(lambda: work() if jax.process_index() == 0 else None)[0]

  def agree(self, mine: Mapping[str, Any]) -> None:
    """Raises ValueError on all hosts where one has something otherwise."""
    heard = self.share(lambda: dict(mine))
    lines = [
      f"{key}: host {host} has {said.get(key)!r}, host 0 {value!r}"
      for host, said in enumerate(heard)
      for key, value in heard[0].items()
      if said.get(key) != value
    ]
    if lines:
      more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
      raise ValueError(
        "Hosts of one run differ:\n"
        + "\n".join(lines[:3])
        + f"{more}\nGive all of them one command and one version of the code."
      )

  def _exchange(self, text: str) -> list[str]:
    if jax.process_count() == 1:
      return [text]
    client, host = distributed.global_state.client, jax.process_index()
    key = f"{self._name}/{self._number}"
    client.key_value_set(f"{key}/{host}", text)
    try:
      client.wait_at_barrier(key, int(TIMEOUT * 1000))
    except jax.errors.JaxRuntimeError as error:
      came = _by_host(client.key_value_dir_get(f"{key}/"))
      late = [str(h) for h in range(jax.process_count()) if h not in came]
      raise HostError(
        f"{self._name.split('/', 2)[-1]}: host {', '.join(late) or '?'} did "
        f"not come within {TIMEOUT} s."
      ) from error
    heard = _by_host(client.key_value_dir_get(f"{key}/"))
    if self._number:  # all have read the meeting before
      client.key_value_delete(f"{self._name}/{self._number - 1}/{host}")
    self._number += 1
    return [heard[h] for h in range(jax.process_count())]


def draw_name() -> str:
  """A name that no other object of this run has, the same on all hosts."""
  drawn = np.uint32(secrets.randbits(32))
  if jax.process_count() > 1:
    drawn = multihost_utils.broadcast_one_to_all(drawn)
  return f"alignjax/{int(drawn):08x}"


def _by_host(pairs) -> dict[int, str]:
  return {int(key.rsplit("/", 1)[1]): text for key, text in pairs}
