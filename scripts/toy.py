"""A language small enough that every answer can be summed.

Answers are the 8ⁿ sequences of n tokens. A random decoder is π_ref, an answer
has a reward r, and what is said of a policy (its KL to another, in nats a
sequence, what it earns) is a sum over all of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.nn import log_softmax

from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM
from alignjax.types import Batch

VOCAB, START = 8, 0  # an answer begins after the token START


def decoder(length: int, width: int, depth: int, scores: int = 0) -> LM:
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
    scores=scores,
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


def every(length: int) -> np.ndarray:
  """All answers, int32 [8ⁿ, n]; row i is i in digits of base 8."""
  digits = np.indices((VOCAB,) * length, np.int32)
  return digits.reshape(length, -1).T


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
    of their tokens, float32 [answers, n]; `start`: their sum, float64.
  logp: parameters → log π of the tokens of all answers, as `reference`.
  """

  lm: LM
  params: dict
  answers: np.ndarray
  reward: np.ndarray
  reference: np.ndarray
  logp: Callable[[dict], np.ndarray]

  @property
  def start(self) -> np.ndarray:
    return whole(self.reference)


def make(
  *, length: int, width: int, depth: int, seed: int, sharpness: float = 1.0
) -> Toy:
  """A random reference and reward.

  sharpness: what the reference's logits are multiplied by: above 1 it says
    fewer answers.
  """
  lm = decoder(length, width, depth)
  # Larger than a model's first weights are: those give all tokens alike.
  params = jax.tree.map(lambda x: 2 * x, lm.init(jax.random.key(seed)))
  params["head"] *= sharpness
  answers = every(length)
  # What is said after each beginning, once: an eighth of the work.
  begun = every(length - 1) if length > 1 else np.zeros((1, 0), np.int32)
  begun = np.pad(begun, ((0, 0), (1, 0)), constant_values=START)
  run = jax.jit(lambda params, ids: log_softmax(lm.logits(params, ids)))

  def logp(params):
    parts = np.split(begun, max(len(begun) // VOCAB**4, 1))
    table = np.concatenate([run(params, x) for x in parts])
    at = np.arange(len(answers)) // VOCAB
    return table[at[:, None], np.arange(length), answers]

  reference = logp(params)
  return Toy(lm, params, answers, rewards(answers, seed), reference, logp)


def whole(logp: np.ndarray) -> np.ndarray:
  """log π of answers, float64, of that of their tokens."""
  return logp.sum(1, dtype=np.float64)


def optimum(start: np.ndarray, reward: np.ndarray, beta: float) -> np.ndarray:
  """log π*, π* ∝ π_ref·exp(r/β): greatest E r − β·KL (Rafailov et al. 2023,
  equation 4)."""
  tilted = start + reward / beta
  return tilted - np.logaddexp.reduce(tilted)


def kl(policy: np.ndarray, other: np.ndarray) -> float:
  """KL(π ‖ other) in nats a sequence, of log-probabilities of all answers."""
  there = policy > -np.inf
  policy, other = policy[there], other[there]
  return float((np.exp(policy) * (policy - other)).sum())


def mean(policy: np.ndarray, reward: np.ndarray) -> float:
  """E_π r, of log π of all answers."""
  return float(np.exp(policy) @ reward)


def frontier(start: np.ndarray, reward: np.ndarray, at: float) -> float:
  """The greatest E_π r of any policy whose KL to π_ref is `at` nats.

  It is that of π* ∝ π_ref·exp(r/β) where KL(π* ‖ π_ref) is `at`; where no β
  leads so far, the greatest reward.
  """
  low, high = -10.0, 15.0  # of log 1/β
  for _ in range(60):
    middle = (low + high) / 2
    best = optimum(start, reward, np.exp(-middle))
    low, high = (middle, high) if kl(best, start) < at else (low, middle)
  return mean(best, reward)


def share(toy: Toy, policy: np.ndarray) -> float:
  """What a policy gains over π_ref, of what can be gained at its KL."""
  base = mean(toy.start, toy.reward)
  most = frontier(toy.start, toy.reward, kl(policy, toy.start))
  return (mean(policy, toy.reward) - base) / (most - base)


def best_of(start: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
  """log π of the best of n answers by score, exactly; a tie falls to chance.

  P(best scores s) = P(score ≤ s)ⁿ − P(score < s)ⁿ, shared among the answers of
  score s as π_ref has it.
  """
  levels, level = np.unique(scores, return_inverse=True)
  mass = np.bincount(level, np.exp(start), len(levels))
  # log P(score < s) and ≤ s, from whichever of the two tails is small.
  above = np.append(np.cumsum(mass[::-1])[::-1], 0.0)
  below = np.insert(np.cumsum(mass), 0, 0.0)
  with np.errstate(divide="ignore"):
    low, high = np.log(below / below[-1]), np.log1p(-above / above[0])
    upto = n * np.where(below < above, low, high)
    less, most = upto[:-1], upto[1:]
    found = most + np.log(-np.expm1(less - most))
  return start + (found - np.log(mass))[level]
