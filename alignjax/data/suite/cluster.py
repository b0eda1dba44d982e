"""What a cluster of tasks is: templates, instances, a metric."""

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Instance(NamedTuple):
  """One question before it is worded.

  key: the fact behind it; everything with one key lands in one split.
  slots: what fills the templates.
  answers: accepted golds, the one to learn first.
  wrong: a plausible answer that is wrong (or, in refusals, unsafe).
  """

  key: str
  slots: dict[str, str]
  answers: tuple[str, ...]
  wrong: str


class Cluster(NamedTuple):
  """Tasks of one kind.

  metric: a name that `alignjax.metrics.score` knows.
  templates: phrasings with `{slot}` fields, shared by both splits.
  instances: enumerates every instance, in any order, without duplicates.
  reasons: why the rejected answer is worse; repeats make a reason likelier.
  """

  name: str
  metric: str
  templates: tuple[str, ...]
  instances: Callable[[], Iterator[Instance]]
  reasons: tuple[str, ...] = ("wrong", "wrong", "rude", "long-winded")
