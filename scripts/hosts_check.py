"""Two processes of four devices train as one of eight does; one is lost.

  python scripts/hosts_check.py [--tasks sft,dpo,ppo] [--steps 24]

Of each task a small random model is trained by one process of eight CPU
devices. Then two processes of four devices begin the same run, and the second
is killed (kill -9) once a checkpoint is written: the first must end by itself
within a minute and say why. One process goes on to the last step. Every loss,
by two processes and by the one that went on, must be that of the run left
alone to 2e-5. Exits with 1 where it is not.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = {
  "mesh": "2,4,1",
  "data.max_length": 96,
  "data.workers": 1,
  "data.eval.limit": 16,
  "train.batch": 8,
  "train.eval_every": 0,
  "checkpoint.every": 4,
  "sample.count": 0,
  "model.chunk": 8,
  "log.tensorboard": False,
}
ROLLOUT = {"rollout.max_tokens": 6, "rollout.epochs": 2}
WAIT_S = 60  # in which the other host must have ended


def start(task: str, workdir: Path, steps: int, devices: int, hosts: str = ""):
  """A process that trains a task."""
  options = (
    OPTIONS | {"train.steps": steps} | (ROLLOUT if task == "ppo" else {})
  )
  flag = f"--xla_force_host_platform_device_count={devices}"
  return subprocess.Popen(
    [sys.executable, "-c", "from alignjax.cli import main; exit(main())"]
    + ["train", "--config", f"configs/{task}.py:tiny"]
    + ["--workdir", str(workdir), *([f"--hosts={hosts}"] if hosts else [])]
    + [f"--config.{key}={value}" for key, value in options.items()],
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def whole(*started) -> None:
  for process in started:
    said = process.communicate()[1]
    if process.returncode:
      raise SystemExit(said[-2000:])


def losses(workdir: Path) -> dict[int, float]:
  from alignjax.log import read_metrics

  file = workdir / "metrics.jsonl"
  return {r["step"]: r["loss"] for r in read_metrics(file)}


def broken(task: str, workdir: Path, steps: int) -> tuple[float, str]:
  """Two processes, of which the second is killed; (seconds until the first
  ended, the last line that it said)."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  both = [start(task, workdir, steps, 4, f"{address},2,{i}") for i in (0, 1)]
  try:
    while not list((workdir / "checkpoints").glob("[0-9]*")):
      if any(process.poll() is not None for process in both):
        raise SystemExit(both[0].communicate()[1][-2000:])
      time.sleep(0.05)
    both[1].kill()
    since = time.monotonic()
    said = both[0].communicate(timeout=WAIT_S)[1]
    return time.monotonic() - since, said.strip().splitlines()[-2]
  finally:
    for process in both:
      process.kill()
      process.wait()


def check(task: str, steps: int, folder: Path) -> bool:
  alone, shared = folder / f"{task}-one", folder / f"{task}-two"
  whole(start(task, alone, steps, 8))
  seconds, said = broken(task, shared, steps)
  by_two = losses(shared)
  whole(start(task, shared, steps, 8))
  wanted, found = losses(alone), losses(shared)
  apart = [
    max(abs(have[s] - wanted[s]) for s in have) for have in (by_two, found)
  ]
  kept = sorted(wanted) == sorted(found) and len(wanted) == steps
  good = kept and len(by_two) < steps and max(apart) <= 2e-5
  print(
    f"{task}: {len(by_two)} steps by two, {apart[0]:.1e} apart; lost: the other"
    f" ended after {seconds:.1f} s ({said}); {steps} steps in the end, "
    f"{apart[1]:.1e} apart: {'as one' if good else 'NOT as one'}",
    flush=True,
  )
  return good


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--tasks", default="sft,dpo,ppo")
  parser.add_argument("--steps", type=int, default=24)
  options = parser.parse_args()
  sys.path.insert(0, str(ROOT))
  folder = Path(tempfile.mkdtemp())
  try:
    found = [check(t, options.steps, folder) for t in options.tasks.split(",")]
  finally:
    shutil.rmtree(folder)
  return 0 if all(found) else 1


if __name__ == "__main__":
  sys.exit(main())
