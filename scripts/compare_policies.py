"""Policies side by side: gold reward, a reward model's score, KL, length, wins.

  python scripts/compare_policies.py --reference runs/sft/model \
    --reward runs/reward/model sft=runs/sft/model ppo=runs/ppo/model

Every policy answers the same held-out prompts of the built-in tasks once, at
the same temperature and with the same keys. Gold is the reward by the rules of
the task (`rewards.suite`), KL the mean over answers of Σ log π − log ref, nats
an answer. A policy wins a prompt where its gold reward is higher than that of
the first policy named, ties count half; intervals are of 95 %, by a bootstrap
over prompts. With `--best-of n` one more row: of n answers of the reference the
one that the reward model likes best; its KL is at most log n − (n − 1)/n
(Stiennon et al. 2020).
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alignjax import build, pretrained  # noqa: E402
from alignjax.train import Run  # noqa: E402
from configs import common, rloo  # noqa: E402

DRAWS = 2000  # of the bootstrap
ROWS = 64  # answers at a time


def experiment(a):
  """A config whose held-out prompts are answered by the reference."""
  c = rloo.get_config("plus")  # nothing is trained: any that has no critic
  c.model.path, c.seed, c.mesh = a.reference, a.seed, (1, 1, 1)
  c.data.max_length = a.max_length
  c.data.train = common.source("suite", "heldout", limit=a.prompts)
  c.data.eval = common.source("", "")
  c.rollout.temperature, c.rollout.max_tokens = a.temperature, a.max_tokens
  c.reward = dict(
    task=dict(name="suite", weight=1.0),
    model=common.reward_model(a.reward, weight=0.0),
  )
  return c


def answers(a, samples: int, policies: dict[str, str]) -> dict[str, list[dict]]:
  """The table of each policy; `samples` answers to each prompt together."""
  c = experiment(a)
  c.rollout.samples = samples
  place = build.placement(c)
  model = build.model(c, place)
  c.train.batch = ROWS // samples * samples
  run = Run(c, place, model.lm, build.objectives(c))
  data = run.data(model.tokenizer, Path("unused")).train
  state = run.init(model.params, {})
  found = {}
  for name, path in policies.items():
    params = pretrained.load(path, place=place.param)[1]
    found[name] = data.answer(
      state._replace(params=params), lambda: False
    ).table
    print(f"{name}: answered", file=sys.stderr, flush=True)
  return found


def row_of(table: list[dict], first: list[dict], seed: int) -> dict:
  """Means with their intervals."""
  names = {"gold": "reward/task", "model": "reward/model", "tokens": "tokens"}
  columns = {k: np.array([row[n] for row in table]) for k, n in names.items()}
  if "kl" in table[0]:
    columns["kl"] = np.array([row["kl"] for row in table])
  gold = np.array([row["reward/task"] for row in first])
  columns["wins"] = (np.sign(columns["gold"] - gold) + 1) / 2
  draw = np.random.default_rng(seed)
  at = draw.integers(0, len(table), (DRAWS, len(table)))
  out = {"n": len(table)}
  for name, x in columns.items():
    low, high = np.quantile(x[at].mean(1), [0.025, 0.975])
    out[name] = [float(v) for v in (x.mean(), low, high)]
  return out


def best(table: list[dict], n: int) -> list[dict]:
  """Of each n rows the one the reward model likes best."""
  groups = [table[i : i + n] for i in range(0, len(table), n)]
  rows = [max(group, key=lambda row: row["reward/model"]) for group in groups]
  return [{k: x for k, x in row.items() if k != "kl"} for row in rows]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("policies", nargs="+", metavar="NAME=FOLDER")
  add("--reference", required=True)
  add("--reward", required=True)
  add("--prompts", type=int, default=312)
  add("--max-length", type=int, default=64, help="tokens of a prompt")
  add("--max-tokens", type=int, default=40)
  add("--temperature", type=float, default=0.7)
  add("--best-of", type=int, default=0)
  add("--seed", type=int, default=0)
  add("--out", help="of the numbers and answers, JSON")
  a = parser.parse_args()
  policies = dict(p.split("=", 1) for p in a.policies)
  tables = answers(a, 1, policies)
  if a.best_of:
    many = answers(a, a.best_of, {"": a.reference})[""]
    tables[f"best of {a.best_of}"] = best(many, a.best_of)
  first = next(iter(tables.values()))
  rows = {name: row_of(table, first, a.seed) for name, table in tables.items()}
  for name, row in rows.items():
    told = "  ".join(
      f"{k} {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]"
      for k, v in row.items()
      if k != "n"
    )
    print(f"{name} (n = {row['n']}): {told}")
  if a.out:
    text = json.dumps({"rows": rows, "answers": tables}, ensure_ascii=False)
    Path(a.out).write_text(text + "\n")


if __name__ == "__main__":
  main()
