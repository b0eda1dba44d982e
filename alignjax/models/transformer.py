"""One decoder for every family (Flax Linen), pure over its parameter tree."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.models.config import ModelConfig, Rope
from alignjax.ops.attention import (
  at_least_float32,
  attend,
  frequencies,
  rotate,
)

Constrain = Callable[[jax.Array, str], jax.Array]

REMAT = {
  "none": None,
  "full": jax.checkpoint_policies.nothing_saveable,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}

ACTIVATIONS = {
  "silu": jax.nn.silu,
  "gelu": lambda x: jax.nn.gelu(x, approximate=False),
  "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
  "relu": jax.nn.relu,
}


def normal(std: float):
  return nn.initializers.normal(std)


class Norm(nn.Module):
  """RMS or layer norm over the last axes, in float32."""

  kind: str
  eps: float
  axes: int = 1

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    wide = at_least_float32(x)
    shape = x.shape[-self.axes :]
    over = tuple(range(-self.axes, 0))
    zero_centred = self.kind == "rms_plus_one"
    init = nn.initializers.zeros if zero_centred else nn.initializers.ones
    scale = at_least_float32(self.param("scale", init, shape))
    if self.kind == "layer":
      wide = wide - wide.mean(over, keepdims=True)
    wide = wide * jax.lax.rsqrt(
      jnp.mean(wide**2, over, keepdims=True) + self.eps
    )
    wide = wide * (1 + scale if zero_centred else scale)
    if self.kind == "layer":
      wide = wide + self.param("bias", nn.initializers.zeros, shape)
    return wide.astype(x.dtype)


class Linear(nn.Module):
  """x · kernel + bias over the last axes: [..., *inputs] → [..., *outputs].

  One product of two matrices: contracting several axes at once costs XLA's CPU
  backend a transposed copy of x in the backward pass.
  """

  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  bias: bool
  std: float = 0.02

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    shape = (*self.inputs, *self.outputs)
    kernel = self.param("kernel", normal(self.std), shape).astype(x.dtype)
    size = math.prod(self.inputs)
    y = x.reshape(-1, size) @ kernel.reshape(size, -1)
    y = y.reshape(*x.shape[: x.ndim - len(self.inputs)], *self.outputs)
    if self.bias:
      bias = self.param("bias", nn.initializers.zeros, self.outputs)
      y = y + bias.astype(x.dtype)
    return y


class Attention(nn.Module):
  config: ModelConfig
  window: int
  constrain: Constrain

  @nn.compact
  def __call__(self, x, stream, cache):
    c, window = self.config, self.window
    D, H, K, N = c.width, c.heads, c.kv_heads, c.head_size

    def project(name, heads):
      return Linear((D,), (heads, N), c.qkv_bias, name=name)(x)

    q, k, v = project("query", H), project("key", K), project("value", K)
    if c.qk_norm != "none":
      axes = 1 if c.qk_norm == "head" else 2
      q = Norm(c.norm, c.norm_eps, axes, name="query_norm")(q)
      k = Norm(c.norm, c.norm_eps, axes, name="key_norm")(k)
    local = window and c.local_rope is not None
    turn = stream["local" if local else "global"]
    if turn is not None:
      q, k = rotate(q, *turn), rotate(k, *turn)
    q, k, v = (self.constrain(a, n) for a, n in zip((q, k, v), HEAD_NAMES))
    if cache is not None:
      cache, held = write(cache, k, v, stream["slot"])
      if stream["key_positions"].shape[1] != x.shape[1]:
        k, v = held
    y = attend(
      q,
      k,
      v,
      stream["positions"],
      stream["key_positions"],
      stream["documents"],
      stream["key_documents"],
      window=window,
      scale=c.scale,
      softcap=c.attention_softcap,
    )
    std = 0.02 / (2 * c.depth) ** 0.5
    out = Linear((H, N), (D,), c.out_bias, std, name="out")
    return out(y), cache


HEAD_NAMES = ("query", "key", "value")


def write(cache, k, v, slot):
  """Puts new keys and values at `slot` of one layer of the cache.

  cache: (keys, values [n, B, C, K, N], layer). The stack is updated in place,
  so that decoding one token moves one token, not the cache.
  """
  keys, values, layer = cache
  at = (layer, 0, slot, 0, 0)
  keys = jax.lax.dynamic_update_slice(keys, k[None].astype(keys.dtype), at)
  values = jax.lax.dynamic_update_slice(
    values, v[None].astype(values.dtype), at
  )
  k = jax.lax.dynamic_index_in_dim(keys, layer, 0, keepdims=False)
  v = jax.lax.dynamic_index_in_dim(values, layer, 0, keepdims=False)
  return (keys, values, layer), (k, v)


class Mlp(nn.Module):
  config: ModelConfig
  constrain: Constrain

  @nn.compact
  def __call__(self, x):
    c = self.config
    D, F = c.width, c.hidden

    def up(name):
      return Linear((D,), (F,), c.mlp_bias, name=name)(x)

    act = ACTIVATIONS[c.activation]
    y = act(up("gate")) * up("up") if c.gated else act(up("up"))
    y = self.constrain(y, "mlp")
    std = 0.02 / (2 * c.depth) ** 0.5
    return Linear((F,), (D,), c.mlp_bias, std, name="down")(y)


class Block(nn.Module):
  """One layer: x + attention, x + mlp, with the family's norms."""

  config: ModelConfig
  window: int
  constrain: Constrain

  @nn.compact
  def __call__(self, x, stream, cache):
    c = self.config
    before = c.norm_place in ("pre", "both")
    after = c.norm_place in ("post", "both")

    def norm(name, x, wanted):
      return Norm(c.norm, c.norm_eps, name=name)(x) if wanted else x

    attention = Attention(c, self.window, self.constrain, name="attention")
    mlp = Mlp(c, self.constrain, name="mlp")
    y, cache = attention(norm("attention_norm", x, before), stream, cache)
    y = norm("attention_post_norm", y, after)
    middle = x if c.parallel else x + y
    z = mlp(norm("mlp_norm", middle, before))
    z = norm("mlp_post_norm", z, after)
    x = x + y + z if c.parallel else middle + z
    return self.constrain(x, "hidden"), cache


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
