"""Ensembles: one score of what several reward models, or heads, say.

Where members disagree, a completion is unlike those they were trained on; the
rules other than the mean count that against it, so that a policy gains little
by going there (Coste et al. 2023, https://arxiv.org/abs/2310.02743, section 3).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def mean(scores: Float[Array, "*b k"]) -> Float[Array, "*b"]:
  """The mean over members."""
  return scores.mean(-1)


def minimum(scores: Float[Array, "*b k"]) -> Float[Array, "*b"]:
  """The lowest of the members' scores: worst-case optimisation."""
  return scores.min(-1)


def uncertainty(
  scores: Float[Array, "*b k"], *, penalty: float
) -> Float[Array, "*b"]:
  """mean − λ·variance over members: uncertainty-weighted optimisation.

  The variance is the mean squared deviation, in squared units of the scores, as
  in the paper; λ (`penalty`) is in their inverse.
  """
  return scores.mean(-1) - penalty * jnp.var(scores, -1)
