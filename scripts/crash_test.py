"""Kills a training run again and again, and compares it with one left alone.

  python scripts/crash_test.py [--task sft] [--kills 20] [--signals 12]
    [--steps 160]

A run of a small random model (with NEFTune, so that keys matter) is made once
without interruption. Then the same command is started and killed (kill -9):
half of the times inside a save, at each of its stages, else at a random moment;
a third run is stopped by SIGTERM at random steps, in a save and in an
evaluation. At the end the curves, evaluations, samples and every saved array
(parameters, moments, step, data position, history, and of PPO the reference,
the critic and the KL's coefficient) must be bitwise those of the first run.
Exits with 1 where they are not. `--task ppo` is a run of rollouts of four
updates each, which is killed while completions are sampled and between two
updates of a rollout too.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES = (
  "before write",
  "after arrays",
  "before manifest",
  "before commit",
  "after commit",
)
# What else a run of rollouts is killed in.
ROLLOUT = ("in a rollout", "in an update")
CLOCKS = ("wall_s", "step_s", "tokens_per_s")  # what may differ


def experiment(task: str, steps: int):
  """The config of a task."""
  from configs import ppo, sft

  config = {"ppo": ppo, "sft": sft}[task].get_config("tiny")
  config.mesh = (2, 2, 1)
  config.data.max_length = 96
  config.data.eval.limit = 24
  config.train.steps, config.train.eval_every = steps, 6
  config.checkpoint.every = 4
  config.sample.count, config.sample.every = 1, 12
  config.sample.max_tokens = 4
  config.model.chunk = 8
  config.log.tensorboard = False
  if task == "sft":
    config.train.neftune = 5.0
    return config
  config.train.eval_every, config.train.batch = 12, 8
  config.rollout.update(epochs=2, minibatches=2, max_tokens=6)
  config.rollout.update(kl_target=0.5, kl_horizon=50.0)
  return config


def child(task: str, workdir: Path, steps: int, at: str) -> None:
  """Trains; `at` is "SIGNAL:STAGE:N", a signal to itself in the Nth such."""
  sys.path.insert(0, str(ROOT))
  from alignjax import checkpoint, rollout, train

  config = experiment(task, steps)
  name, stage, count = at.split(":") if at else ("SIGKILL", "", "0")
  left = [int(count)]

  def strike(here: str) -> None:
    if here == stage:
      left[0] -= 1
      if left[0] == 0:
        os.kill(os.getpid(), getattr(signal, name))
        if name == "SIGKILL":
          time.sleep(60)

  checkpoint.checkpoints.stage = strike
  evaluate = train.Run.evaluate

  def evaluated(self, *arguments):
    strike("evaluation")
    return evaluate(self, *arguments)

  train.Run.evaluate = evaluated
  score, call = rollout.Rollouts.score, rollout.Rollouts.__call__

  def scored(self, *arguments):
    strike("in a rollout")  # sampled, and nothing made of it
    return score(self, *arguments)

  def called(self, state, step):
    if not self.begins(step):
      strike("in an update")
    return call(self, state, step)

  rollout.Rollouts.score, rollout.Rollouts.__call__ = scored, called
  train.train(config, workdir)


class Runs:
  """Starts and kills children on one folder."""

  def __init__(self, task: str, workdir: Path, steps: int, draw: random.Random):
    self.task, self.workdir = task, workdir
    self.steps, self.draw = steps, draw
    self.stages = ROLLOUT * (task == "ppo") + STAGES

  def start(self, at: str = "") -> subprocess.Popen:
    command = [sys.executable, __file__, "--child", str(self.workdir)]
    command += ["--task", self.task, "--steps", str(self.steps), "--at", at]
    with open(self.workdir.with_suffix(".log"), "ab") as log:
      return subprocess.Popen(command, stderr=log, stdout=log)

  def last_step(self) -> int:
    file = self.workdir / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0

  def moment(self, process: subprocess.Popen, first: int) -> int:
    """Waits for a random step and a random while; returns the step."""
    step = self.draw.randint(first + 1, min(first + 6, self.steps - 1))
    while process.poll() is None and self.last_step() < step:
      time.sleep(0.01)
    time.sleep(self.draw.uniform(0, 0.3))
    return step

  def wait(self, process: subprocess.Popen, expected: tuple[int, ...]) -> int:
    status = process.wait(timeout=600)
    if status not in expected:
      log = self.workdir.with_suffix(".log").read_text(errors="replace")
      raise SystemExit(f"exit status {status}, not {expected}:\n{log[-2000:]}")
    return status

  def finish(self) -> None:
    self.wait(self.start(), (0,))


def kill(runs: Runs, count: int) -> None:
  """SIGKILL: half of them at each stage in turn."""
  for i in range(count):
    done = runs.last_step()
    if i % 2:
      stage = runs.stages[i // 2 % len(runs.stages)]
      at = f"SIGKILL:{stage}:{runs.draw.randint(1, 2)}"
      status = runs.wait(runs.start(at), (-signal.SIGKILL, 0))
      what = stage if stage in ROLLOUT else f"in a save, {stage}"
    else:
      process = runs.start()
      step = runs.moment(process, min(done, runs.steps - 2))
      process.kill()
      status = runs.wait(process, (-signal.SIGKILL, 0))
      what = f"at a moment after step {step}"
    if status == 0:
      raise SystemExit(f"kill {i + 1} came after the end; give more --steps")
    print(f"kill {i + 1}: {what}; log at step {runs.last_step()}", flush=True)


def stop(runs: Runs, count: int) -> None:
  """SIGTERM: in a save, in an evaluation, and at random steps."""
  for i in range(count):
    began = time.monotonic()
    if i < 2:
      where = ("after arrays", "evaluation")[i]
      process, what = runs.start(f"SIGTERM:{where}:1"), where
      status = runs.wait(process, (75,))
      took = ""
    else:
      process = runs.start()
      step = runs.moment(process, min(runs.last_step(), runs.steps - 2))
      process.terminate()
      began = time.monotonic()
      status = runs.wait(process, (75, 0))
      what = f"after step {step}"
      took = f", {time.monotonic() - began:.1f} s to the end"
    print(f"SIGTERM {i + 1}: {what}: status {status}{took}", flush=True)
    if status == 0:
      raise SystemExit(f"SIGTERM {i + 1} came after the end; give more --steps")


def rows(file: Path) -> list[dict]:
  found = [json.loads(line) for line in file.read_text().splitlines()]
  return [{k: v for k, v in r.items() if k not in CLOCKS} for r in found]


def curves(one: Path, other: Path) -> list[str]:
  """What differs between the logs of two runs, clocks apart."""
  found = []
  for name in ("metrics", "evaluations", "samples"):
    a, b = (rows(run / f"{name}.jsonl") for run in (one, other))
    if a != b:
      rows_differ = (i for i, (x, y) in enumerate(zip(a, b)) if x != y)
      at = next(rows_differ, f"{len(a)} and {len(b)} in all")
      found.append(f"{name}.jsonl: row {at}")
  return found


def arrays(one: Path, other: Path) -> list[str]:
  """What differs between the last checkpoints of two runs."""
  import jax
  import numpy as np
  import orbax.checkpoint as ocp

  found, trees = [], []
  for run in (one, other):
    last = max(
      (p for p in (run / "checkpoints").iterdir() if p.name.isdigit()),
      key=lambda p: int(p.name),
    )
    trees.append(
      {
        item: ocp.StandardCheckpointer().restore((last / item).absolute())
        for item in ("params", "moments", "rest")
      }
    )
  a, b = (jax.tree_util.tree_leaves_with_path(tree) for tree in trees)
  if [p for p, _ in a] != [p for p, _ in b]:
    found.append("checkpoints hold different trees")
  for (path, x), (_, y) in zip(a, b):
    if np.asarray(x).tobytes() != np.asarray(y).tobytes():
      found.append(f"checkpoint: {jax.tree_util.keystr(path)}")
  return found


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--signals", type=int, default=12)
  parser.add_argument("--steps", type=int, default=160)
  parser.add_argument("--task", choices=("sft", "ppo"), default="sft")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
  parser.add_argument("--at", default="", help=argparse.SUPPRESS)
  a = parser.parse_args()
  if a.child:
    child(a.task, a.child, a.steps, a.at)
    return
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
  draw, bad = random.Random(a.seed), []
  with tempfile.TemporaryDirectory() as folder:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    alone = Runs(a.task, Path(folder) / "alone", a.steps, draw)
    alone.finish()
    for name, strike, count in (
      ("killed", kill, a.kills),
      ("stopped", stop, a.signals),
    ):
      if not count:
        continue
      runs = Runs(a.task, Path(folder) / name, a.steps, draw)
      strike(runs, count)
      runs.finish()
      pair = alone.workdir, runs.workdir
      found = curves(*pair) + arrays(*pair)
      bad += found
      print(f"{name}: {'; '.join(found) or 'bitwise the run left alone'}")
  sys.exit(bool(bad))


if __name__ == "__main__":
  main()
