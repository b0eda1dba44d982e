"""Per-token statistics of the vocabulary, a chunk of tokens at a time."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.ops.attention import at_least_float32
from alignjax.ops.chunks import by_chunks

# What a loss may ask for; each is [B, T], float32.
STATS = ("logp", "entropy", "correct", "sum_p2")


def logits_of(
  hidden: Float[Array, "*b D"], head: Float[Array, "V D"], softcap: float
) -> Float[Array, "*b V"]:
  """hidden · head in float32, capped as softcap·tanh(x/softcap) (Gemma 2)."""
  wide = jnp.promote_types(hidden.dtype, jnp.float32)
  x = jnp.einsum("...d,vd->...v", hidden, head, preferred_element_type=wide)
  return softcap * jnp.tanh(x / softcap) if softcap else x


def statistics(
  logits: Float[Array, "B C V"],
  targets: Int[Array, "B C"],
  needs: Sequence[str],
) -> dict[str, Float[Array, "B C"]]:
  """The statistics `needs` of softmax(logits), in nats where they are logs.

  logp: log p(target). entropy: −Σ p log p. correct: 1 where the target has the
  largest logit. sum_p2: Σ p² (WPO's weight, Zhou et al. 2024).
  """
  unknown = sorted(set(needs) - set(STATS))
  if unknown:
    raise ValueError(f"No statistic {unknown[0]!r}; one of {', '.join(STATS)}.")
  logits = at_least_float32(logits)
  top = jax.lax.stop_gradient(logits.max(-1))
  shifted = logits - top[..., None]
  exp = jnp.exp(shifted)
  norm = exp.sum(-1)
  # A masked sum, not a gather: it partitions over a sharded vocabulary.
  hit = jnp.arange(logits.shape[-1]) == targets[..., None]
  chosen = jnp.where(hit, shifted, 0.0).sum(-1)
  out = {}
  if "logp" in needs:
    out["logp"] = chosen - jnp.log(norm)
  if "entropy" in needs:
    out["entropy"] = jnp.log(norm) - (exp * shifted).sum(-1) / norm
  if "correct" in needs:
    # Not chosen >= 0: the compiler may compute a soft-capped logit twice, with
    # two roundings, once for `top` and once here.
    others = jnp.where(hit, -jnp.inf, shifted).max(-1)
    out["correct"] = (chosen >= others).astype(logits.dtype)
  if "sum_p2" in needs:
    out["sum_p2"] = (exp**2).sum(-1) / norm**2
  return out


def readout(
  hidden: Float[Array, "B T D"],
  head: Float[Array, "V D"],
  targets: Int[Array, "B T"],
  *,
  needs: Sequence[str],
  chunk: int,
  softcap: float,
  temperature: float = 1.0,
  end: Int[Array, ""] | None = None,
  slopes: Mapping[str, Float[Array, "B T"]] | None = None,
  constrain: Callable[[jax.Array, str], jax.Array],
) -> dict[str, Float[Array, "B T"]]:
  """Statistics of `targets` without a [B, T, V] array.

  T is walked `chunk` tokens at a time, up to token `end` where one is given;
  the chunks behind it are 0. Where `slopes`, the gradients of the statistics,
  are known before, all is done in one pass; else the backward pass recomputes a
  chunk's logits (`ops.chunks`). Logits are divided by `temperature` after the
  cap.
  """

  def one(head, _, hidden, targets):
    # As it lies here lies its gradient, too, until all chunks are summed.
    head = constrain(head, "head")
    hidden = constrain(hidden, "read")
    logits = constrain(logits_of(hidden, head, softcap), "logits")
    return statistics(logits / temperature, targets, needs)

  head = constrain(head, "head")
  given = head, (), hidden, targets
  return by_chunks(one, *given, chunk=chunk, end=end, slopes=slopes)
