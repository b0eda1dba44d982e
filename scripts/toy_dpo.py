"""DPO where every answer can be summed: does it reach its optimum?

  python scripts/toy_dpo.py [--steps 1500] [--labels exact] [--seed 0]

Answers are the 8⁶ sequences of six tokens. A random decoder is π_ref; an answer
has a reward r; pairs are drawn from π_ref and labelled by the exact probability
σ(r(a) − r(b)) that a is preferred (Bradley & Terry 1952), or by which reward is
higher. The optimum is known, π* ∝ π_ref·exp(r/β) (Rafailov et al. 2023,
equation 4), and KL(π_θ ‖ π*) is a sum over all answers, in nats a sequence.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from alignjax import annotate, build, optim, step
from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM
from alignjax.types import Batch

VOCAB, START = 8, 0  # an answer begins after the token START


def decoder(length: int, width: int, depth: int) -> LM:
  """A small decoder for answers of `length` tokens."""
  config = ModelConfig(
    family="llama",
    vocab=VOCAB,
    width=width,
    depth=depth,
    heads=4,
    kv_heads=4,
    head_size=width // 4,
    hidden=2 * width,
    max_length=length + 1,
    # Without learned positions the answer 00… cannot be told from its start:
    # attention to equal tokens gives what attention to one of them does.
    rope=None,
  )
  return LM(config, remat="none", chunk=2 * length)


def batch_of(answers: np.ndarray, **fields: np.ndarray) -> Batch:
  """Answers [B, S, n] as S documents of one row each, all of it trained."""
  B, S, n = answers.shape
  tokens = np.pad(answers, ((0, 0), (0, 0), (1, 0)), constant_values=START)

  def rows(x):
    return np.broadcast_to(np.int32(x).reshape(-1), (B, np.size(x)))

  sides = np.arange(S)[:, None]
  return Batch(
    tokens=tokens.reshape(B, -1),
    positions=rows(np.arange(n + 1) + 0 * sides),
    documents=rows(0 * np.arange(n + 1) + sides + 1),
    where=rows(np.arange(n) + (n + 1) * sides),
    targets=answers.reshape(B, -1),
    completions=rows(0 * np.arange(n) + sides + 1),
    weights=np.ones((B, S * n), np.float32),
    ends=rows((n + 1) * sides + n),
    fields=fields,
  )


def rewards(answers: np.ndarray, seed: int) -> np.ndarray:
  """r of each answer: its tokens, its neighbours, whether its ends are equal.

  float64 [answers]; mean 0, standard deviation ½ over all of them.
  """
  draw = np.random.default_rng(seed)
  alone, beside = draw.normal(size=VOCAB), draw.normal(size=(VOCAB, VOCAB))
  r = alone[answers].sum(1) + beside[answers[:, :-1], answers[:, 1:]].sum(1)
  r += 3.0 * (answers[:, 0] == answers[:, -1])
  return (r - r.mean()) / (2 * r.std())


class Toy(NamedTuple):
  """All answers, what is known of them, and how to ask a model about them.

  answers: int32 [answers, n]. reward: float64 [answers]. reference: log π_ref
    of their tokens, float32 [answers, n]. best: log π*, float64 [answers].
  logp: parameters → log π of the tokens of all answers, as `reference`.
  """

  lm: LM
  params: dict
  answers: np.ndarray
  reward: np.ndarray
  reference: np.ndarray
  best: np.ndarray
  logp: Callable[[dict], np.ndarray]


def make(*, length: int, width: int, depth: int, beta: float, seed: int) -> Toy:
  """A random reference and reward, and the optimum of both."""
  lm = decoder(length, width, depth)
  # Larger than a model's first weights are: those give all tokens alike.
  params = jax.tree.map(lambda x: 2 * x, lm.init(jax.random.key(seed)))
  digits = np.indices((VOCAB,) * length, np.int32)
  answers = digits.reshape(length, -1).T
  run = jax.jit(annotate.make_annotator(lm.stats, ("logp",)))
  size = min(len(answers), VOCAB**4)

  def logp(params):
    parts = answers.reshape(-1, size, 1, length)
    return np.concatenate([run(params, batch_of(x))["logp"] for x in parts])

  reference, reward = logp(params), rewards(answers, seed)
  tilted = reference.sum(1, dtype=np.float64) + reward / beta
  best = tilted - np.logaddexp.reduce(tilted)
  return Toy(lm, params, answers, reward, reference, best, logp)


def kl(logp: np.ndarray, best: np.ndarray) -> float:
  """KL(π ‖ π*) in nats a sequence, of log π of the tokens of all answers."""
  whole = logp.sum(1, dtype=np.float64)
  return float((np.exp(whole) * (whole - best)).sum())


def train(
  toy: Toy, *, labels: str, beta: float, steps: int, pairs: int, seed: int
) -> dict:
  """The parameters after DPO on `pairs` fresh pairs a step, from π_ref on."""
  loss = dict(
    name="dpo",
    kind="sigmoid",
    weight=1.0,
    beta=beta,
    label_smoothing=0.0,
    divergence="reverse_kl",
    reference_free=False,
  )
  optimizer = optim.make(
    toy.params,
    name="adamw",
    clip=1.0,
    weight_decay=0.0,
    no_decay=(),
    lr_factors=(),
    options=dict(b1=0.9, b2=0.99, eps=1e-8),
  )
  train_step = step.make_train_step(
    toy.lm.stats,
    {"main": build.objective("main", loss)},
    optimizer,
    optim.schedule("cosine", lr=2e-3, warmup=20, steps=steps, end=0.0),
    1,
  )
  train_step = jax.jit(train_step)
  state = step.init(toy.params, {}, optimizer)
  draw = np.random.default_rng(seed)
  below = np.cumsum(np.exp(toy.reference.sum(1, dtype=np.float64)))
  for _ in range(steps):
    at = np.searchsorted(below, draw.uniform(0, below[-1], (pairs, 2)))
    gap = -np.diff(toy.reward[at])
    p = 1 / (1 + np.exp(-gap)) if labels == "exact" else np.heaviside(gap, 0.5)
    fields = {
      "label": np.float32(np.concatenate([p, 1 - p], 1)),
      "reference/logp": toy.reference[at].reshape(pairs, -1),
    }
    state, _ = train_step(state, batch_of(toy.answers[at], **fields))
  return state.params


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--length", type=int, default=6, help="tokens")
  parser.add_argument("--width", type=int, default=64)
  parser.add_argument("--depth", type=int, default=2)
  parser.add_argument("--beta", type=float, default=0.5)
  parser.add_argument("--steps", type=int, default=1500)
  parser.add_argument("--pairs", type=int, default=256, help="of a step")
  parser.add_argument("--labels", choices=("exact", "hard"), default="exact")
  parser.add_argument("--seed", type=int, default=0)
  a = parser.parse_args()
  toy = make(
    length=a.length, width=a.width, depth=a.depth, beta=a.beta, seed=a.seed
  )
  whole = toy.reference.sum(1, dtype=np.float64)
  print(f"{len(toy.answers)} answers, Σ π_ref = {np.exp(whole).sum():.6f}")
  uniform = a.length * np.log(VOCAB)
  entropy = -(np.exp(whole) * whole).sum()
  print(f"entropy of π_ref {entropy:.3f} nats, of uniform {uniform:.3f}")
  print(f"KL(π_ref ‖ π*) {kl(toy.reference, toy.best):.4f} nats")
  params = train(
    toy,
    labels=a.labels,
    beta=a.beta,
    steps=a.steps,
    pairs=a.pairs,
    seed=a.seed,
  )
  print(f"KL(π_θ ‖ π*) {kl(toy.logp(params), toy.best):.4f} nats")


if __name__ == "__main__":
  main()
