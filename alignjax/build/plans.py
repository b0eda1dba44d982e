"""How rollouts of a config become updates, and what is made of them."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax.alarms import TOLERANCE, Alarms
from alignjax.build import named
from alignjax.experience import estimated, paired
from alignjax.ops import advantages
from alignjax.rollout import Plan
from alignjax.sharding import Placement
from alignjax.types import Batch


def plan(config: ConfigDict) -> Plan:
  """How rollouts become updates.

  Raises ValueError where a rollout does not hold whole groups, or steps do not
  end with one.
  """
  r, t = config.rollout, config.train
  for name in ("kl_stop", "kl_limit", "kl_target", "clip", "missing_stop"):
    if not 0 <= r[name] < float("inf"):
      raise ValueError(
        f"rollout.{name} = {r[name]}; it must be 0 (none) or more."
      )
  for name in ("minibatches", "epochs", "samples", "max_tokens"):
    if r[name] < 1:
      raise ValueError(f"rollout.{name} = {r[name]}; it must be at least 1.")
  found = Plan(t.batch, r.minibatches, r.epochs, r.samples, bool(r.pairs))
  if r.pairs and r.samples < 2:
    raise ValueError(
      f"rollout.samples = {r.samples}; a pair needs two completions of a "
      "prompt or more."
    )
  if found.completions % r.samples:
    raise ValueError(
      f"A rollout has train.batch · rollout.minibatches = {found.rows} "
      f"completions, which are no whole groups of rollout.samples = "
      f"{r.samples}."
    )
  for key, steps in (
    ("train.steps", t.steps),
    ("train.eval_every", t.eval_every),
    ("checkpoint.every", config.checkpoint.every),
    ("sample.every", config.sample.every),
  ):
    if steps % found.updates:
      raise ValueError(
        f"{key} = {steps} is no multiple of the {found.updates} steps of a "
        "rollout\n(rollout.epochs · rollout.minibatches); nothing is saved or "
        "looked at inside of one."
      )
  return found


def slots(config: ConfigDict, place: Placement) -> int:
  """Completions that are decoded at once; 0 = all of a rollout.

  Raises ValueError where they do not divide, or are more than a rollout has.
  """
  n, multiple = config.rollout.slots, place.row_multiple
  rows = plan(config).completions
  if not 0 <= n <= rows or n % multiple:
    raise ValueError(
      f"rollout.slots = {n}; it must be a multiple of {multiple}, over which "
      f"rows are split,\nand at most the {rows} completions of a rollout. "
      "0 decodes all of them at once."
    )
  return n


def finish(config: ConfigDict) -> Callable[..., Batch]:
  """(batch, scores, coefficient) → the batch that losses read.

  Raises ValueError for an estimator of advantages there is not, or one beside
  pairs.
  """
  r = config.rollout
  entry, samples = r.advantage.to_dict(), r.samples
  if r.pairs:
    if entry:
      raise ValueError(
        f"rollout.advantage = {entry} has no effect with rollout.pairs: pairs "
        "are ranked.\nSet rollout.advantage={}, or rollout.pairs=False."
      )
    return lambda batch, scores, coefficient: paired(batch, scores, samples)
  estimate = named.function(
    advantages,
    entry.pop("name", ""),
    entry,
    where="rollout.advantage",
    first=("batch", "scores", "coefficient", "samples"),
  )

  _try(estimate, samples)
  return estimated(estimate, samples)


def _try(estimate: Callable, samples: int) -> None:
  """Calls an estimator on shapes, so that its options are known to be legal.

  Raises ValueError for what it refuses.
  """
  ids, numbers = jnp.zeros((samples, 4), jnp.int32), jnp.zeros((samples, 4))
  names = ("old/logp", "old/value", "reference/logp", "valued")
  ends = jnp.zeros((samples, 1), jnp.int32)
  fields = dict.fromkeys(names, numbers)
  batch = Batch(*[ids] * 6, numbers, ends=ends, fields=fields)
  try:
    jax.eval_shape(
      lambda scores, kl: estimate(batch, scores, kl, samples),
      *(jnp.zeros(shape) for shape in (samples, ())),
    )
  except ValueError as error:
    raise ValueError(
      f"rollout.advantage, rollout.samples = {samples}: {error}"
    ) from None


def alarms(config: ConfigDict) -> Callable[[Mapping], dict[str, str]]:
  """Metrics of a step → kind and text of what begins to be wrong."""
  if not config.rollout:
    return lambda metrics: {}
  return Alarms(
    completions=plan(config).completions,
    tolerance=TOLERANCE[config.model.dtype],
    kl_limit=config.rollout.kl_limit,
  )


def warmup(config: ConfigDict) -> int:
  """Updates that train a critic alone.

  Raises ValueError for a number of rollouts that is none.
  """
  if not config.critic:
    return 0
  rollouts = config.critic.warmup
  if rollouts < 0:
    raise ValueError(
      f"critic.warmup = {rollouts} rollouts; it must be 0 or more."
    )
  return rollouts * plan(config).updates
