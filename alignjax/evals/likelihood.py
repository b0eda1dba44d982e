"""How likely a model finds continuations: forward passes over packed rows."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from alignjax import sharding
from alignjax.evals.packing import Asked, Packed, collate, pack, padded
from alignjax.models.lm import LM
from alignjax.sharding import Placement
from alignjax.types import Batch

ROOM = 1024  # tokens of a row
FEWEST = 8  # predicted tokens of a row there is room for


class Likelihood(NamedTuple):
  """Of a continuation: Σ log p in nats, tokens, whether all are likeliest."""

  logp: float
  tokens: int
  greedy: bool


def likelihoods(
  lm: LM,
  params: dict,
  asked: Sequence[Asked],
  *,
  batch: int,
  place: Placement,
) -> Iterator[tuple[dict[int, Likelihood], int, int]]:
  """What is known after each batch: (number → likelihood, batches, of all).

  params: laid on `place` by its rules. batch: tokens of a forward pass on a
    device, about.
  """
  run = jax.jit(
    lambda params, batch: lm.stats(params, batch, ("logp", "correct")),
    out_shardings=place.replicated,
  )
  longest = max(len(x.context) + len(x.continuation) - 1 for x in asked)
  rows = pack(asked, room=max(ROOM, longest))
  # Longest first: what does not fit into memory is known at once.
  rows.sort(key=lambda row: -row.length)
  lots = list(_lots(rows, batch, place.row_multiple))
  before = None
  for done, (lot, size, length) in enumerate(lots, 1):
    predicted = padded(max(row.predicted for row in lot), FEWEST)
    made, number = collate(lot, size, length, predicted)
    own = partial(_rows_of, made)
    found = run(params, sharding.put_rows(own, size, place.rows))
    if before is not None:  # the devices work while the host takes the last
      yield _summed(*before), done - 1, len(lots)
    before = found, number
  if before is not None:
    yield _summed(*before), len(lots), len(lots)


def _summed(found: dict, number: np.ndarray) -> dict[int, Likelihood]:
  """Continuation → its likelihood, of a batch."""
  logp, correct = (np.asarray(found[k]) for k in ("logp", "correct"))
  here = number >= 0
  known: dict[int, list] = {}
  for i, x, right in zip(number[here], logp[here], correct[here]):
    sums = known.setdefault(int(i), [0.0, 0, True])
    sums[0] += float(x)
    sums[1] += 1
    sums[2] &= bool(right)
  return {i: Likelihood(*x) for i, x in known.items()}


def _rows_of(batch: Batch, at: Sequence[int]) -> Batch:
  return jax.tree.map(lambda x: x[np.asarray(at)], batch)


def _lots(
  rows: Sequence[Packed], batch: int, multiple: int
) -> Iterator[tuple[list[Packed], int, int]]:
  """Batches: rows of about one length, how many there is room for, L."""
  held: list[Packed] = []
  length = 0
  for row in rows:
    own = padded(row.length)
    if held and (own != length or len(held) == size):
      yield held, size, length
      held = []
    if not held:
      length, size = own, multiple * max(1, batch // own)
    held.append(row)
  if held:
    yield held, size, length


def check(lm: LM, asked: Sequence[Asked], where: str) -> None:
  """Raises ValueError for what the model cannot read; where: for messages."""
  for context, continuation in asked:
    # The last token is never fed.
    n = len(context) + len(continuation) - 1
    if n > lm.config.max_length:
      raise ValueError(
        f"{where}: a prompt and its answer have {n} tokens; the model takes "
        f"{lm.config.max_length}.\nGive fewer shots, shorter rows, or another "
        "model."
      )
    largest = max(context.max(), continuation.max())
    if largest >= lm.config.vocab:
      raise ValueError(
        f"{where} holds token {largest}, outside the model's vocabulary of "
        f"{lm.config.vocab}.\nThe tokenizer is not this model's."
      )
