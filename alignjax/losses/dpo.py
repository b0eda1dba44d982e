"""Direct preference objectives of pairs, against a reference.

u = log π(chosen|x) − log ref(chosen|x), v the same of the rejected side: sums
over a completion's tokens, in nats. Where a kind takes `divergence`, it sees
s(u) and s(v) in their places (`ops.preference.link`; "reverse_kl": s(u) = u).
A loss is the mean over pairs, weighted by their weights.

label: p in [0, 1], the probability that the chosen side is the preferred one,
gives the expected loss p·loss(u, v) + (1 − p)·loss(v, u). `label_smoothing` ε
is the probability that a label was flipped; both together are
p(1 − ε) + (1 − p)ε. `reference_free` takes log ref = 0.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from alignjax.ops.completions import size_of
from alignjax.ops.preference import check, ld_factors, wpo_weights
from alignjax.ops.ratios import pair_terms, pairwise
from alignjax.types import Batch, Terms

needs = ("logp", "correct", "entropy")

Stats = Mapping[str, Float[Array, "B T"]]
Pair = Float[Array, "*p"]  # a number for each pair


def cross_entropy(x: Pair, *, p: Pair | float) -> Pair:
  """−p log σ(x) − (1 − p) log σ(−x)."""
  return -p * log_sigmoid(x) - (1 - p) * log_sigmoid(-x)


@pairwise(divergence=True)
def sigmoid(u: Pair, v: Pair, *, beta: float, label_smoothing: float) -> Pair:
  """−(1 − ε) log σ(x) − ε log σ(−x), x = β(u − v).

  DPO (Rafailov et al. 2023, equation 7); with ε > 0 conservative DPO
  (Mitchell 2023).
  """
  return cross_entropy(beta * (u - v), p=1 - label_smoothing)


@pairwise(divergence=True, per_token=True)
def sigmoid_norm(
  u: Pair, v: Pair, *, beta: float, label_smoothing: float
) -> Pair:
  """`sigmoid` of u and v per token (Tülu 3, Lambert et al. 2024; β = 5)."""
  return cross_entropy(beta * (u - v), p=1 - label_smoothing)


@pairwise(divergence=True)
def hinge(u: Pair, v: Pair, *, beta: float) -> Pair:
  """max(0, 1 − β(u − v)) (SLiC, Zhao et al. 2023)."""
  return jax.nn.relu(1 - beta * (u - v))


@pairwise(divergence=True, per_token=True)
def ipo(u: Pair, v: Pair, *, beta: float) -> Pair:
  """(u − v − 1/(2β))² of u and v per token.

  IPO (Azar et al. 2023, equation 17) on means over tokens.
  """
  return (u - v - 1 / (2 * beta)) ** 2


@pairwise(divergence=True)
def ipo_sum(u: Pair, v: Pair, *, beta: float) -> Pair:
  """(u − v − 1/(2β))²: IPO on sums, as the paper writes it."""
  return (u - v - 1 / (2 * beta)) ** 2


@pairwise(divergence=True)
def robust(u: Pair, v: Pair, *, beta: float, label_smoothing: float) -> Pair:
  """[−(1 − ε) log σ(x) + ε log σ(−x)] / (1 − 2ε), x = β(u − v), ε < ½.

  Over labels of which a share ε was flipped its mean is DPO's loss on the
  labels before that (robust DPO, Chowdhury et al. 2024).
  """
  x, e = beta * (u - v), label_smoothing
  if not 0 <= e < 0.5:
    raise ValueError(f"label_smoothing = {e}; robust needs 0 <= ε < 0.5.")
  return (-(1 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1 - 2 * e)


@pairwise(divergence=True)
def exo_pair(
  u: Pair, v: Pair, p: Pair, *, beta: float, label_smoothing: float
) -> Pair:
  """KL([σ(x), σ(−x)] ‖ [q, 1 − q]), x = β(u − v), q = p(1 − ε) + (1 − p)ε.

  EXO (Ji et al. 2024) on pairs; ε > 0 (1e-3) keeps it finite.
  """
  x, e = beta * (u - v), label_smoothing
  if not 0 < e < 1:
    raise ValueError(f"label_smoothing = {e}; exo_pair needs 0 < ε < 1: 1e-3.")
  q = p * (1 - e) + (1 - p) * e
  up = jax.nn.sigmoid(x) * (log_sigmoid(x) - jnp.log(q))
  return up + jax.nn.sigmoid(-x) * (log_sigmoid(-x) - jnp.log1p(-q))


@pairwise(divergence=True)
def discopop(u: Pair, v: Pair, *, beta: float, tau: float) -> Pair:
  """−log σ(x)·(1 − m) + e^−x·m, x = β(u − v), m = σ(x/τ).

  Log-ratio modulated loss (DiscoPOP, Lu et al. 2024; τ = 0.05). Not monotone:
  with that τ it rises around x = 0, where training starts.
  """
  x = beta * (u - v)
  # e^−x·m as one exponential: apart, one factor overflows before they cancel.
  exponential = jnp.exp(log_sigmoid(x / tau) - x)
  return -log_sigmoid(x) * jax.nn.sigmoid(-x / tau) + exponential


@pairwise(divergence=False)
def nca_pair(u: Pair, v: Pair, *, beta: float) -> Pair:
  """−log σ(βu) − ½ log σ(−βu) − ½ log σ(−βv) (NCA, Chen et al. 2024)."""
  u, v = beta * u, beta * v
  return -log_sigmoid(u) - (log_sigmoid(-u) + log_sigmoid(-v)) / 2


@pairwise(divergence=False)
def bco_pair(u: Pair, v: Pair, *, beta: float) -> Pair:
  """−log σ(βu) − log σ(−βv) (BCO without its shift, Jung et al. 2024)."""
  return -log_sigmoid(beta * u) - log_sigmoid(-beta * v)


@pairwise(divergence=False)
def sppo_hard(u: Pair, v: Pair, *, beta: float) -> Pair:
  """(u − 1/(2β))² + (v + 1/(2β))² (SPPO, Wu et al. 2024)."""
  return (u - 1 / (2 * beta)) ** 2 + (v + 1 / (2 * beta)) ** 2


@pairwise(divergence=False)
def apo_zero(u: Pair, v: Pair, *, beta: float) -> Pair:
  """1 − σ(βu) + σ(βv): chosen up, rejected down.

  For data better than the policy (APO, D'Oosterlinck et al. 2024).
  """
  return jax.nn.sigmoid(-beta * u) + jax.nn.sigmoid(beta * v)


@pairwise(divergence=False)
def apo_down(u: Pair, v: Pair, *, beta: float) -> Pair:
  """σ(βu) + 1 − σ(β(u − v)): both down, the rejected side further.

  For data worse than the policy (APO, D'Oosterlinck et al. 2024).
  """
  return jax.nn.sigmoid(beta * u) + jax.nn.sigmoid(beta * (v - u))


def wpo(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  label_smoothing: float,
  reference_free: bool,
) -> Terms:
  """`sigmoid`, a pair counting as likely as the policy would write it.

  Each pair's loss is multiplied by `ops.preference.wpo_weights` (WPO, Zhou et
  al. 2024), the mean is over pairs.
  """

  def loss(u, v):
    return cross_entropy(beta * (u - v), p=1 - label_smoothing)

  size = size_of(batch)
  check(beta=beta, label_smoothing=label_smoothing)
  scale = wpo_weights(stats["logp"], stats["sum_p2"], batch.completions, size)
  shared = dict(beta=beta, reference_free=reference_free)
  return pair_terms("wpo", loss, stats, batch, scale=scale, **shared)


wpo.needs = (*needs, "sum_p2")


def ld(
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  label_smoothing: float,
  ld_alpha: float,
  reference_free: bool,
) -> Terms:
  """`sigmoid`, a side's tokens past the length of the shorter counting α.

  LD-DPO (Liu et al. 2024); α = 1 is DPO.
  """

  def loss(u, v):
    return cross_entropy(beta * (u - v), p=1 - label_smoothing)

  check(beta=beta, label_smoothing=label_smoothing, ld_alpha=ld_alpha)
  factors = ld_factors(batch.completions, size_of(batch), ld_alpha)
  shared = dict(beta=beta, reference_free=reference_free)
  return pair_terms("ld", loss, stats, batch, factors=factors, **shared)
