"""DPO where every answer can be summed: does it reach its optimum?

  python scripts/toy_dpo.py [--steps 1500] [--labels exact] [--seed 0]

Answers are the 8⁶ sequences of six tokens. A random decoder is π_ref; an answer
has a reward r; pairs are drawn from π_ref and labelled by the exact probability
σ(r(a) − r(b)) that a is preferred (Bradley & Terry 1952), or by which reward is
higher. The optimum is known, π* ∝ π_ref·exp(r/β) (Rafailov et al. 2023,
equation 4), and KL(π_θ ‖ π*) is a sum over all answers, in nats a sequence.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignjax import build, optim, step  # noqa: E402
from alignjax.annotate import make_annotator  # noqa: E402
from scripts.toy import (  # noqa: E402
  VOCAB,
  Toy,
  batch_of,
  kl,
  make,
  optimum,
  whole,
)


def refer(toy: Toy) -> np.ndarray:
  """log π_ref of the tokens of all answers, as a run has it: `annotate`'s."""
  run = jax.jit(make_annotator(toy.lm.stats, ("logp",)))
  parts = np.split(toy.answers[:, None], max(len(toy.answers) // VOCAB**4, 1))
  return np.concatenate([run(toy.params, batch_of(x))["logp"] for x in parts])


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
  draw, reference = np.random.default_rng(seed), refer(toy)
  below = np.cumsum(np.exp(whole(reference)))
  for _ in range(steps):
    at = np.searchsorted(below, draw.uniform(0, below[-1], (pairs, 2)))
    gap = -np.diff(toy.reward[at])
    p = 1 / (1 + np.exp(-gap)) if labels == "exact" else np.heaviside(gap, 0.5)
    fields = {
      "label": np.float32(np.concatenate([p, 1 - p], 1)),
      "reference/logp": reference[at].reshape(pairs, -1),
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
  toy = make(length=a.length, width=a.width, depth=a.depth, seed=a.seed)
  best, start = optimum(toy.start, toy.reward, a.beta), toy.start
  print(f"{len(toy.answers)} answers, Σ π_ref = {np.exp(start).sum():.6f}")
  uniform = a.length * np.log(VOCAB)
  entropy = -(np.exp(start) * start).sum()
  print(f"entropy of π_ref {entropy:.3f} nats, of uniform {uniform:.3f}")
  print(f"KL(π_ref ‖ π*) {kl(start, best):.4f} nats")
  params = train(
    toy,
    labels=a.labels,
    beta=a.beta,
    steps=a.steps,
    pairs=a.pairs,
    seed=a.seed,
  )
  print(f"KL(π_θ ‖ π*) {kl(whole(toy.logp(params)), best):.4f} nats")


if __name__ == "__main__":
  main()
