"""Over-optimisation: what a policy earns in truth as it climbs a proxy.

  python scripts/overoptimization.py [--noise 0.25] [--seeds 0,1]
    [--out runs/overoptimization/curves.svg]

Gold is the reward of a toy whose answers can all be summed (scripts/toy.py).
The proxy is a reward model that has seen few pairs from π_ref, a share of their
labels turned over. Best-of-n by the proxy is exact; PPO climbs the proxy and is
asked about every few rollouts; `optimum` is what PPO of every KL coefficient
would end at, π* ∝ π_ref·exp(proxy/coefficient), exactly. With
d = √KL(π ‖ π_ref), in √nats, gold is fitted by

  best of n: d(α − β·d)    PPO, optimum: d(α − β·log d)

(Gao et al. 2023), by least squares. Both rewards have mean 0 and standard
deviation 1 under π_ref. Numbers stand beside the drawing, as JSON; those of
seeds that are not asked for stay there.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignjax.rollout import Plan  # noqa: E402
from scripts import toy_online, toy_proxy  # noqa: E402
from scripts.plot import Curve, Panel, draw  # noqa: E402
from scripts.toy import (  # noqa: E402
  Toy,
  best_of,
  kl,
  make,
  mean,
  optimum,
  whole,
)

SIZES = tuple(2**k for k in range(1, 18))
COEFFICIENTS = tuple(np.geomspace(5, 0.05, 24))  # of the KL, for `optimum`
TITLES = {
  "best_of_n": "Best of n, by the proxy",
  "ppo": "PPO on the proxy",
  "optimum": "What PPO tends to",
}


def bend(d: np.ndarray, method: str) -> np.ndarray:
  """What β is multiplied by in d(α − β·bend)."""
  return d if method == "best_of_n" else np.log(d)


def fit(
  d: np.ndarray, gold: np.ndarray, method: str
) -> dict[str, float | None]:
  """α, β and R² of gold = d(α − β·bend) by least squares; d > 0.

  peak: where the fitted curve is highest; None where β ≤ 0: it never falls.
  """
  basis = np.stack([d, -d * bend(d, method)], axis=1)
  (alpha, beta), *_ = np.linalg.lstsq(basis, gold, rcond=None)
  left = gold - basis @ (alpha, beta)
  r2 = 1 - (left**2).sum() / ((gold - gold.mean()) ** 2).sum()
  peak = None
  if beta > 0:
    ratio = float(alpha / beta)
    peak = ratio / 2 if method == "best_of_n" else math.exp(ratio - 1)
  return dict(alpha=float(alpha), beta=float(beta), r2=float(r2), peak=peak)


def curve(d: np.ndarray, found: dict[str, float], method: str) -> np.ndarray:
  """What `fit` says of gold at d."""
  return d * (found["alpha"] - found["beta"] * bend(d, method))


def seen(
  toy: Toy, policy: np.ndarray, proxy: np.ndarray, gold: np.ndarray
) -> dict[str, float]:
  """d, proxy and gold of a policy, from log π of all answers."""
  return dict(
    d=max(kl(policy, toy.start), 0.0) ** 0.5,
    proxy=mean(policy, proxy),
    gold=mean(policy, gold),
  )


def climb(
  toy: Toy,
  proxy: np.ndarray,
  gold: np.ndarray,
  *,
  beta: float,
  rollouts: int,
  every: int,
  lr: float,
  seed: int,
) -> list[dict[str, float]]:
  """What PPO against the proxy has come to, after every few rollouts."""
  recipe = toy_online.ppo(beta, Plan(256, 2, 2, 1), lr)
  turns = toy_online.train(toy, recipe, proxy, rollouts=rollouts, seed=seed)
  return [
    {"rollouts": i} | seen(toy, whole(toy.logp(params)), proxy, gold)
    for i, (params, _) in enumerate(turns, 1)
    if i % every == 0 or i == rollouts
  ]


def study(
  toy: Toy, *, pairs: int, noise: float, learning: dict, ppo: dict, seed: int
) -> dict:
  """A proxy of a seed, what is done with it, and the fits.

  learning: options of `toy_proxy.learn`. ppo: of `climb`.
  """
  gold = toy_proxy.standard(toy, toy.reward)
  at, _ = toy_proxy.draw_pairs(toy, gold, pairs=pairs, noise=noise, seed=seed)
  proxy = toy_proxy.learn(toy, at, **learning, seed=seed)
  points = {
    "best_of_n": [
      {"n": n} | seen(toy, best_of(toy.start, proxy, n), proxy, gold)
      for n in SIZES
    ],
    "ppo": climb(toy, proxy, gold, **ppo, seed=seed),
    "optimum": [
      {"coefficient": c} | seen(toy, optimum(toy.start, proxy, c), proxy, gold)
      for c in COEFFICIENTS
    ],
  }
  fits = {}
  for method, line in points.items():
    d, truth = (np.array([p[k] for p in line]) for k in ("d", "gold"))
    fits[method] = fit(d, truth, method)
  return dict(
    seed=seed,
    correlation=mean(toy.start, proxy * gold),
    agreement=float((gold[at[:, 0]] > gold[at[:, 1]]).mean()),
    points=points,
    fits=fits,
  )


def panel(method: str, found: list[dict]) -> Panel:
  """Proxy, gold and fit of each seed, over d; PPO's in the order of time."""
  curves = [
    Curve("proxy", (), (), 5, "--"),
    Curve("fit of gold", (), (), 5),
  ]
  for i, one in enumerate(found):
    line = one["points"][method]
    d, proxy, gold = (
      np.array([p[k] for p in line]) for k in ("d", "proxy", "gold")
    )
    fine = np.linspace(d.min(), d.max(), 100)
    fitted = curve(fine, one["fits"][method], method)
    curves += [
      Curve("", d, proxy, i, "--"),
      Curve("", fine, fitted, i),
      Curve(f"gold, seed {one['seed']}", d, gold, i, "", "o"),
    ]
  label = "√KL(π ‖ π_ref), √nats"
  return Panel(TITLES[method], label, "reward, σ of π_ref", curves)


def tell(one: dict) -> None:
  """Prints the points and the fits of a seed."""
  print(
    f"seed {one['seed']}: correlation of proxy and gold under π_ref "
    f"{one['correlation']:.3f}; labels that agree with gold "
    f"{one['agreement']:.3f}"
  )
  for method, line in one["points"].items():
    for p in line:
      first, *rest = p.items()
      print(f"  {method} {first[0]} {first[1]:7.6g}", end="")
      print(*(f"  {k} {v:6.3f}" for k, v in rest))
    f = one["fits"][method]
    said = (f"  {k} {v:6.3f}" for k, v in f.items() if v is not None)
    print(f"  {method} fit", *said, flush=True)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--length", type=int, default=6, help="tokens")
  parser.add_argument("--sharpness", type=float, default=3.0, help="of π_ref")
  parser.add_argument("--pairs", type=int, default=1000)
  parser.add_argument("--noise", type=float, default=0.25, help="share")
  parser.add_argument("--kl", type=float, default=0.1, help="PPO's coefficient")
  parser.add_argument("--rollouts", type=int, default=60, help="of 512")
  parser.add_argument("--every", type=int, default=2, help="rollouts a point")
  parser.add_argument("--lr", type=float, default=3e-5, help="of PPO")
  parser.add_argument("--seeds", default="0,1", help="of proxy and PPO")
  parser.add_argument("--out", default="runs/overoptimization/curves.svg")
  a = parser.parse_args()
  out = Path(a.out)
  toy = make(length=a.length, width=64, depth=2, seed=0, sharpness=a.sharpness)
  learning = dict(width=32, depth=2, steps=200, batch=64, lr=3e-3)
  ppo = dict(beta=a.kl, rollouts=a.rollouts, every=a.every, lr=a.lr)
  beside, found = out.with_suffix(".json"), []
  told = {k: v for k, v in vars(a).items() if k != "seeds"}
  told["learning"] = learning
  if beside.exists():
    before = json.loads(beside.read_text("utf-8"))
    found = before.pop("found")
    if before != told:
      parser.error(f"{beside} is of other settings: choose another --out")
  for seed in map(int, a.seeds.split(",")):
    options = dict(pairs=a.pairs, noise=a.noise, learning=learning, ppo=ppo)
    one = study(toy, **options, seed=seed)
    tell(one)
    found = [x for x in found if x["seed"] != seed] + [one]
    found.sort(key=lambda x: x["seed"])
    draw(out, [panel(method, found) for method in TITLES])
    beside.write_text(json.dumps(told | {"found": found}, indent=1), "utf-8")
  print(f"{out} and {beside}")


if __name__ == "__main__":
  main()
