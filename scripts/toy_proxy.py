"""A reward model of the toy: learnt from a few pairs, some labels flipped."""

from functools import partial

import jax
import numpy as np

from alignjax import build, optim, step
from scripts.toy import Toy, batch_of, decoder


def draw_pairs(
  toy: Toy, gold: np.ndarray, *, pairs: int, noise: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """(answers by index [pairs, 2], the preferred one first; which were flipped).

  Answers are drawn from π_ref and labelled by chance σ(gold(a) − gold(b))
  (Bradley & Terry 1952); then a share `noise` of the labels is turned over.
  """
  draw = np.random.default_rng(seed)
  below = np.cumsum(np.exp(toy.start))
  at = np.searchsorted(below, draw.uniform(0, below[-1], (pairs, 2)))
  gap = np.diff(gold[at])[:, 0]
  flipped = draw.permutation(pairs) < round(noise * pairs)
  second = draw.uniform(size=pairs) < 1 / (1 + np.exp(-gap))
  turned = second ^ flipped
  return np.where(turned[:, None], at[:, ::-1], at), flipped


def learn(
  toy: Toy,
  at: np.ndarray,
  *,
  width: int,
  depth: int,
  steps: int,
  batch: int,
  lr: float,
  seed: int,
) -> np.ndarray:
  """What a reward model says of all answers after training on pairs `at`.

  float64 [answers]: mean 0 and standard deviation 1 under π_ref.
  """
  lm = decoder(toy.answers.shape[1], width, depth, scores=1)
  params = lm.init(jax.random.key(seed))
  optimizer = optim.make(
    params,
    name="adamw",
    clip=1.0,
    weight_decay=0.0,
    no_decay=(),
    lr_factors=(),
    options=dict(b1=0.9, b2=0.99, eps=1e-8),
  )
  loss = build.objective("main", dict(name="reward", kind="bt", weight=1.0))
  train_step = jax.jit(
    step.make_train_step(
      lm.stats,
      {"main": loss},
      optimizer,
      optim.schedule("cosine", lr=lr, warmup=10, steps=steps, end=0.0),
      1,
    )
  )
  state = step.init(params, {}, optimizer)
  draw = np.random.default_rng(seed)
  fields = {
    "label": np.tile(np.float32([1, 0]), (batch, 1)),
    "margin": np.zeros((batch, 2), np.float32),
  }
  taken = np.concatenate(
    [draw.permutation(len(at)) for _ in range(-(-steps * batch // len(at)))]
  )
  for i in range(steps):
    some = at[taken[i * batch : (i + 1) * batch]]
    state, _ = train_step(state, batch_of(toy.answers[some], **fields))
  run = jax.jit(partial(lm.stats, needs=("score",)))
  parts = np.split(toy.answers[:, None], max(len(toy.answers) // 8**4, 1))
  found = [run(state.params, batch_of(x))["score"][:, 0] for x in parts]
  return standard(toy, np.concatenate(found).astype(np.float64))


def standard(toy: Toy, reward: np.ndarray) -> np.ndarray:
  """Rewards less their mean, by their standard deviation, under π_ref."""
  p = np.exp(toy.start)
  centred = reward - p @ reward
  return centred / np.sqrt(p @ centred**2)
