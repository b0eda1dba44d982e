"""The layers of a decoder: norms, projections, attention, MLP, block."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.models.config import ModelConfig
from alignjax.ops.attention import Past, at_least_float32, rotate

Constrain = Callable[..., jax.Array]  # as `unconstrained`
Attend = Callable[..., jax.Array]  # as `ops.attention.attend`


def unconstrained(x: jax.Array, name: str, decoding: bool = False) -> jax.Array:
  """No mesh: activations stay where they are."""
  del name, decoding
  return x


ACTIVATIONS = {
  "silu": jax.nn.silu,
  "gelu": lambda x: jax.nn.gelu(x, approximate=False),
  "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
  "relu": jax.nn.relu,
}


def normal(std: float):
  """An initializer: mean 0, standard deviation `std`."""
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
  backend a transposed copy of x in the backward pass. Where there is a low-rank
  adapter (`models.lora`), x · a · b is added: the frozen kernel then has no
  gradient to compute.
  """

  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  bias: bool
  constrain: Constrain
  std: float = 0.02

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    shape = (*self.inputs, *self.outputs)
    kernel = self.param("kernel", normal(self.std), shape).astype(x.dtype)
    kernel = self.constrain(kernel, "/".join((*self.path, "kernel")))
    size = math.prod(self.inputs)
    flat = x.reshape(-1, size)
    y = flat @ kernel.reshape(size, -1)
    if self.has_variable("lora", "a"):
      a, b = (self.get_variable("lora", n).astype(x.dtype) for n in "ab")
      low = flat @ a.reshape(size, -1)
      # With a batch axis, so that remat "dots" does not keep this beside y.
      y = y + jax.vmap(jnp.matmul)(low[None], b.reshape(1, b.shape[0], -1))[0]
    y = y.reshape(*x.shape[: x.ndim - len(self.inputs)], *self.outputs)
    if self.bias:
      bias = self.param("bias", nn.initializers.zeros, self.outputs)
      y = y + bias.astype(x.dtype)
    return y


class Attention(nn.Module):
  """Projections around attention; window in tokens, 0 for none.

  Returns [B, L, D], and the keys and values [B, K, L, N] of the L tokens.
  """

  config: ModelConfig
  window: int
  constrain: Constrain
  attend: Attend

  @nn.compact
  def __call__(self, x, stream, past):
    c, window = self.config, self.window
    D, H, K, N = c.width, c.heads, c.kv_heads, c.head_size

    def project(name, heads):
      return Linear((D,), (heads, N), c.qkv_bias, self.constrain, name=name)(x)

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
    k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)
    y = self.attend(
      q,
      k,
      v,
      stream["positions"],
      stream["documents"],
      past and Past(*past, stream["past_positions"], stream["past_documents"]),
      stream["parents"],
      window=window,
      scale=c.scale,
      softcap=c.attention_softcap,
    )
    std = 0.02 / (2 * c.depth) ** 0.5
    out = Linear((H, N), (D,), c.out_bias, self.constrain, std, name="out")
    return out(y), (k, v)


HEAD_NAMES = ("query", "key", "value")


class Mlp(nn.Module):
  """down(act(up(x))), or down(act(gate(x)) · up(x)) (Shazeer 2020)."""

  config: ModelConfig
  constrain: Constrain

  @nn.compact
  def __call__(self, x):
    c = self.config
    D, F = c.width, c.hidden

    def up(name):
      return Linear((D,), (F,), c.mlp_bias, self.constrain, name=name)(x)

    act = ACTIVATIONS[c.activation]
    y = act(up("gate")) * up("up") if c.gated else act(up("up"))
    y = self.constrain(y, "mlp")
    std = 0.02 / (2 * c.depth) ** 0.5
    down = Linear((F,), (D,), c.mlp_bias, self.constrain, std, name="down")
    return down(y)


class Block(nn.Module):
  """One layer: x + attention, x + mlp, with the family's norms.

  past: None, or keys and values [B, K, C, N] of earlier tokens. Returns x and
  the keys and values of its own tokens [B, K, L, N].
  """

  config: ModelConfig
  window: int
  constrain: Constrain
  attend: Attend

  @nn.compact
  def __call__(self, x, stream, past):
    c = self.config
    before = c.norm_place in ("pre", "both")
    after = c.norm_place in ("post", "both")

    def norm(name, x, wanted):
      return Norm(c.norm, c.norm_eps, name=name)(x) if wanted else x

    attention = Attention(
      c, self.window, self.constrain, self.attend, name="attention"
    )
    mlp = Mlp(c, self.constrain, name="mlp")
    y, own = attention(norm("attention_norm", x, before), stream, past)
    y = norm("attention_post_norm", y, after)
    middle = x if c.parallel else x + y
    z = mlp(norm("mlp_norm", middle, before))
    z = norm("mlp_post_norm", z, after)
    x = x + y + z if c.parallel else middle + z
    return self.constrain(x, "hidden"), own
