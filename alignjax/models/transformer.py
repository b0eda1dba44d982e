"""One decoder for every family (Flax Linen), pure over its parameter tree."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.models.config import ModelConfig, Rope
from alignjax.models.layers import Attend, Block, Constrain, Norm, normal
from alignjax.ops.attention import KEPT, frequencies

REMAT = {
  "none": None,
  "full": jax.checkpoint_policies.nothing_saveable,
  "dots": jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(KEPT),
  ),
}


class Period(nn.Module):
  """One repetition of the layer pattern; the body of the scan."""

  config: ModelConfig
  constrain: Constrain
  attend: Attend
  keep: bool

  @nn.compact
  def __call__(self, x, past, stream):
    own = []
    for j in range(self.config.period):
      window = self.config.windows[j]
      block = Block(
        self.config, window, self.constrain, self.attend, name=str(j)
      )
      x, kv = block(x, stream, past and past[j])
      own.append(kv)
    return x, tuple(own) if self.keep else None


class Transformer(nn.Module):
  """tokens, positions, documents [B, L] → final hidden states [B, L, D].

  past: None, or what earlier tokens left: (keys, values) of the blocks of a
  period [n, B, K, C, N] and of the tail [B, K, C, N], read only, and positions
  and documents [B, C] of their slots. With `keep` the keys and values of these
  tokens are returned in the same form, for the caller to write.
  noise: [B, L, D], added to the looked-up embeddings.
  parents: [B, L], of `ops.attention.visible`.
  """

  config: ModelConfig
  remat: str
  constrain: Constrain
  attend: Attend
  keep: bool

  def rematerialised(self, module):
    """The module with what `remat` does not keep made again."""
    if self.remat == "none":
      return module
    return nn.remat(module, policy=REMAT[self.remat], prevent_cse=False)

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    documents: Int[Array, "B L"],
    past: tuple | None,
    noise: Float[Array, "B L D"] | None = None,
    parents: Int[Array, "B L"] | None = None,
  ):
    c = self.config
    V, D = c.vocab, c.width
    table = self.param("embed", normal(0.02), (V, D))
    # Every device looks all rows up in its own columns of the table, and then
    # gives away what is not of its rows: the table itself is never gathered.
    ids = self.constrain(tokens, "ids")
    x = self.constrain(jnp.take(table, ids, axis=0), "looked_up")
    x = self.constrain(x, "hidden")
    if noise is not None:
      x = x + self.constrain(noise.astype(x.dtype), "hidden")
    if c.embed_scale != 1.0:
      x = x * jnp.asarray(c.embed_scale, x.dtype)
    if c.rope is None:
      learned = self.param("positions", normal(0.02), (c.max_length, D))
      x = x + jnp.take(learned, positions, axis=0).astype(x.dtype)
    (stacked, tail), *places = past or ((None, None), None, None)
    stream = {
      "positions": positions,
      "documents": documents,
      "parents": parents,
      "past_positions": places[0],
      "past_documents": places[1],
      "global": angles(c.rope, c.head_size, positions, documents),
      "local": angles(c.local_rope, c.head_size, positions, documents),
    }
    whole, own, rest = c.depth // c.period, None, []
    if whole:
      layers = nn.scan(
        self.rematerialised(Period),
        variable_axes={"params": 0, "lora": 0},
        split_rngs={"params": True},
        in_axes=(0, nn.broadcast),
        length=whole,
      )(c, self.constrain, self.attend, self.keep, name="layers")
      x, own = layers(x, stacked, stream)
    for j in range(c.depth - whole * c.period):
      window = c.windows[whole * c.period + j]
      block = self.rematerialised(Block)(
        c, window, self.constrain, self.attend, name=f"tail_{j}"
      )
      x, kv = block(x, stream, tail and tail[j])
      rest.append(kv)
    x = Norm(c.norm, c.norm_eps, name="final_norm")(x)
    if c.own_head:
      self.param("head", normal(0.02), (V, D))
    return x, (own, tuple(rest)) if self.keep else None


def angles(
  rope: Rope | None,
  size: int,
  positions: Int[Array, "B L"],
  documents: Int[Array, "B L"],
):
  """cos and sin [B, L, R] of a rotary embedding, float32."""
  if rope is None:
    return None
  turned = int(size * rope.fraction)
  length = jnp.ones((1, 1), jnp.int32)
  if rope.kind == "dynamic":
    length = jax.vmap(last)(positions, documents) + 1
  freq = frequencies(
    turned,
    theta=rope.theta,
    kind=rope.kind,
    factor=rope.factor,
    low_freq=rope.low_freq,
    high_freq=rope.high_freq,
    original_length=rope.original_length,
    length=length,
  )
  angle = positions[:, :, None].astype(jnp.float32) * freq
  return jnp.cos(angle), jnp.sin(angle)


def last(
  positions: Int[Array, "L"], documents: Int[Array, "L"]
) -> Int[Array, "L"]:
  """The last position of the document each token stands in."""
  most = jnp.zeros(positions.shape[0] + 1, positions.dtype)
  return most.at[documents].max(positions)[documents]
