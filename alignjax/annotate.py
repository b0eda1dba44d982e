"""What frozen weights say of rows: forward-only passes, their numbers as data.

Before training, over all rows once (`annotate`); or for a batch at a time
(`make_annotator`, `with_fields`), where the rows or the weights are not known
before.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from alignjax.data.loader import InOrder
from alignjax.data.pack import Packed
from alignjax.types import Batch


def make_annotator(
  stats: Callable[..., Mapping[str, jax.Array]], needs: Sequence[str]
) -> Callable[[dict, Batch], dict[str, Float[Array, "B T ..."]]]:
  """(params, batch) → statistics of its trained tokens; pure, to be jitted.

  stats: as of `step`. needs: of tokens. What is found is 0 where nothing is
    trained.
  """

  def annotator(params, batch):
    found = stats(params, batch, tuple(needs))

    def real(x):
      mask = (batch.completions > 0).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
      return jnp.where(mask, x, 0)

    return {name: real(found[name]) for name in needs}

  return annotator


def with_fields(
  batch: Batch, found: Mapping[str, Float[Array, "B T ..."]], source: str
) -> Batch:
  """The batch with fields `source/name`, such as "reference/logp"."""
  more = {f"{source}/{name}": x for name, x in found.items()}
  return batch._replace(fields={**batch.fields, **more})


class Ragged(Sequence[np.ndarray]):
  """Numbers of the trained tokens of each row.

  values: float32, of all rows one after another. counts: how many each has.
  """

  def __init__(self, values: np.ndarray, counts: np.ndarray):
    self.values = values
    self.offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    if len(values) != self.offsets[-1]:
      raise ValueError(
        f"{len(values)} numbers for {self.offsets[-1]} trained tokens."
      )

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, index: int) -> np.ndarray:
    return self.values[self.offsets[index] : self.offsets[index + 1]]


def apart(found: Ragged, packed: Packed, counts: np.ndarray) -> Ragged:
  """Numbers of packed rows as those of the rows in them, in their own order.

  counts: int [rows], trained tokens of each row.
  """
  order = np.concatenate(packed.bins)
  pieces = np.split(found.values, np.cumsum(counts[order])[:-1])
  values = [pieces[i] for i in np.argsort(order)]
  return Ragged(np.concatenate(values), counts)


def annotate(
  run: Callable[[int], Mapping[str, jax.Array]], batches: InOrder
) -> dict[str, Ragged]:
  """Numbers of all rows of all parts, in their order.

  run: a step → what an annotator finds in that batch, [B, T] and whole on
    every host; kept as float32.
  """
  counts = np.concatenate([t.counts for t in batches.parts.values()])
  found: dict[str, list[np.ndarray]] = {}

  def take(step, out):
    own = counts[step * batches.size : (step + 1) * batches.size]
    for name, x in out.items():
      x = np.asarray(x, np.float32)[: len(own)]
      # Trained tokens come first in each row.
      real = np.arange(x.shape[1]) < own[:, None]
      found.setdefault(name, []).append(x[real])

  before = None
  for step in range(len(batches)):
    out = run(step)  # the devices work while the host takes the one before
    if before is not None:
      take(step - 1, before)
    before = out
  if before is not None:
    take(len(batches) - 1, before)
  return {k: Ragged(np.concatenate(x), counts) for k, x in found.items()}
