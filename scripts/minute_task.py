"""A task of a minute: does a method learn it from every seed?

  python scripts/minute_task.py ppo --seeds 10

Each run is `configs/METHOD.py:tiny`: a small model of random weights is to
answer with five to twelve words (`rewards.length`). A run succeeds where its
held-out prompts are answered with a mean score of at least 0.9 after it.
Prints a line a seed and, last, how many succeeded; seconds are wall time, the
first run's compilation included, and CPU time of all threads.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alignjax.train import train  # noqa: E402

SUCCESS = 0.9


def run(method: str, seed: int, folder: Path) -> dict:
  """Scores of held-out prompts before and after, and seconds."""
  config = importlib.import_module(f"configs.{method}").get_config("tiny")
  config.seed, config.log.tensorboard = seed, False
  config.mesh, config.sample.count = (1, 1, 1), 0
  config.train.eval_every = config.checkpoint.every = 0
  wall, cpu = time.perf_counter(), time.process_time()
  train(config.lock(), folder)
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  lines = (folder / "evaluations.jsonl").read_text().splitlines()
  first, *_, last = (json.loads(x)["objective/scores"] for x in lines)
  return {"seed": seed, "before": first, "after": last, "s": wall, "cpu_s": cpu}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("method", choices=("ppo", "grpo", "rloo", "online_dpo"))
  parser.add_argument("--seeds", type=int, default=10)
  parser.add_argument("--first", type=int, default=0, help="seed")
  a = parser.parse_args()
  found = []
  for seed in range(a.first, a.first + a.seeds):
    with tempfile.TemporaryDirectory() as folder:
      found.append(run(a.method, seed, Path(folder)))
    row = found[-1]
    print(
      f"seed {seed}: {row['before']:.3f} → {row['after']:.3f}, "
      f"{row['s']:.0f} s, {row['cpu_s']:.0f} s of CPU",
      flush=True,
    )
  good = sum(row["after"] >= SUCCESS for row in found)
  print(f"{a.method}: {good} of {len(found)} seeds at {SUCCESS} or more")


if __name__ == "__main__":
  main()
