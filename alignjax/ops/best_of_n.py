"""Best of n: what the best of n answers is worth, and how far it is from one.

From N answers of a prompt, n ≤ N, and not from one draw of n: every subset of n
counts, so the estimate is unbiased and varies least. Scores choose, values are
what is got; they differ where a reward model chooses and another judges.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from alignjax.ops.attention import at_least_float32


def weights(scores: Float[Array, "*b N"], *, n: int) -> Float[Array, "*b N"]:
  """The probability that each of N answers is the best of n of them.

  C(k, n − 1)/C(N, n) for an answer with k below it (Nakano et al. 2021,
  appendix I; Gao et al. 2023). Answers of one score share what they have: a tie
  falls to chance.

  Raises:
    ValueError: not 1 ≤ n ≤ N.
  """
  N = scores.shape[-1]
  if not 1 <= n <= N:
    raise ValueError(
      f"n = {n} of {N} answers; it must be in 1 … {N}: draw more, or ask for "
      "the best of fewer."
    )
  ranks = np.arange(1, N + 1)
  # C(k, n)/C(N, n) of k = 1 … N, as a product from above: no factorials.
  upto = np.cumprod(np.append(1.0, np.maximum(1 - n / ranks[:0:-1], 0)))[::-1]
  chance = jnp.asarray(upto * n / ranks, at_least_float32(scores).dtype)

  def one(scores):
    ordered = jnp.sort(scores)
    tie = jnp.searchsorted(ordered, ordered)  # the first of its score
    zero = jnp.zeros_like(chance)
    shared = zero.at[tie].add(chance) / jnp.maximum(zero.at[tie].add(1), 1)
    return shared[jnp.searchsorted(ordered, scores)]

  return jnp.vectorize(one, signature="(n)->(n)")(scores)


def expected(
  values: Float[Array, "*b N"], scores: Float[Array, "*b N"], *, n: int
) -> Float[Array, "*b"]:
  """E of the value of the best of n by score, from N answers: `weights`."""
  return (weights(scores, n=n) * at_least_float32(values)).sum(-1)


def kl_bound(n: int) -> float:
  """log n − (n − 1)/n: the most that KL(best of n ‖ π) can be, in nats.

  It was taken for the KL itself (Stiennon et al. 2020, appendix G.3), which it
  is where no answer has any mass to speak of; where answers repeat, the KL is
  less (Beirami et al. 2024).

  Raises:
    ValueError: n < 1.
  """
  if n < 1:
    raise ValueError(f"n = {n}; it must be at least 1.")
  return math.log(n) - (n - 1) / n
