"""Reward against KL where every answer can be summed: who reaches the frontier?

  python scripts/toy_frontier.py [--methods ppo,rloo,grpo,dpo,best_of_n]
    [--betas 1,0.5,0.3,0.1] [--seed 0] [--out runs/toy_frontier/frontier.svg]

No policy earns more at its KL(π ‖ π_ref) than π* ∝ π_ref·exp(r/β) of some β
does: that is the frontier. A method's share is what it gains over π_ref, of
what π* gains at the same KL. All are sums over the 8⁶ answers (scripts/toy.py);
KL is in nats a sequence. Numbers stand beside the drawing, as JSON; those that
are not asked for stay there, so that methods and β can be run in turn.

PPO has a critic, a model of its own. GRPO does not divide by the group's
standard deviation, and has its KL as a term of the loss, a token at a time:
that does not lead to π*, but to `token_optimum`.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignjax.ops.best_of_n import kl_bound  # noqa: E402
from alignjax.rollout import Plan  # noqa: E402
from scripts import toy_dpo, toy_online  # noqa: E402
from scripts.plot import Curve, Panel, draw  # noqa: E402
from scripts.toy import (  # noqa: E402
  VOCAB,
  Toy,
  best_of,
  kl,
  make,
  mean,
  optimum,
  share,
  whole,
)

ONLINE = {
  "ppo": (toy_online.ppo, Plan(256, 2, 2, 1)),
  "rloo": (toy_online.rloo, Plan(256, 2, 1, 16)),
  "grpo": (toy_online.grpo, Plan(256, 2, 1, 16)),
}
METHODS = (*ONLINE, "dpo", "best_of_n")
SIZES = (2, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


def token_optimum(
  reference: np.ndarray, reward: np.ndarray, beta: float
) -> np.ndarray:
  """log π of all answers where no token gains E r − β·KL of its own step.

  π(a|s) ∝ π_ref(a|s)·exp(Q(s, a)/β), Q the mean reward of what π itself goes on
  with. The KL as a term of the loss has this for its optimum: its gradient is
  that of each step's KL at the beginnings s that were sampled, and does not see
  that a token leads to beginnings whose KL is larger.

  reference: log π_ref of the tokens of all answers [8ⁿ, n].
  """
  n = reference.shape[1]
  total, ahead = np.zeros(len(reference)), reward
  for t in range(n - 1, -1, -1):
    # The token depends on what is before it alone: any end will do.
    logp = reference[:: VOCAB ** (n - 1 - t), t].reshape(-1, VOCAB)
    tilted = logp + ahead.reshape(-1, VOCAB) / beta
    tilted -= np.logaddexp.reduce(tilted, axis=1, keepdims=True)
    ahead = (np.exp(tilted) * ahead.reshape(-1, VOCAB)).sum(1)
    total += np.repeat(tilted.reshape(-1), VOCAB ** (n - 1 - t))
  return total


def said(toy: Toy, policy: np.ndarray) -> dict[str, float]:
  """KL to π_ref, mean reward and share of a policy."""
  return dict(
    kl=kl(policy, toy.start),
    reward=mean(policy, toy.reward),
    share=share(toy, policy),
  )


def trained(
  toy: Toy,
  method: str,
  *,
  beta: float,
  rollouts: int,
  lr: float,
  steps: int,
  seed: int,
) -> dict[str, float]:
  """One method at one β: what its policy is, and how far from its optimum."""
  goal = optimum(toy.start, toy.reward, beta)
  if method == "dpo":
    params = toy_dpo.train(
      toy, labels="exact", beta=beta, steps=steps, pairs=256, seed=seed
    )
  else:
    recipe, plan = ONLINE[method]
    for params, _ in toy_online.train(  # noqa: B007
      toy, recipe(beta, plan, lr), toy.reward, rollouts=rollouts, seed=seed
    ):
      pass
  policy = whole(toy.logp(params))
  found = said(toy, policy) | {"to_optimum": kl(policy, goal)}
  if method == "grpo":
    own = token_optimum(toy.reference, toy.reward, beta)
    found["to_token_optimum"] = kl(policy, own)
    found["share_of_token_optimum"] = share(toy, own)
  return found


def best_of_n(toy: Toy) -> list[dict[str, float]]:
  """The best of n by the reward itself, exactly."""
  return [
    {"n": n, "kl_bound": kl_bound(n)}
    | said(toy, best_of(toy.start, toy.reward, n))
    for n in SIZES
  ]


def drawings(toy: Toy, found: dict[str, list[dict]]) -> list[Panel]:
  """Reward over KL, and its share of the frontier's gain."""
  start, base = toy.start, mean(toy.start, toy.reward)
  tilts = [optimum(start, toy.reward, b) for b in np.geomspace(2, 0.03, 120)]
  x = [kl(p, start) for p in tilts]
  y = np.array([mean(p, toy.reward) for p in tilts])
  earned = [
    Curve("frontier", x, y, 5),
    Curve("90 % of its gain", x, base + 0.9 * (y - base), 5, ":"),
  ]
  gained = [
    Curve("", x, np.ones_like(y), 5),
    Curve("", x, np.full_like(y, 0.9), 5, ":"),
  ]
  names = dict(zip(METHODS, ("PPO", "RLOO", "GRPO", "DPO", "best of n")))
  for i, (method, marker) in enumerate(zip(METHODS, "osD^x")):
    points = sorted(found.get(method, ()), key=lambda p: p["kl"])
    there, *ys = ([p[k] for p in points] for k in ("kl", "reward", "share"))
    line = i, "--" if method == "best_of_n" else "", marker
    earned.append(Curve(names[method], there, ys[0], *line))
    gained.append(Curve("", there, ys[1], *line))
  label = "KL(π ‖ π_ref), nats a sequence"
  return [
    Panel("What a policy earns at its KL", label, "mean reward", earned, True),
    Panel("Of what can be gained there", label, "share", gained, True),
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--methods", default=",".join(METHODS))
  parser.add_argument("--betas", default="1,0.5,0.3,0.1")
  parser.add_argument("--length", type=int, default=6, help="tokens")
  parser.add_argument("--rollouts", type=int, default=200, help="of 512")
  parser.add_argument("--lr", type=float, default=1e-3, help="on policy")
  parser.add_argument("--steps", type=int, default=400, help="of DPO")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", default="runs/toy_frontier/frontier.svg")
  a = parser.parse_args()
  methods, out = a.methods.split(","), Path(a.out)
  if unknown := set(methods) - set(METHODS):
    parser.error(f"no method {unknown.pop()!r}; some of {', '.join(METHODS)}")
  toy = make(length=a.length, width=64, depth=2, seed=a.seed)
  beside, found = out.with_suffix(".json"), {}
  if beside.exists():
    found = json.loads(beside.read_text("utf-8"))
  options = dict(rollouts=a.rollouts, lr=a.lr, steps=a.steps, seed=a.seed)

  def keep(method, lines):
    for line in lines:
      shown = {k: v for k, v in line.items() if k not in options}
      print(method, *(f"{k} {v:.4g}" for k, v in shown.items()), flush=True)
    asked = [line.get("beta") for line in lines]
    kept = [p for p in found.get(method, ()) if p.get("beta") not in asked]
    found[method] = kept + lines
    draw(out, drawings(toy, found))
    beside.write_text(json.dumps(found, indent=1), "utf-8")

  for method in methods:
    if method == "best_of_n":
      keep(method, best_of_n(toy))
      continue
    for beta in map(float, a.betas.split(",")):
      began = time.monotonic()
      line = trained(toy, method, beta=beta, **options)
      seconds = {"seconds": time.monotonic() - began}
      keep(method, [options | {"beta": beta} | line | seconds])
  print(f"{out} and {beside}")


if __name__ == "__main__":
  main()
