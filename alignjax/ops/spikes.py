"""Values that stand out from those before them."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

WINDOW = 128  # values that are remembered
SIGMAS = 6.0


def limit(
  history: Float[Array, "n window"], count: Int[Array, ""]
) -> Float[Array, "n"]:
  """mean + 6σ of each row; infinite until `count` values have filled it."""
  full = count >= history.shape[1]
  bound = history.mean(1) + SIGMAS * history.std(1)
  return jnp.where(full, bound, jnp.inf)


def stands_out(
  values: Float[Array, "n"],
  history: Float[Array, "n window"],
  count: Int[Array, ""],
) -> Bool[Array, ""]:
  """Whether any value is above its limit."""
  return (values > limit(history, count)).any()


def remember(
  values: Float[Array, "n"],
  history: Float[Array, "n window"],
  count: Int[Array, ""],
) -> Float[Array, "n window"]:
  """The history with its oldest values replaced; `count` stood before."""
  return history.at[:, count % history.shape[1]].set(values)
