"""What says values in a config: a critic, or a head on the policy."""

import dataclasses

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax import pretrained, sharding
from alignjax.models.lm import LM


def valued(lm: LM, config: ConfigDict) -> LM:
  """The policy with what `config.critic` says; no weights are read.

  Raises ValueError for a critic that is no reward model of one head, or of
  another vocabulary.
  """
  c = config.critic
  if not c:
    return lm
  if c.trunk:
    if c.path:
      raise ValueError(
        f"critic.path = {c.path!r} has no effect with critic.trunk: the head "
        "is on the policy.\nLeave out one of them."
      )
    return dataclasses.replace(lm, values=True)
  found = lm.config.replace(scores=1)
  if c.path:
    found, _ = pretrained.outline(c.path, c.revision or None)
    if found.scores != 1 or found.vocab != lm.config.vocab:
      raise ValueError(
        f"critic.path = {c.path}: {found.scores} scalar heads, a vocabulary of "
        f"{found.vocab}.\nA critic begins as a reward model of one head and of "
        f"the policy's vocabulary, {lm.config.vocab}."
      )
  critic = dataclasses.replace(lm, config=found, lora=None, teacher=None)
  return dataclasses.replace(lm, critic=critic)


def with_critic(
  params: dict, config: ConfigDict, place: sharding.Placement, lm: LM
) -> dict:
  """The parameters, those of the critic in the place of random ones.

  They are a reward model's, or the policy's own with a head of 0.
  """
  if lm.critic is None:
    return params
  c, wanted = config.critic, params["critic"]
  if c.path:

    def under(path, shape):
      return place.param(f"critic/{path}", shape)

    found = pretrained.load(c.path, revision=c.revision or None, place=under)[1]
    return params | {"critic": found}
  base = {k: params[k] for k in wanted if k != "score_head"}
  where = place.tree(lm.shapes())["critic"]

  def copied(base):
    found = jax.tree.map(jnp.copy, base)
    return found | {"score_head": jnp.zeros_like(wanted["score_head"])}

  return params | {"critic": jax.jit(copied, out_shardings=where)(base)}
