"""The same tuning with and without packing: held-out loss, tokens and time.

  python scripts/packing_study.py --workdir FOLDER [--steps 30] [--seeds 2] \
    -- --config configs/mixture.py --config.model.path=… (and the data's paths)

What follows `--` goes to `alignjax train`. Packed and unpacked runs alternate;
batches are such that a step has about as many tokens in both.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

LENGTH = 256  # tokens: the longest row, and a packed one


def rows(file: Path) -> list[dict]:
  return [json.loads(line) for line in file.read_text().splitlines()]


def run(folder: Path, a, seed: int, name: str, more: list[str]) -> dict:
  """A run's numbers; a finished one is not made again."""
  command = [sys.executable, "-m", "alignjax.cli", "train", *a.options]
  command += [f"--workdir={folder}", f"--config.seed={seed}"]
  command += [f"--config.train.steps={a.steps}", "--config.sample.count=0"]
  command += [f"--config.data.max_length={LENGTH}", "--config.optim.warmup=5"]
  command += ["--config.checkpoint.every=0", "--config.train.eval_every=0"]
  subprocess.run([*command, *more], check=True)
  made = rows(folder / "metrics.jsonl")
  held = rows(folder / "evaluations.jsonl")
  return {
    "name": name,
    "seed": seed,
    "before": held[0]["loss"],
    "after": held[-1]["loss"],
    "tokens": statistics.mean(r["tokens"] for r in made),
    "seconds": statistics.median(r["step_s"] for r in made[2:]),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--workdir", type=Path, required=True)
  parser.add_argument("--steps", type=int, default=30)
  parser.add_argument("--seeds", type=int, default=2)
  parser.add_argument("--packed", type=int, default=8, help="rows of a step")
  parser.add_argument("--alone", type=int, default=26, help="rows of a step")
  parser.add_argument("options", nargs="+")
  a = parser.parse_args()
  found = []
  for seed in range(a.seeds):
    for name, more in (
      ("packed", [f"--config.data.packing={LENGTH}", a.packed]),
      ("alone", ["--config.data.packing=0", a.alone]),
    ):
      more[1] = f"--config.train.batch={more[1]}"
      found.append(run(a.workdir / f"{name}-{seed}", a, seed, name, more))
  print("run, seed, loss before, after, tokens a step, seconds a step")
  for r in found:
    print(
      f"{r['name']}, {r['seed']}, {r['before']:.4f}, {r['after']:.4f}, "
      f"{r['tokens']:.0f}, {r['seconds']:.2f}"
    )


if __name__ == "__main__":
  main()
