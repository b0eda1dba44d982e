"""Rows of a source as tokens, in this process or in several.

What is done to a row does not depend on how many processes share the work, and
its results come in the order of the source.
"""

import itertools
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import pyarrow as pa

from alignjax.data import chat, pairs
from alignjax.data.bad import BadRow, Record
from alignjax.data.preferences import Judged, Preference
from alignjax.data.rows import record_batch
from alignjax.data.templates import Template, load_template
from alignjax.types import Example, Row

CHUNK = 256  # rows a task
ROWS = ("examples", "pairs", "judged", "judged+kl")
Item = Example | Preference | Judged
ALONE_S = 3.0  # of work before processes are started, which takes as long


class Rules(NamedTuple):
  """How rows become tokens; the fields are keys of `config.data`.

  rows: what a row of the source is; of `ROWS`. ranked: which answers of a
  ranked list make pairs; of `compared.PAIRS`.
  """

  train_on: str
  max_length: int
  too_long: str
  rows: str = "examples"
  ranked: str = "all"


class Chunk(NamedTuple):
  """What some rows of a source became.

  read: rows there were. dropped, cut: how many of them were left out, and how
    many split or truncated, for their length.
  """

  rows: pa.RecordBatch
  bad: list[Record]
  read: int
  dropped: int
  cut: int


def tokenise(
  items: Iterable[Item | BadRow],
  tokenizer: Any,
  template: Template,
  rules: Rules,
  *,
  workers: int,
) -> Iterator[Chunk]:
  """Chunks of a source, in its order.

  items: what rows say, and rows that were found bad before, which pass through.
  workers: processes; 0 is one a core for what is left after `ALONE_S`. Two
    chunks a process are on their way at a time, so memory stays bounded.

  Raises ValueError where config or tokenizer are at fault; a bad row is in
  `Chunk.bad`.
  """
  if workers < 0:
    raise ValueError(
      f"data.workers = {workers}; it is a number of processes, 0 = one a core."
    )
  items = iter(items)
  chunks = iter(lambda: list(itertools.islice(items, CHUNK)), [])
  alone = math.inf if 1 in (workers, cores()) else 0 if workers else ALONE_S
  start = time.monotonic()
  while time.monotonic() - start < alone:
    chunk = next(chunks, None)
    if chunk is None:
      return
    yield encode(chunk, tokenizer, template, rules)
  first = next(chunks, None)
  if first is not None:
    chunks = itertools.chain([first], chunks)
    yield from _spread(chunks, tokenizer, template, rules, workers or cores())


def encode(
  items: list[Item | BadRow],
  tokenizer: Any,
  template: Template,
  rules: Rules,
) -> Chunk:
  """One chunk."""
  rows, bad, dropped, cut = [], [], 0, 0
  for item in items:
    try:
      if isinstance(item, BadRow):
        raise item
      if isinstance(item, Example):
        kept, long = _example(item, tokenizer, template, rules)
      else:
        limits = rules.max_length, rules.too_long
        kept, long = pairs.encode(item, tokenizer, template, *limits)
    except BadRow as e:
      bad.append(Record(e.origin, e.kind, e.reason, e.raw))
      continue
    dropped += not kept
    cut += bool(kept) and long
    rows += kept
  return Chunk(record_batch(rows), bad, len(items), dropped, cut)


def _example(
  item: Example, tokenizer: Any, template: Template, rules: Rules
) -> tuple[list[Row], bool]:
  """Rows of an example, and whether it was too long."""
  row = chat.encode(item, tokenizer, template, train_on=rules.train_on)
  kept = chat.fit(row, rules.max_length, rules.too_long)
  if not kept and rules.too_long == "truncate":
    reason = f"nothing to train on is left of it at {rules.max_length} "
    reason += "tokens\nraise data.max_length, or remove the row"
    raw = item.text or str(list(item.messages))
    raise BadRow(item.origin, "nothing left", reason, raw)
  return kept, len(row.tokens) > rules.max_length


def cores() -> int:
  """Cores this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _spread(
  chunks: Iterable[list], tokenizer, template, rules, workers: int
) -> Iterator[Chunk]:
  """Chunks encoded by processes, each started anew: a fork of a process that
  runs JAX may hang."""
  pool = ProcessPoolExecutor(
    workers,
    multiprocessing.get_context("spawn"),
    _start,
    (tokenizer, template.name, rules),
  )
  waiting = deque()
  try:
    for chunk in chunks:
      # An exception does not survive the way to another process as it is.
      packed = [
        Record(i.origin, i.kind, i.reason, i.raw)
        if isinstance(i, BadRow)
        else i
        for i in chunk
      ]
      waiting.append(pool.submit(_work, packed))
      if len(waiting) > 2 * workers:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()
  except BrokenProcessPool as error:
    raise RuntimeError(
      "A process that tokenises died, for want of memory perhaps.\n"
      "Set data.workers=1, or to fewer than the cores."
    ) from error
  finally:
    pool.shutdown(wait=True, cancel_futures=True)


# What a worker process keeps between its tasks; empty in any other process.
_kept: list = []


def _start(tokenizer, template: str, rules: Rules) -> None:
  """Prepares a worker: its template is compiled, as that cannot be sent."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
  threading.Thread(target=_end_with_parent, daemon=True).start()
  name = None if template == "tokenizer" else template
  _kept[:] = tokenizer, load_template(name, tokenizer), rules


def _end_with_parent() -> None:
  """A worker whose parent was killed would wait for work for ever."""
  wait([multiprocessing.parent_process().sentinel])
  os._exit(1)


def _work(items: list) -> Chunk:
  return encode(
    [BadRow(*i) if isinstance(i, Record) else i for i in items], *_kept
  )
