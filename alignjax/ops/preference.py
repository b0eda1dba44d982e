"""Transforms of log-ratios and tokens that any objective of pairs may take."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.ops import completions as per
from alignjax.ops.pairs import sides

# Option → what it must be, as a test and in words.
LEGAL = {
  "beta": (lambda x: 0 < x < math.inf, "above 0"),
  "tau": (lambda x: 0 < x < math.inf, "above 0"),
  "label_smoothing": (
    lambda x: 0 <= x <= 0.5,
    "from 0 to 0.5: the part of the labels that is wrong",
  ),
  "ld_alpha": (lambda x: 0 <= x <= 1, "from 0 to 1 (that is DPO)"),
  "alpha": (lambda x: 0 <= x < math.inf, "0 or more"),
  "gamma": (lambda x: 0 <= x < math.inf, "0 or more"),
  "desirable_weight": (lambda x: 0 <= x < math.inf, "0 or more"),
  "undesirable_weight": (lambda x: 0 <= x < math.inf, "0 or more"),
}
DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha=NUMBER")


def check(**options: float) -> None:
  """Raises ValueError for an option of `LEGAL` that has no meaning."""
  for name in options.keys() & LEGAL.keys():
    holds, rule = LEGAL[name]
    if not holds(options[name]):
      raise ValueError(f"{name} = {options[name]}; it must be {rule}.")


def link(divergence: str) -> Callable[[Array], Array]:
  """s(u), what stands for u where the divergence is not the reverse KL.

  s is the derivative of f at the ratio e^u, up to what cancels in a difference
  (Wang et al. 2023, table 1). reverse_kl: u. forward_kl: 1 − e^−u.
  js_divergence: log 2 + log σ(u). alpha=a: (e^((a−1)u) − 1)/(a − 1), its
  exponent at most 80; a → 1 is reverse_kl, a = 0 is forward_kl.

  Raises:
    ValueError: an unknown divergence.
  """
  if divergence == "reverse_kl":
    return lambda u: u
  if divergence == "forward_kl":
    return lambda u: -jnp.expm1(jnp.minimum(-u, 80.0))
  if divergence == "js_divergence":
    return lambda u: jnp.log(2.0) + jax.nn.log_sigmoid(u)
  name, _, value = divergence.partition("=")
  try:
    a = float(value) - 1 if name == "alpha" else 0.0
  except ValueError:
    a = 0.0
  if a == 0 or not abs(a) < float("inf"):
    raise ValueError(
      f"divergence = {divergence!r} is unknown; one of "
      f"{', '.join(DIVERGENCES)}, a number other than 1 (that is reverse_kl)."
    )
  return lambda u: jnp.expm1(jnp.minimum(a * u, 80.0)) / a


def wpo_weights(
  logp: Float[Array, "B T"],
  sum_p2: Float[Array, "B T"],
  completions: Int[Array, "B T"],
  size: int,
) -> Float[Array, "B P"]:
  """Π over both sides of exp(mean_t[log p_t − log Σ_v p_v²]), no gradient.

  How likely the policy itself is to write the pair, a token being measured
  against the expected probability of a sampled one (Zhou et al. 2024).
  """
  trained = completions > 0
  norm = jnp.log(jnp.where(trained, sum_p2, 1.0))
  logs = per.means(logp - norm, completions, size)
  return jax.lax.stop_gradient(jnp.exp(sum(sides(logs))))


def ld_factors(
  completions: Int[Array, "B T"], size: int, alpha: float
) -> Float[Array, "B T"]:
  """1 for the first min(n_chosen, n_rejected) tokens of a side, α for the rest.

  What a token's log-probability counts, for reference and policy alike, so
  that length past the shorter side weighs less (LD-DPO, Liu et al. 2024).
  """
  shorter = jnp.minimum(*sides(per.counts(completions, size)))
  limit = jnp.repeat(shorter, 2, 1).astype(jnp.float32)
  inside = per.ranks(completions, size) < per.spread(limit, completions)
  return jnp.where(inside, 1.0, alpha)
