"""What losses read, and whether rows and model of a config have it.

Losses are called on shapes: nothing is computed, and nothing is read yet.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax.build.layouts import check_prompts, kind
from alignjax.data.tokenise import ROWS
from alignjax.models.config import ModelConfig
from alignjax.totals import Objective, needed
from alignjax.types import Batch

FIELD = "reference/logp"
OF_TOKENS = (FIELD, "prompt")
# What rollouts make of tokens beside.
OF_ROLLOUTS = (
  "old/logp",
  "old/value",
  "valued",
  "advantages",
  "returns",
  "mixed",
)
# Of completions, by what a row is. Of judged answers the one that another
# prompt's stands beside is alone: both are no pair.
HELD = {
  "examples": (),
  "pairs": ("label", "margin"),
  "judged": ("label",),
  "judged+kl": ("label", "kl"),
}


def is_read(objectives: Mapping[str, Objective], field: str = FIELD) -> bool:
  """Whether a loss reads a field of the batch."""

  class Noting(dict):
    read = False

    def __getitem__(self, name):
      self.read |= name == field
      return super().__getitem__(name)

  fields = Noting()
  for objective in objectives.values():
    _take(objective, fields, ("label", "margin", "kl"), 2, OF_ROLLOUTS)
  return fields.read


def check_losses(
  config: ConfigDict, objectives: Mapping[str, Objective], model: ModelConfig
) -> None:
  """Raises ValueError for options that a loss cannot have, and for losses that
  cannot be taken of the rows or the model of a config."""
  if not objectives:
    raise ValueError(
      "config.loss is empty, so nothing would be learnt.\nGive it an entry: "
      'loss = dict(main=dict(name="sft", weight=1.0)).'
    )
  for label, objective in objectives.items():
    try:
      is_read({label: objective})
    except ValueError as error:
      raise ValueError(f"loss.{label}: {error}") from None
  check_prompts(config, is_read(objectives, "prompt"))
  if config.rollout:
    _check_rollouts(objectives, bool(config.rollout.pairs))
    return
  rows = kind(config).rows
  for label, objective in objectives.items():
    legal = [name for name in ROWS if _fits(objective, name)]
    if legal and rows not in legal:
      raise ValueError(
        f"loss.{label} cannot be taken of rows that are {rows} (data.rows).\n"
        f"Set data.rows to {' or '.join(legal)}, or use another loss."
      )
    _check_scores(label, objective, model)


def _check_rollouts(objectives: Mapping[str, Objective], pairs: bool) -> None:
  more, sides, held = OF_ROLLOUTS, 1, ()
  what, legal = "completions that were sampled", "ppo, grpo or rloo"
  if pairs:
    more, sides, held = ("old/logp", "mixed"), 2, ("label",)
    what, legal = (
      "pairs of them (rollout.pairs)",
      "dpo or another loss of pairs",
    )
  for label, objective in objectives.items():
    try:
      _take(objective, {}, held, sides, more)
    except (KeyError, ValueError):
      raise ValueError(
        f"loss.{label} cannot be taken of {what}, which config.rollout makes."
        f"\nUse {legal}."
      ) from None


def _check_scores(label: str, objective: Objective, model: ModelConfig) -> None:
  scores = "score" in objective.needs
  if scores and not model.scores:
    raise ValueError(
      f"loss.{label} is over scores, and model.scores = 0.\nSet it to the "
      "number of heads, 1 mostly, with a sharding rule for score_head "
      "(configs/reward.py)."
    )
  if not scores and model.scores and not model.tied:
    raise ValueError(
      f"loss.{label} is over tokens, and a model with scores (model.scores = "
      f"{model.scores})\nhas no output head. Set model.scores=0, or use the "
      "loss reward."
    )


def _fits(objective: Objective, rows: str) -> bool:
  sides = {"examples": 0, "pairs": 2}.get(rows, 1)
  try:
    _take(objective, {}, HELD[rows], sides)
  except (KeyError, ValueError):
    return False
  return True


def _take(
  objective: Objective, fields: dict, held, sides: int, more=()
) -> None:
  """The loss of a batch with some fields of its `sides` completions, and more
  of tokens."""
  B, L, T = 1, 8, 4

  def run():
    row, ids = jnp.zeros((B, L), jnp.int32), jnp.zeros((B, T), jnp.int32)
    of_tokens, of_completions = jnp.zeros((B, T)), jnp.zeros((B, sides))
    fields.update({k: of_completions for k in held})
    fields.update({k: of_tokens for k in (*OF_TOKENS, *more)})
    batch = Batch(*[row] * 3, *[ids] * 3, of_tokens, fields=fields)
    if sides:
      batch = batch._replace(ends=jnp.zeros((B, sides), jnp.int32))
    blank = dict.fromkeys(needed({"": objective}), of_tokens)
    if "score" in blank:
      blank["score"] = of_completions
    return objective.loss(blank, batch)

  jax.eval_shape(run)
