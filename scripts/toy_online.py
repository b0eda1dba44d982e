"""PPO, RLOO and GRPO on the toy: rollouts and updates as one function.

Every answer begins after START, so all prompts are alike; an answer's reward is
looked up in a table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from alignjax import build, optim, step
from alignjax.annotate import make_annotator, with_fields
from alignjax.experience import (
  adaptive,
  estimated,
  laid,
  make_experience,
  rows,
)
from alignjax.ops import advantages
from alignjax.rollout import Plan, order
from alignjax.sample import Prompts, make_sampler
from scripts.toy import START, VOCAB, Toy


class Recipe(NamedTuple):
  """How a policy is trained.

  losses: as `config.loss`. estimate: of `alignjax.ops.advantages`. coefficient:
  of the KL that the estimate takes from the score. values: whether it has a
  critic, a model of its own. lr: at first; half a cosine to 0.
  """

  losses: Mapping[str, dict]
  estimate: Callable
  coefficient: float
  values: bool
  plan: Plan
  lr: float


def ppo(beta: float, plan: Plan, lr: float) -> Recipe:
  """β is that of the KL in the reward of each token."""
  losses = dict(
    policy=dict(name="ppo", kind="policy", weight=1.0, clip=0.2),
    value=dict(name="ppo", kind="value", weight=1.0, clip=0.2),
  )
  estimate = partial(
    advantages.gae,
    kl="k1",
    gamma=1.0,
    lam=0.95,
    score_at="last",
    whiten_rewards=False,
  )
  return Recipe(losses, estimate, beta, True, plan, lr)


def rloo(beta: float, plan: Plan, lr: float) -> Recipe:
  """β is that of the KL that is taken from the score."""
  main = dict(name="rloo", weight=1.0, low=0.2, high=0.2)
  return Recipe({"main": main}, advantages.leave_one_out, beta, False, plan, lr)


def grpo(beta: float, plan: Plan, lr: float) -> Recipe:
  """β is the weight of the KL as a term of the loss.

  The advantage is not divided by the group's standard deviation, which would
  multiply β by it.
  """
  infinite = float("inf")
  losses = dict(
    main=dict(
      name="grpo", kind="grpo", weight=1.0, low=0.2, high=0.2, cap=infinite
    ),
    kl=dict(
      name="grpo", kind="kl", weight=beta, over="sequences", corrected=True
    ),
  )
  estimate = partial(advantages.group, scale="none")
  return Recipe(losses, estimate, 0.0, False, plan, lr)


def train(
  toy: Toy, recipe: Recipe, reward: np.ndarray, *, rollouts: int, seed: int
) -> Iterator[tuple[dict, dict[str, float]]]:
  """(parameters, what is told) after each rollout and its updates.

  reward: of each answer, float [answers].
  """
  plan, length = recipe.plan, toy.answers.shape[1]
  lm, params = toy.lm, toy.params
  if recipe.values:
    # The critic begins as the policy, and expects nothing.
    lm = replace(lm, critic=replace(lm, config=lm.config.replace(scores=1)))
    own = {k: x for k, x in params.items() if k != "head"}
    own["score_head"] = jnp.zeros((1, lm.config.width))
    params = params | {"critic": jax.tree.map(jnp.copy, own)}
  optimizer = optim.make(
    params,
    name="adamw",
    clip=1.0,
    weight_decay=0.0,
    no_decay=(),
    lr_factors=(),
    options=dict(b1=0.9, b2=0.99, eps=1e-8),
  )
  steps = rollouts * plan.updates
  train_step = step.make_train_step(
    lm.stats,
    {k: build.objective(k, x) for k, x in recipe.losses.items()},
    optimizer,
    optim.schedule("cosine", lr=recipe.lr, warmup=20, steps=steps, end=0.0),
    1,
  )
  sampler = make_sampler(
    lm,
    max_tokens=length,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    stop=(),
  )
  refer = make_annotator(lm.stats, ("logp",))
  experience = make_experience(
    lm.stats,
    lambda state, b: with_fields(b, refer(state.reference, b), "reference"),
    estimated(recipe.estimate, plan.samples),
    adaptive(target=0.0, horizon=1.0, rows=plan.rows),
    values=recipe.values,
    samples=plan.samples,
  )
  digits = VOCAB ** jnp.arange(length - 1, -1, -1)

  @jax.jit
  def turn(state, rollout, taken, table, key):
    prompts = Prompts(
      jnp.full((plan.rows, 1), START, jnp.int32),
      jnp.ones(plan.rows, jnp.int32),
      rollout * plan.rows + jnp.arange(plan.rows),
    )
    samples = sampler(state.params, prompts, key)
    batch = laid(prompts, samples)
    scores = table[samples.tokens @ digits]
    control, batch, kl, told = experience(state, batch, samples.logps, scores)
    state = state._replace(control=control)
    state, found = jax.lax.scan(
      lambda state, at: train_step(state, rows(batch, at)), state, taken
    )
    means = {k: x.mean() for k, x in found.items()}
    told |= {"objective/scores": scores.mean(), "objective/kl": kl.mean()}
    return state, means | told

  table, key = jnp.float32(reward), jax.random.key(seed)
  control = {"kl": recipe.coefficient, "length": 0.0}
  state = step.init(params, {}, optimizer, refers=True, control=control)
  for i in range(rollouts):
    state, told = turn(state, i, order(plan, seed, i), table, key)
    policy = {k: x for k, x in state.params.items() if k != "critic"}
    yield policy, {k: float(x) for k, x in told.items()}
