"""The sampler: how a model begins rows, and how it goes on with them."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM, Params
from alignjax.ops import sampling
from alignjax.ops.readout import logits_of, statistics
from alignjax.sample.rows import Prompts, Samples, blank, extended
from alignjax.sample.slots import Slots, served

BATCHES = 8  # in which the rows of all slots are replaced, about


def make_sampler(
  lm: LM,
  *,
  max_tokens: int,
  temperature: float,
  top_k: int,
  top_p: float,
  min_p: float,
  stop: Sequence[int],
  slots: int = 0,
  multiple: int = 1,
) -> Callable[[Params, Prompts, jax.Array], Samples]:
  """(params, prompts, key) → Samples; pure, to be jitted by the caller.

  temperature 0 is greedy. Filters act in the order temperature, top_k, top_p,
  min_p. Decoding ends when every row has stopped or has `max_tokens`.

  slots: rows decoded at once, 0 = all. The others come in, in their order,
    where rows have ended: no sample depends on it, but the time does, and the
    memory of the cache.
  multiple: what numbers of rows are multiples of, so that they divide over a
    mesh; of `slots` too.
  """
  for name, value, legal, rule in (
    ("temperature", temperature, temperature >= 0, ">= 0"),
    ("max_tokens", max_tokens, max_tokens >= 1, ">= 1"),
    ("top_k", top_k, top_k >= 0, ">= 0 (0 = all)"),
    ("top_p", top_p, 0 < top_p <= 1, "in (0, 1]"),
    ("min_p", min_p, 0 <= min_p <= 1, "in [0, 1]"),
    (
      "slots",
      slots,
      slots >= 0 and slots % multiple == 0,
      f"a multiple of {multiple} (0 = one for every row)",
    ),
  ):
    if not legal:
      raise ValueError(f"{name} = {value}; it must be {rule}.")
  T = max_tokens
  # The last token of a row is not looked at again.
  room = max(T - 1, 1)

  def choose(logits, key, rows, positions):
    """Next tokens and their log-probabilities."""
    warm = logits / (temperature or 1.0)
    if temperature:
      kept = sampling.min_p(
        sampling.top_p(sampling.top_k(warm, top_k), top_p), min_p
      )
      token = sampling.draw(kept, key, rows, positions)
    else:
      token = sampling.greedy(logits)
    stats = statistics(warm[:, None], token[:, None], ("logp",))
    return token, stats["logp"][:, 0]

  def sample(params, prompts, key):
    B, L = prompts.tokens.shape
    _check(lm.config, L, T)
    weights, head = lm.cast(params), lm.head(params)

    def read(x, ids, positions):
      logits = logits_of(x, head, lm.config.final_softcap)
      return choose(logits, key, ids, positions)

    def begin(rows):
      """Prefill. Places from L on are for the keys of sampled tokens."""
      tokens, starts, ids = (x[rows] for x in prompts)
      positions = jnp.broadcast_to(jnp.arange(L), tokens.shape)
      there = positions < starts[:, None]
      x, own = lm.extend(
        weights, tokens, positions, there.astype(jnp.int32), None
      )
      last = jnp.take_along_axis(x, starts[:, None, None] - 1, axis=1)[:, 0]
      token, logp = read(last, ids, starts)
      return Slots(
        rows,
        ids,
        starts,
        token,
        extended(blank(len(rows), T, logp.dtype), token, logp, stop),
        jax.tree.map(lambda x: _padded(x, room, -2, 0), own),
        _padded(positions, room, -1, 0),
        _padded(jnp.where(there, 1, -1), room, -1, -1),
      )

    def step(s, t):
      # One place for all slots. A row is through before it comes round again.
      place = L + t % room

      def write(old, new, axis):
        update = jax.lax.dynamic_update_slice_in_dim
        return update(old, new, place, axis)

      ends = s.starts + s.samples.lengths
      positions = ends[:, None] - 1
      documents = jnp.ones_like(positions)
      past = s.cache, s.positions, s.documents
      x, own = lm.extend(weights, s.token[:, None], positions, documents, past)
      token, logp = read(x[:, 0], s.ids, ends)
      return s._replace(
        token=token,
        samples=extended(s.samples, token, logp, stop),
        # Once a token, outside the layers, which only read: moves one token.
        cache=jax.tree.map(lambda c, x: write(c, x, -2), s.cache, own),
        positions=write(s.positions, positions, -1),
        documents=write(s.documents, documents, -1),
      )

    at_once = min(slots, B) or B
    refill = multiple * max(1, at_once // (BATCHES * multiple))
    return served(
      begin, step, rows=B, slots=at_once, refill=min(refill, at_once)
    )

  return sample


def _padded(x, n: int, axis: int, value):
  """x with n more entries along an axis."""
  shape = [(0, 0)] * x.ndim
  shape[axis] = (0, n)
  return jnp.pad(x, shape, constant_values=value)


def _check(config: ModelConfig, prompt: int, new: int) -> None:
  """Raises ValueError where a model does not take so many tokens."""
  rope, most = config.rope, config.max_length
  if rope is not None and rope.kind == "dynamic":
    if prompt + new > rope.original_length:
      raise ValueError(
        f"{prompt} prompt and {new} new tokens pass the "
        f"{rope.original_length} after which dynamic rope scaling changes "
        "earlier keys.\nSample fewer tokens, or use another rope scaling."
      )
  if prompt + new > most:
    raise ValueError(
      f"{prompt} prompt and {new} new tokens pass the model's {most}; "
      "shorten the prompt or max_tokens."
    )
