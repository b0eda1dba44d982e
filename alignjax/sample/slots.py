"""Slots: rows that are decoded together, each wherever it is.

With fewer slots than rows the others wait in a queue. A segment of decoding
lasts until some slots are free, whose rows are then replaced by the next ones
(iteration-level scheduling: Yu et al. 2022, "Orca"), all in one program.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from alignjax.sample.rows import Samples, blank, unfinished


class Slots(NamedTuple):
  """S rows in the course of decoding, C places for the keys of each.

  rows: which of all rows each slot serves. ids: what chooses its sampling keys.
  starts: tokens of its prompt. token: the last one sampled. samples: what it
    has, unfinished or not.
  cache: keys and values, as `LM.extend` takes them, [..., S, K, C, N].
    positions, documents: what stands in its C places, -1 in free ones.
  """

  rows: Int[Array, "S"]
  ids: Int[Array, "S"]
  starts: Int[Array, "S"]
  token: Int[Array, "S"]
  samples: Samples
  cache: tuple
  positions: Int[Array, "S C"]
  documents: Int[Array, "S C"]


Begin = Callable[[jax.Array], Slots]
Step = Callable[[Slots, jax.Array], Slots]


def served(
  begin: Begin, step: Step, *, rows: int, slots: int, refill: int
) -> Samples:
  """Samples of all rows, `slots` of them at once, in the order of the queue.

  begin: numbers of rows → slots that hold them, with the first token of each.
  step: (slots, steps before this one) → slots, with one token more in every
    unfinished row.
  refill: rows let in at a time, as soon as so many slots are free; the last
    ones as soon as there is room for all that are left.
  """
  first = begin(jnp.arange(slots))
  if slots == rows:
    return _decode(step, _busy, jnp.int32(0), first)[1].samples
  out = blank(rows, first.samples.tokens.shape[1], first.samples.logps.dtype)

  def wanted(taken, s):
    free = slots - jnp.sum(unfinished(s.samples))
    return (taken < rows) & (free >= jnp.minimum(refill, rows - taken))

  def fill(carry):
    taken, s, out = carry
    which = taken + jnp.arange(refill)
    free = jnp.argsort(unfinished(s.samples), stable=True)[:refill]
    at = jnp.where(which < rows, free, slots)  # what is outside is dropped
    new = begin(jnp.minimum(which, rows - 1))
    return taken + refill, _put(s, new, at), _told(out, s)

  def segment(carry):
    t, taken, s, out = carry
    t, s = _decode(step, lambda s: _busy(s) & ~wanted(taken, s), t, s)
    # Again where new rows have ended with their first token.
    return t, *jax.lax.while_loop(
      lambda carry: wanted(*carry[:2]), fill, (taken, s, out)
    )

  carry = jnp.int32(0), jnp.int32(slots), first, out
  *_, s, out = jax.lax.while_loop(
    lambda carry: (carry[1] < rows) | _busy(carry[2]), segment, carry
  )
  return _told(out, s)


def _busy(s: Slots):
  return jnp.any(unfinished(s.samples))


def _decode(step: Step, going: Callable[[Slots], jax.Array], t, s: Slots):
  """(steps made, slots) after as many steps as `going` allows."""
  return jax.lax.while_loop(
    lambda carry: going(carry[1]),
    lambda carry: (carry[0] + 1, step(carry[1], carry[0])),
    (t, s),
  )


def _put(s: Slots, new: Slots, at: Int[Array, "R"]) -> Slots:
  """Slots with new rows at some places."""

  def put(old, new):
    return old.at[at].set(new, mode="drop")

  def put_keys(old, new):
    return old.at[..., at, :, :, :].set(new, mode="drop")

  cache = jax.tree.map(put_keys, s.cache, new.cache)
  s, new = s._replace(cache=()), new._replace(cache=())
  return jax.tree.map(put, s, new)._replace(cache=cache)


def _told(out: Samples, s: Slots) -> Samples:
  """All samples, with what the slots have of theirs."""
  return jax.tree.map(lambda x, y: x.at[s.rows].set(y), out, s.samples)
