"""What the completions of a row add up to: sums and means of their tokens.

Completion s + 1 of a row is column s; `size` is their number S in the batch.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alignjax.ops.attention import at_least_float32
from alignjax.types import Batch


def end_of(batch: Batch) -> Int[Array, ""]:
  """How many of the T places hold all tokens that any row of a batch lists."""
  listed = batch.completions > 0
  if "prompt" in batch.fields:
    listed |= batch.fields["prompt"] > 0
  return (listed * jnp.arange(1, listed.shape[1] + 1)).max(initial=0)


def hits(completions: Int[Array, "B T"], size: int) -> Bool[Array, "B T S"]:
  """Whether token t belongs to completion s + 1; compilers fuse it away."""
  return completions[:, :, None] == jnp.arange(1, size + 1)


def sums(
  x: Float[Array, "B T"], completions: Int[Array, "B T"], size: int
) -> Float[Array, "B S"]:
  """Σ of x over the tokens of each completion, at least float32; 0 over none.

  What stands where completions is 0, NaN included, changes neither the value
  nor the gradient. A masked sum, not a scatter: it keeps the batch axis
  sharded and adds in one order on every device.
  """
  x = at_least_float32(x)[:, :, None]
  return jnp.where(hits(completions, size), x, 0.0).sum(1)


def counts(completions: Int[Array, "B T"], size: int) -> Int[Array, "B S"]:
  """Trained tokens of each completion."""
  return hits(completions, size).sum(1)


def means(
  x: Float[Array, "B T"], completions: Int[Array, "B T"], size: int
) -> Float[Array, "B S"]:
  """Mean of x over the tokens of each completion; 0 over none."""
  total = sums(x, completions, size)
  return total / jnp.maximum(counts(completions, size), 1).astype(total.dtype)


def spread(
  x: Float[Array, "B S"], completions: Int[Array, "B T"]
) -> Float[Array, "B T"]:
  """Each completion's value at its tokens; 0 where completions is 0."""
  return jnp.where(hits(completions, x.shape[1]), x[:, None], 0.0).sum(2)


def ranks(completions: Int[Array, "B T"], size: int) -> Int[Array, "B T"]:
  """How many tokens of its completion stand before a token; 0 for no token."""
  hit = hits(completions, size)
  earlier = jnp.cumsum(hit, 1) - 1
  return jnp.where(hit, earlier, 0).sum(2)


def size_of(batch: Batch) -> int:
  """S, the completions that a row has at most.

  Raises:
    ValueError: the batch does not say where completions end.
  """
  if batch.ends is None:
    raise ValueError(
      "The batch has no `ends`: it does not say which completions its rows "
      "hold.\nThis loss needs rows of judged completions (preference data), "
      "not plain text or conversations."
    )
  return batch.ends.shape[1]


def present(batch: Batch) -> Bool[Array, "B S"]:
  """Whether a row has completion s + 1."""
  size_of(batch)
  return batch.ends > 0


def field(batch: Batch, name: str) -> Array:
  """`batch.fields[name]`.

  Raises:
    ValueError: the batch has no such field.
  """
  if name not in batch.fields:
    held = ", ".join(sorted(batch.fields)) or "none"
    raise ValueError(
      f"The batch has no field {name!r}, which the loss reads; it has {held}."
    )
  return batch.fields[name]
