"""The built-in tasks: prompts, gold answers, worse answers, metrics.

Written for this project and generated from small tables and rules, so that
training, preferences and evaluation need no download and share one source of
truth. Everything is a function of (split, seed, clusters).
"""

import functools
from collections.abc import Sequence

from alignjax.data.suite import (
  dates,
  facts,
  inference,
  numbers,
  paraphrase,
  records,
  safety,
  sentiment,
  sequences,
  translation,
  words,
)
from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import digest, pick, side
from alignjax.data.suite.manner import long_winded, rude

_CLUSTERS: dict[str, Cluster] = {
  cluster.name: cluster
  for room in (
    numbers,
    sequences,
    dates,
    facts,
    translation,
    words,
    sentiment,
    inference,
    paraphrase,
    records,
    safety,
  )
  for cluster in room.CLUSTERS
}

# Rows a cluster that n=None stands for; every cluster has at least these.
DEFAULT_ROWS = {"train": 200, "heldout": 30}


def clusters() -> tuple[str, ...]:
  """The names of the clusters."""
  return tuple(_CLUSTERS)


def rows(
  split: str,
  *,
  n: int | None = None,
  seed: int = 0,
  clusters: Sequence[str] | None = None,
) -> list[dict]:
  """Rows of the suite, one cluster after the other in turn.

  Each row has `id`, `cluster`, `template` (index), `prompt`, `completion` (the
  gold), `metric`, `rejected`, `reason` ("wrong", "rude", "long-winded" or
  "unsafe") and `answers` (every accepted gold).

  Args:
    split: "train" or "heldout"; they share templates, but no prompt and no
      fact.
    n: rows in all; None is `DEFAULT_ROWS[split]` a cluster. A smaller n gives
      a prefix. Clusters that run out are passed over.
    seed: orders the rows within each cluster, so a small n sees other rows.
    clusters: names to take, in this order; None is all.

  Raises:
    ValueError: unknown split or cluster, or n outside what exists.
  """
  if split not in DEFAULT_ROWS:
    raise ValueError(
      f"split is {split!r}; it must be one of {', '.join(DEFAULT_ROWS)}"
    )
  names = tuple(_CLUSTERS) if clusters is None else tuple(clusters)
  unknown = [name for name in names if name not in _CLUSTERS]
  if unknown or not names or len(set(names)) < len(names):
    raise ValueError(
      f"clusters is {list(names)!r}; it must list known clusters, each once\n"
      f"unknown: {', '.join(map(str, unknown)) or 'none'}\n"
      f"legal: {', '.join(_CLUSTERS)}"
    )
  queues = [_order(_CLUSTERS[name], split, seed) for name in names]
  available = sum(map(len, queues))
  if n is None:
    n = DEFAULT_ROWS[split] * len(names)
  if not 1 <= n <= available:
    raise ValueError(
      f"n is {n}; the {split} split of these {len(names)} clusters has "
      f"{available} rows\nask for 1 to {available}, or leave n out"
    )
  depth = max(map(len, queues))
  turns = [q[i] for i in range(depth) for q in queues if i < len(q)]
  return [_row(*turn) for turn in turns[:n]]


def size(split: str, cluster: str) -> int:
  """How many rows a split of a cluster has."""
  return len(_order(_CLUSTERS[cluster], split, 0))


def preference(row: dict) -> dict:
  """The row as a preference pair: `prompt`, `chosen`, `rejected`."""
  return {
    "prompt": row["prompt"],
    "chosen": row["completion"],
    "rejected": row["rejected"],
  }


@functools.cache  # a run reads the suite several times
def _order(cluster: Cluster, split: str, seed: int) -> tuple[tuple, ...]:
  """Every (cluster, template, instance, prompt) of a split, by seeded hash."""
  found = [
    (cluster, index, instance, template.format(**instance.slots))
    for instance in cluster.instances()
    if side(instance.key) == split
    for index, template in enumerate(cluster.templates)
  ]
  return tuple(sorted(found, key=lambda t: digest("order", seed, t[-1])))


def _row(cluster: Cluster, index: int, instance: Instance, prompt: str) -> dict:
  gold = instance.answers[0]
  reason = pick(cluster.reasons, "reason", prompt)
  if reason == "rude":
    rejected = rude(gold, prompt)
  elif reason == "long-winded":
    rejected = long_winded(gold, prompt)
  else:
    rejected = instance.wrong
  return {
    "id": f"{cluster.name}-{index}-{digest('id', prompt):016x}",
    "cluster": cluster.name,
    "template": index,
    "prompt": prompt,
    "completion": gold,
    "metric": cluster.metric,
    "rejected": rejected,
    "reason": reason,
    "answers": list(instance.answers),
  }
