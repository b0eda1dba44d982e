"""What a policy gradient multiplies: rewards, returns, advantages of scores.

Arrays are [B, T], aligned with the predicted positions of a batch: entry t of
values is that of the state before token t. A mask of tokens is true for the
tokens of the response, its stop token included; a mask of values also for the
state after the last token, where there is room for it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alignjax.ops.attention import at_least_float32

KL = ("k1", "k2", "k3")


def kl(
  logp: Float[Array, "*b"], reference: Float[Array, "*b"], *, kind: str
) -> Float[Array, "*b"]:
  """An estimate of KL(π ‖ ref) from a sample of π, in nats a token.

  k1: log π − log ref; k2: ½(log π − log ref)²; k3: e^(ref − π) − 1 − (ref − π)
  (Schulman 2020, "Approximating KL divergence"). k1 and k3 are unbiased, k2 and
  k3 never negative.

  Raises:
    ValueError: an unknown kind.
  """
  if kind not in KL:
    raise ValueError(f"kl = {kind!r} is unknown; one of {', '.join(KL)}.")
  d = logp - reference
  if kind == "k1":
    return d
  return d**2 / 2 if kind == "k2" else jnp.expm1(-d) + d


def rewards(
  kl: Float[Array, "B T"],
  scores: Float[Array, "B"],
  lengths: Int[Array, "B"],
  *,
  coefficient: Float[Array, ""] | float,
  score_at: str,
) -> Float[Array, "B T"]:
  """−coefficient·kl of each token, and the score where the response ends.

  kl: 0 where there is no token. lengths: tokens of each response.
  score_at: "last" puts the score on the last token; "next" on the state after
    it where T has room for that, as the authors of TRL's PPO do, else on the
    last token.
  """
  at = lengths - 1
  if score_at == "next":
    at = jnp.where(lengths < kl.shape[1], lengths, at)
  elif score_at != "last":
    raise ValueError(f"score_at = {score_at!r} is unknown; one of next, last.")
  hit = jnp.arange(kl.shape[1]) == at[:, None]
  return -coefficient * kl + jnp.where(hit, scores[:, None], 0.0)


def gae(
  rewards: Float[Array, "B T"],
  values: Float[Array, "B T"],
  *,
  gamma: float,
  lam: float,
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
  """Advantages A and returns A + V.

  δ_t = r_t + γ·V_{t+1} − V_t, A_t = δ_t + γλ·A_{t+1}; nothing follows the last
  position (generalised advantage estimation, Schulman et al. 2016, equation
  16). Rewards and values are 0 after the end of a response.
  """
  rewards, values = at_least_float32(rewards), at_least_float32(values)
  after = jnp.pad(values[:, 1:], ((0, 0), (0, 1)))
  delta = rewards + gamma * after - values

  def back(later, d):
    now = d + gamma * lam * later
    return now, now

  zero = jnp.zeros_like(delta[:, 0])
  _, out = jax.lax.scan(back, zero, delta.T, reverse=True)
  return out.T, out.T + values


def whiten(
  x: Float[Array, "*b"], mask: Bool[Array, "*b"], *, shift: bool
) -> Float[Array, "*b"]:
  """(x − mean)/√(variance + 1e-8) over the mask; 0 where it is false.

  The variance is the unbiased one. shift: whether the mean is taken away for
  good; where not, it is added again. A single entry is left as it is.
  """
  x = at_least_float32(x)
  n = mask.sum().astype(x.dtype)
  mean = jnp.where(mask, x, 0.0).sum() / jnp.maximum(n, 1)
  centred = jnp.where(mask, x - mean, 0.0)
  variance = (centred**2).sum() / jnp.maximum(n - 1, 1)
  scale = jnp.where(n > 1, jax.lax.rsqrt(variance + 1e-8), 1.0)
  out = centred * scale
  return out if shift else jnp.where(mask, out + mean, 0.0)


def grouped(
  scores: Float[Array, "B"], *, samples: int, scale: str
) -> Float[Array, "B"]:
  """Score less the mean of its group (GRPO, Shao et al. 2024, section 4.1).

  Rows of one prompt stand together, `samples` at a time.
  scale: "group" divides by the group's standard deviation (unbiased) + 1e-4;
    "none" does not (Dr. GRPO, Liu et al. 2025).
  """
  groups = _groups(scores, samples)
  centred = groups - groups.mean(1, keepdims=True)
  if scale == "group":
    deviation = jnp.sqrt((centred**2).sum(1, keepdims=True) / (samples - 1))
    centred = centred / (deviation + 1e-4)
  elif scale != "none":
    raise ValueError(f"scale = {scale!r} is unknown; one of group, none.")
  return centred.reshape(-1)


def left_out(scores: Float[Array, "B"], *, samples: int) -> Float[Array, "B"]:
  """Score less the mean of the others of its group.

  RLOO (Ahmadian et al. 2024, equation 8). Rows as in `grouped`.
  """
  groups = _groups(scores, samples)
  others = (groups.sum(1, keepdims=True) - groups) / (samples - 1)
  return (groups - others).reshape(-1)


def _groups(scores: Float[Array, "B"], samples: int) -> Float[Array, "G s"]:
  if samples < 2 or scores.shape[0] % samples:
    raise ValueError(
      f"{scores.shape[0]} scores in groups of {samples}: a group needs two "
      "samples of a prompt or more, and all of them."
    )
  return at_least_float32(scores).reshape(-1, samples)
