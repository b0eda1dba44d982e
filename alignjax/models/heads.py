"""Scalar heads: what a reward model says of a completion.

One matrix "score_head" [k, D] beside the decoder's parameters, without a bias,
as in the sequence classifiers of transformers: k > 1 is an ensemble.
A calibrated model has the mean and standard deviation of each head's scores on
reference completions in its config.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.models.config import ModelConfig
from alignjax.ops.attention import at_least_float32


def init(key: jax.Array, width: int, k: int) -> Float[Array, "k D"]:
  """Normal of standard deviation 1/√(D+1) (Stiennon et al. 2020), float32."""
  return jax.random.normal(key, (k, width)) * (width + 1) ** -0.5


def at_ends(
  hidden: Float[Array, "B L D"], ends: Int[Array, "B S"]
) -> Float[Array, "B S D"]:
  """Hidden states of the last tokens of completions.

  Where a row has no such completion (end 0) it is that of the first token: to
  be masked by the loss.
  """
  return jnp.take_along_axis(hidden, ends[:, :, None], axis=1)


def score(
  hidden: Float[Array, "B S D"],
  head: Float[Array, "k D"],
  mean: Sequence[float] = (),
  std: Sequence[float] = (),
) -> Float[Array, "B S ..."]:
  """Scores [B, S] of one head, [B, S, k] of several; at least float32.

  mean, std: of `calibrated`.
  """
  hidden, head = at_least_float32(hidden), at_least_float32(head)
  out = jnp.einsum("bsd,kd->bsk", hidden, head)
  out = calibrated(out, mean, std)
  return out[..., 0] if head.shape[0] == 1 else out


def scores(
  params: dict,
  config: ModelConfig,
  hidden: Float[Array, "B L D"],
  ends: Int[Array, "B S"] | None,
) -> Float[Array, "B S ..."]:
  """What a model's scalar heads say of completions that end at `ends`.

  Raises ValueError where the model has no heads, or the batch no `ends`.
  """
  if "score_head" not in params or ends is None:
    what = "heads (config.scores)" if ends is not None else "batch.ends"
    raise ValueError(f"The statistic 'score' needs {what}; there are none.")
  at = at_ends(hidden, ends)
  return score(at, params["score_head"], config.score_mean, config.score_std)


def calibrated(
  scores: Float[Array, "*b k"], mean: Sequence[float], std: Sequence[float]
) -> Float[Array, "*b k"]:
  """(r − mean) / std of each head; as it is where there is no calibration."""
  if not std:
    return scores
  return (scores - jnp.float32(mean)) / jnp.float32(std)
