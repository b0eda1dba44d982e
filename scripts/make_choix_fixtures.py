"""Makes tests/fixtures/choix.json: Bradley-Terry strengths as choix has them.

Each case has a table of wins (row beat column, ties half) and the strengths of
maximum likelihood by `choix.ilsr_pairwise`, after `choix.opt_pairwise` has been
found to agree. Run by hand, in an environment of its own:

  python3.11 -m venv /tmp/choixenv
  /tmp/choixenv/bin/pip install choix==0.4.1
  /tmp/choixenv/bin/python scripts/make_choix_fixtures.py
"""

import json
from pathlib import Path

import choix
import numpy as np

FILE = Path(__file__).parents[1] / "tests" / "fixtures" / "choix.json"


def tournament(seed: int, m: int, games: int, spread: float) -> np.ndarray:
  """Wins in halves of m models with normal strengths; a fifth are ties."""
  rng = np.random.default_rng(seed)
  s = rng.normal(scale=spread, size=m)
  halves = np.zeros((m, m), int)
  for _ in range(games):
    i, j = rng.choice(m, 2, replace=False)
    if rng.random() < 0.2:
      halves[i, j] += 1
      halves[j, i] += 1
    elif rng.random() < 1 / (1 + np.exp(s[j] - s[i])):
      halves[i, j] += 2
    else:
      halves[j, i] += 2
  return halves


def ring(m: int) -> np.ndarray:
  """Each beats the next 9 times of 10; the last meets the first once."""
  halves = np.zeros((m, m), int)
  for i in range(m - 1):
    halves[i, i + 1], halves[i + 1, i] = 18, 2
  halves[m - 1, 0] = 2
  return halves


def fit(halves: np.ndarray) -> list[float]:
  m = len(halves)
  # Every half win twice over changes no maximum.
  data = [
    (i, j) for i in range(m) for j in range(m) for _ in range(halves[i, j])
  ]
  found = choix.ilsr_pairwise(m, data, alpha=0.0, max_iter=10_000, tol=1e-12)
  other = choix.opt_pairwise(m, data, alpha=0.0, tol=1e-12)
  assert np.abs(found - found.mean() - other + other.mean()).max() < 1e-5
  return (found - found.mean()).tolist()


def main() -> None:
  cases = {
    "two models": np.array([[0, 30], [10, 0]]),
    "four models": tournament(0, 4, 120, 0.7),
    "nine models, not all pairs": tournament(1, 9, 90, 0.7),
    "far apart": tournament(2, 5, 2000, 2.0),
    "ring": ring(7),
  }
  rows = [
    {"name": k, "wins": (v / 2).tolist(), "strengths": fit(v)}
    for k, v in cases.items()
  ]
  lines = ",\n".join(json.dumps(row) for row in rows)
  FILE.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
  main()
