"""Per-token numbers of long rows, a chunk of tokens at a time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Tree = Any


def by_chunks(
  one: Callable[[Tree, Tree, Tree, Tree], dict[str, jax.Array]],
  weights: Tree,
  held: Tree,
  states: Tree,
  fixed: Tree,
  *,
  chunk: int,
  end: Int[Array, ""] | None = None,
  slopes: Mapping[str, Float[Array, "B T"]] | None = None,
) -> dict[str, Float[Array, "B T"]]:
  """`one` of a chunk of tokens after the other, up to token `end`; 0 beyond.

  one: (weights, held, states of a chunk, fixed of it) → name → [B, chunk].
    Gradients are of `weights` and `states` alone.
  states, fixed: arrays [B, T, ...]; they are walked along T, the batch axis
    kept whole, so that on a mesh every device goes through its own rows only.
  chunk: tokens of a row at once; T is padded to whole chunks.
  end: ≤ T; the loop ends there. None: T.
  slopes: what the gradient of each output will be, where that is known before;
    outputs without one have none. Then a chunk is gone through once, forward
    and backward together; else the backward pass runs `one` again.
  """
  T = jax.tree.leaves(states)[0].shape[1]
  chunk = min(chunk, T)
  chunks = -(-T // chunk)
  rounds = chunks if end is None else jnp.minimum(-(-end // chunk), chunks)

  def padded(x):
    return jnp.pad(
      x, ((0, 0), (0, chunks * chunk - T)) + ((0, 0),) * (x.ndim - 2)
    )

  def part(tree, i):
    cut = lambda x: lax.dynamic_slice_in_dim(x, i * chunk, chunk, 1)  # noqa: E731
    return jax.tree.map(cut, tree)

  def put(tree, parts, i):
    at = partial(lax.dynamic_update_slice_in_dim, start_index=i * chunk, axis=1)
    return jax.tree.map(at, tree, parts)

  def blank(*args):
    weights, held, states, fixed = args
    made = jax.eval_shape(one, weights, held, part(states, 0), part(fixed, 0))
    zeros = lambda x: jnp.zeros((x.shape[0], chunks * chunk), x.dtype)  # noqa: E731
    return jax.tree.map(zeros, made)

  def forward(weights, held, states, fixed, rounds, slopes):
    del slopes

    def body(i, out):
      return put(out, one(weights, held, part(states, i), part(fixed, i)), i)

    return lax.fori_loop(0, rounds, body, blank(weights, held, states, fixed))

  def pulled(args, out, slopes):
    """Outputs, where a tree for them is given, and gradients."""
    weights, held, states, fixed, rounds, _ = args

    def body(i, carry):
      out, of_weights, of_states = carry
      run = lambda w, s: one(w, held, s, part(fixed, i))  # noqa: E731
      made, pull = jax.vjp(run, weights, part(states, i))
      g = {k: jnp.zeros_like(x) for k, x in made.items()} | part(slopes, i)
      more, here = pull(g)
      of_weights = jax.tree.map(jnp.add, of_weights, more)
      out = out and put(out, made, i)
      return out, of_weights, put(of_states, here, i)

    zeros = jax.tree.map(jnp.zeros_like, (weights, states))
    return lax.fori_loop(0, rounds, body, (out, *zeros))

  def keep(*args):
    if slopes is None:
      return forward(*args), args
    out, *found = pulled(args, blank(*args[:4]), args[-1])
    return out, found

  def backward(kept, g):
    found = pulled(kept, {}, g)[1:] if slopes is None else kept
    return found[0], None, found[1], None, None, None

  walk = jax.custom_vjp(forward)
  walk.defvjp(keep, backward)
  given = jax.tree.map(padded, (states, fixed, dict(slopes or {})))
  out = walk(weights, held, *given[:2], rounds, given[2])
  return jax.tree.map(lambda x: x[:, :T], out)
