"""What a config scores completions by: rules of text, and reward models."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from alignjax import pretrained, rewards, sharding
from alignjax.build import named, tokens
from alignjax.build.record import checksum
from alignjax.models.lm import LM
from alignjax.ops import ensemble
from alignjax.rollout import Answers, Reward

# What rewards by rule are called with.
RULE = ("prompts", "completions", "rows")
MODEL = ("path", "revision", "ensemble")


class Scorers(NamedTuple):
  """name → (weight, answers → scores [B]), and what tells them from others.

  longest: tokens that all of them take; None: any number.
  """

  parts: dict[str, tuple[float, Reward]]
  identity: dict[str, str]
  longest: int | None


def scorers(
  config: ConfigDict, tokenizer: Any, lm: LM, place: sharding.Placement
) -> Scorers:
  """The entries of `config.reward`.

  An entry's `name` is a function in `alignjax/rewards.py`, the import path of
  one of the user's own, or `model`: reward models, which read the tokens as
  they were sampled.

  Raises ValueError for options there are not, and for models that cannot read
  the policy's tokens.
  """
  if not config.reward:
    raise ValueError(
      "config.reward is empty: rollouts need something to be scored by."
    )
  parts, identity, limits = {}, {}, []
  for label, entry in config.reward.items():
    where = f"reward.{label}"
    name, weight, options = named.split(entry.to_dict(), where)
    if name != "model":
      parts[label] = weight, _rule(name, options, where)
      continue
    score, known, limit = _models(options, where, tokenizer, lm, place)
    parts[label], identity[where] = (weight, score), known
    limits.append(limit)
  return Scorers(parts, identity, min(limits, default=None))


def _rule(name: str, options: Mapping, where: str) -> Reward:
  module, _, function = name.rpartition(".")
  module = named.imported(module, where) if module else rewards
  score = named.function(module, function, options, where=where, first=RULE)

  def scored(answers: Answers) -> np.ndarray:
    asked = answers.questions
    found = score(
      [q.messages for q in asked], answers.texts, [q.row for q in asked]
    )
    return _checked(found, len(asked), f"{where}: {name}")

  return scored


def _models(
  options: Mapping,
  where: str,
  tokenizer: Any,
  lm: LM,
  place: sharding.Placement,
) -> tuple[Reward, str, int]:
  """(answers → scores, a checksum, the longest row that is read)."""
  if sorted(options) != sorted(MODEL):
    raise ValueError(
      f"{where}: model takes {', '.join(MODEL)}; the config gives "
      f"{', '.join(options) or 'none'} (common.reward_model)."
    )
  paths = options["path"]
  paths = (paths,) if isinstance(paths, str) else tuple(paths)
  if not all(paths) or not paths:
    raise ValueError(
      f"{where}.path = {options['path']!r}; give the folder of a reward model, "
      "or several of\nan ensemble: alignjax export writes one of a run of "
      "configs/reward.py."
    )
  rule = dict(options["ensemble"])
  combine = named.function(
    ensemble,
    rule.pop("name", ""),
    rule,
    where=f"{where}.ensemble",
    first=("scores",),
  )
  revision = options["revision"] or None
  outlines = [_outline(p, revision, where, tokenizer, lm) for p in paths]
  bare = dict(lora=None, teacher=None, critic=None, values=False)
  models = [dataclasses.replace(lm, config=x, **bare) for x in outlines]
  weights = [_weights(p, revision, m, place) for p, m in zip(paths, models)]

  def combined(weights, batch):
    found = [
      model.stats(params, batch, ("score",))["score"]
      for model, params in zip(models, weights)
    ]
    # [B, 1] of one head, [B, 1, k] of several.
    rows = [x.reshape(x.shape[0], -1) for x in found]
    return combine(jnp.concatenate(rows, 1))

  run = jax.jit(combined, out_shardings=place.rows)

  def scored(answers: Answers) -> np.ndarray:
    found = sharding.fetched(run(weights, answers.batch))
    return _checked(found, len(answers.questions), where)

  known = "+".join(checksum(params) for params in weights)
  return scored, known, min(found.max_length for found in outlines)


def _outline(path, revision, where, tokenizer, lm):
  """The shape of a reward model that reads the policy's tokens."""
  found, own = pretrained.outline(path, revision)
  if not found.scores:
    raise ValueError(
      f"{where}.path = {path}: a language model, without scalar heads.\nGive "
      "the folder that alignjax export writes of a run of configs/reward.py."
    )
  same = own is None or (
    tokens.of_tokenizer(own) == tokens.of_tokenizer(tokenizer)
  )
  if found.vocab != lm.config.vocab or not same:
    raise ValueError(
      f"{where}.path = {path}: its tokenizer is another than the policy's.\n"
      "Completions are scored as the tokens they were sampled as; use a reward "
      "model\nof the policy's family."
    )
  return found


def _weights(path, revision, model: LM, place: sharding.Placement) -> dict:
  """Its parameters, in the type they are used in."""
  return pretrained.load(
    path,
    revision=revision,
    dtype="float32" if model.dtype == "float64" else model.dtype,
    place=lambda name, shape: place.param(f"reward/{name}", shape),
  )[1]


def _checked(found, count: int, what: str) -> np.ndarray:
  found = np.asarray(found, np.float32)
  if found.shape != (count,) or not np.isfinite(found).all():
    raise ValueError(
      f"{what} gave {found.shape} numbers for {count} completions, or one that "
      "is not finite; give one float each."
    )
  return found
