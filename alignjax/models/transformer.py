"""One decoder for every family (Flax Linen), pure over its parameter tree."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from alignjax.models.config import ModelConfig, Rope
from alignjax.models.layers import Block, Constrain, Norm, normal
from alignjax.ops.attention import frequencies

REMAT = {
  "none": None,
  "full": jax.checkpoint_policies.nothing_saveable,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class Period(nn.Module):
  """One repetition of the layer pattern; the body of the scan."""

  config: ModelConfig
  constrain: Constrain

  @nn.compact
  def __call__(self, carry, stream):
    x, caches, index = carry
    new = []
    for j in range(self.config.period):
      window = self.config.windows[j]
      block = Block(self.config, window, self.constrain, name=str(j))
      cache = None if caches is None else (*caches[j], index)
      x, cache = block(x, stream, cache)
      new.append(cache and cache[:2])
    return (x, None if caches is None else tuple(new), index + 1), None


class Transformer(nn.Module):
  """tokens, positions, documents [B, L] → final hidden states [B, L, D].

  cache: None, or (caches of the period's blocks, of the tail's) of (keys,
  values [n, B, C, K, N]); this call's are written from `slot` on. Attention is
  over the keys that `key_positions` and `key_documents` describe: L of them
  are this call's own (training, prefill), C of them the cache's slots (decode).
  """

  config: ModelConfig
  remat: str
  constrain: Constrain

  def rematerialised(self, module):
    if self.remat == "none":
      return module
    return nn.remat(module, policy=REMAT[self.remat], prevent_cse=False)

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    documents: Int[Array, "B L"],
    key_positions: Int[Array, "B S"],
    key_documents: Int[Array, "B S"],
    slot: Int[Array, ""],
    cache: tuple | None,
  ):
    c = self.config
    V, D = c.vocab, c.width
    table = self.param("embed", normal(0.02), (V, D))
    # Gathered over the axes that rows lie on: looking rows up in a table split
    # along its width makes the compiler replicate the result.
    table = self.constrain(table, "table")
    x = self.constrain(jnp.take(table, tokens, axis=0), "hidden")
    if c.embed_scale != 1.0:
      x = x * jnp.asarray(c.embed_scale, x.dtype)
    if c.rope is None:
      learned = self.param("positions", normal(0.02), (c.max_length, D))
      x = x + jnp.take(learned, positions, axis=0).astype(x.dtype)
    stream = {
      "positions": positions,
      "documents": documents,
      "key_positions": key_positions,
      "key_documents": key_documents,
      "slot": slot,
      "global": angles(c.rope, c.head_size, positions),
      "local": angles(c.local_rope, c.head_size, positions),
    }
    stacked, tail = cache if cache is not None else (None, None)
    whole = c.depth // c.period
    if whole:
      layers = nn.scan(
        self.rematerialised(Period),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=whole,
      )(c, self.constrain, name="layers")
      carry = (x, stacked, jnp.int32(0))
      (x, stacked, _), _ = layers(carry, stream)
    new_tail = []
    for j in range(c.depth - whole * c.period):
      window = c.windows[whole * c.period + j]
      held = None if tail is None else (*tail[j], jnp.int32(0))
      block = self.rematerialised(Block)(
        c, window, self.constrain, name=f"tail_{j}"
      )
      x, held = block(x, stream, held)
      new_tail.append(held and held[:2])
    x = Norm(c.norm, c.norm_eps, name="final_norm")(x)
    if not c.tied:
      self.param("head", normal(0.02), (V, D))
    return x, None if cache is None else (stacked, tuple(new_tail))


def angles(rope: Rope | None, size: int, positions: Int[Array, "B L"]):
  """cos and sin [B, L, R] of a rotary embedding, float32."""
  if rope is None:
    return None
  turned = int(size * rope.fraction)
  freq = frequencies(
    turned,
    theta=rope.theta,
    kind=rope.kind,
    factor=rope.factor,
    low_freq=rope.low_freq,
    high_freq=rope.high_freq,
    original_length=rope.original_length,
    length=positions.max(axis=1) + 1,
  )
  angle = positions[:, :, None].astype(jnp.float32) * freq[:, None]
  return jnp.cos(angle), jnp.sin(angle)
