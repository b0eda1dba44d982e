"""Log-ratios of policy and reference, and objectives of a pair of them.

`pairwise` makes a loss of the step out of a function of one pair:

  @pairwise(divergence=True)
  def hinge(u, v, *, beta):
    return jax.nn.relu(1 - beta * (u - v))

u = log π(chosen|x) − log ref(chosen|x), v the same of the rejected side: sums
over a completion's tokens, in nats.
"""

import functools
import inspect
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from alignjax.ops import completions as per
from alignjax.ops.masked import term
from alignjax.ops.pairs import expected, pairs_of, reports, sides
from alignjax.ops.preference import check, link
from alignjax.types import Batch, Terms

Stats = Mapping[str, Float[Array, "B T"]]


def log_ratios(
  stats: Stats,
  batch: Batch,
  *,
  reference_free: bool,
  factors: Float[Array, "B T"] | None = None,
) -> tuple[Float[Array, "B S"], Float[Array, "B S"]]:
  """log π and log π − log ref of each completion, in nats: sums over tokens.

  reference_free: log ref = 0. factors: what each token counts in both.
  """
  size = per.size_of(batch)

  def total(x):
    # NaN · 0 does no harm where nothing is trained: the sum does not look.
    x = x if factors is None else x * factors
    return per.sums(x, batch.completions, size)

  logp = total(stats["logp"])
  if reference_free:
    return logp, logp
  # The sum of small differences, not the difference of two large sums.
  return logp, total(stats["logp"] - per.field(batch, "reference/logp"))


def pair_terms(
  name: str,
  loss: Callable,
  stats: Stats,
  batch: Batch,
  *,
  beta: float,
  reference_free: bool,
  divergence: str = "reverse_kl",
  per_token: bool = False,
  factors: Float[Array, "B T"] | None = None,
  scale: Float[Array, "B P"] | None = None,
  soft: bool = False,
) -> Terms:
  """The mean over pairs of loss(u, v), under their labels and weights.

  divergence: which s(u), s(v) stand for u, v. per_token: they are divided by
  the tokens of their side. factors: what each token counts. scale: what each
  pair's loss is multiplied by. soft: loss(u, v, p) takes the label itself;
  otherwise the loss is the expected one over which side is preferred.
  """
  logp, plain = log_ratios(
    stats, batch, reference_free=reference_free, factors=factors
  )
  ratio = link(divergence)(plain)
  if per_token:
    count = per.counts(batch.completions, ratio.shape[1])
    ratio = ratio / jnp.maximum(count, 1).astype(ratio.dtype)
  pairs = pairs_of(batch)
  u, v = sides(ratio)
  found = (loss if soft else functools.partial(expected, loss))(
    u, v, pairs.label.astype(u.dtype)
  )
  if scale is not None:
    found = found * scale
  return Terms(
    loss={name: term(found, pairs.present, pairs.weights)},
    metrics=reports(logp, beta * plain, stats, batch),
  )


def pairwise(*, divergence: bool, per_token: bool = False) -> Callable:
  """Makes loss(stats, batch, *, …) of a function of a pair (u, v).

  The function's keyword-only options, `beta` among them, become the loss's,
  and `reference_free` beside them; with `divergence` that too, and the
  function gets s(u), s(v). With `per_token` it gets them divided by the tokens
  of their side. A third argument `p` is the label; without it the loss is the
  expected one. The function itself stays at hand as `__wrapped__`.
  """
  more = ("divergence",) * divergence + ("reference_free",)
  general = inspect.signature(pair_terms)

  def make(function):
    own = inspect.signature(function).parameters
    signature = general.replace(
      parameters=[
        *(general.parameters[name] for name in ("stats", "batch")),
        *(p for p in own.values() if p.kind is p.KEYWORD_ONLY),
        *(
          general.parameters[n].replace(default=inspect.Parameter.empty)
          for n in more
        ),
      ]
    )

    @functools.wraps(function)
    def loss(stats, batch, **options):
      signature.bind(stats, batch, **options)
      shared = {name: options.pop(name) for name in more}
      check(**options)
      return pair_terms(
        function.__name__,
        functools.partial(function, **options),
        stats,
        batch,
        beta=options["beta"],
        per_token=per_token,
        soft="p" in own,
        **shared,
      )

    loss.__signature__ = signature
    return loss

  return make
