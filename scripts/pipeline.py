"""The whole pipeline in one folder, each stage a few commands of alignjax.

  python scripts/pipeline.py runs/quickstart --model SmolLM2.gguf
  python scripts/pipeline.py runs/quickstart-tiny --tiny

Supervised tuning; from it a reward model, and one policy by DPO and one by PPO;
each model evaluated on the same held-out tasks and compared with the one before
any tuning. A stage that is done is passed over, so the same command goes on
where it stopped. Leaves `report.html`.
"""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import NamedTuple

from alignjax.log.provenance import environment
from alignjax.log.records import replace_file
from alignjax.report import write_pipeline_report

CAUTION = (
  "A demonstration: few steps, few questions, one seed. Intervals (95 %) are "
  "wide; a difference is coloured only where it stands after Holm's correction."
)
MODELS = ("base", "sft", "dpo", "ppo")
PARAGRAPH, PARAGRAPHS = 200, 24  # characters of one, at least; how many


class Stage(NamedTuple):
  """name: of its folder. after: the stage it begins from, "" for none."""

  name: str
  title: str
  after: str
  commands: list[list[str]]


def options(given: dict) -> list[str]:
  """`--config.KEY=VALUE` of each."""
  return [f"--config.{key}={value}" for key, value in given.items()]


def settings(tiny: bool) -> dict[str, dict]:
  """What each stage sets beside its config, and the configs' words."""
  short = dict(tokens=256, prompt=64, answer=24) if tiny else {}
  short = short or dict(tokens=96, prompt=56, answer=24)
  pairs = {
    "data.layout": "shared",
    "data.max_length": short["tokens"],
    "checkpoint.every": 0,
  }
  if tiny:
    sft = {"train.steps": 150, "data.train.limit": 0}
    reward = {"train.steps": 60, "train.eval_every": 30}
    dpo = {"train.steps": 40, "train.eval_every": 20, "data.train.limit": 320}
    ppo = {"train.steps": 24, "train.eval_every": 12, "data.eval.limit": 32}
    return {
      "sft": sft,
      "reward": pairs | reward,
      "dpo": pairs | dpo | {"optim.lr": 1e-4},
      "ppo": ppo,
      "evals": {"tasks.suite.limit": 2, "tasks.preferences.limit": 52},
    }
  held = {"data.eval.limit": 78}
  return {
    "sft": {"checkpoint.every": 0},
    "reward": pairs
    | held
    | {"optim.lr": 2e-4, "train.steps": 50, "train.eval_every": 25},
    "dpo": pairs
    | held
    # As many pairs as are trained on: the reference reads them all before.
    | {"data.train.limit": 320, "optim.lr": 5e-5}
    | {"train.steps": 40, "train.eval_every": 20},
    "ppo": held
    | {
      "data.max_length": short["prompt"],
      "rollout.max_tokens": short["answer"],
      "rollout.slots": 16,
      "rollout.minibatches": 2,
      "rollout.epochs": 1,
      "rollout.missing_stop": 1.0,
      "rollout.kl_target": 4,
      "rollout.kl_horizon": 300,
      "train.batch": 16,
      "train.steps": 32,
      "train.eval_every": 16,
      "optim.lr": 2e-4,
      "optim.warmup": 4,
      "checkpoint.every": 0,
      "sample.every": 0,
    },
    "evals": {"tasks.suite.limit": 3, "tasks.preferences.limit": 78},
  }


def stages(folder: Path, model: str, tiny: bool) -> list[Stage]:
  """All of them, in their order. model: "" for a small random one (`tiny`)."""
  how, word = settings(tiny), ("tiny",) if tiny else ()

  def start(name: str) -> dict:
    begin = {"model.path": folder / name / "model"}
    return {"model.preset": "", **begin} if tiny else begin

  def train(name: str, file: str, words: tuple[str, ...], begin: dict):
    given = ",".join((*words, *word))
    config = f"configs/{file}.py" + (f":{given}" if given else "")
    run = str(folder / name)
    return [
      *[["train", "--config", config, "--workdir", run]],
      ["export", "--workdir", run, "--out", f"{run}/model"],
    ], options(begin | how[name])

  def stage(name, title, file, words, begin, after=""):
    commands, more = train(name, file, words, begin)
    return Stage(name, title, after, [commands[0] + more, commands[1]])

  base = {"model.path": model} if model else {}
  scored = start("sft") | {"reward.model.path": folder / "reward" / "model"}
  found = [
    stage("sft", "Supervised tuning", "quickstart", (), base),
    stage("reward", "Reward model", "reward", ("lora",), start("sft"), "sft"),
    stage("dpo", "DPO", "dpo", ("lora",), start("sft"), "sft"),
    stage(
      "ppo",
      "PPO",
      "ppo",
      ("scored", "lora", "trunk"),
      scored,
      "sft, by the reward model",
    ),
  ]
  asked = []
  given = ",".join(("suite", "preferences", "perplexity", *word))
  texts = {"tasks.perplexity.path": prose(folder)}
  for name in MODELS:
    begin = base if name == "base" else start(name)
    asked.append(
      [
        *("evaluate", "--config", f"configs/evaluate.py:{given}"),
        *("--workdir", str(folder / "evals" / name)),
        *options(begin | texts | how["evals"]),
      ]
    )
  judged = [f"{name}={folder / 'evals' / name}" for name in MODELS]
  asked.append(
    [
      *("compare", *judged, "--trained", "suite", "--trained", "preferences"),
      *("--out", str(folder / "comparison.json")),
    ]
  )
  return [*found, Stage("evals", "Evaluation", "all of them", asked)]


def prose(folder: Path) -> Path:
  """Text that nothing was trained on: paragraphs of the project's own pages."""
  root = Path(__file__).resolve().parent.parent
  pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
  found = [
    " ".join(part.split())
    for page in pages
    for part in page.read_text("utf-8").split("\n\n")
    if part[:1].isalpha() and len(part) > PARAGRAPH
  ]
  lines = [json.dumps({"text": text}) + "\n" for text in found[:PARAGRAPHS]]
  file = folder / "prose.jsonl"
  if not file.exists():  # what is evaluated must not change between stages
    replace_file(file, "".join(lines))
  return file


def run(command: list[str]) -> float:
  """Runs a command of alignjax; its peak memory, MB. Exits where it fails."""
  print(f"\n$ alignjax {shlex.join(command)}", flush=True)
  alignjax = [sys.executable, "-m", "alignjax.cli", *command]
  child = os.posix_spawn(sys.executable, alignjax, os.environ)
  _, status, used = os.wait4(child, 0)
  if code := os.waitstatus_to_exitcode(status):
    sys.exit(code if code > 0 else 128 - code)
  kilobytes = 1024 if sys.platform == "darwin" else 1  # macOS says bytes
  return used.ru_maxrss / kilobytes / 1024


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("folder", type=Path)
  parser.add_argument("--model", default="", help="folder or .gguf file")
  parser.add_argument("--tiny", action="store_true", help="a small random one")
  a = parser.parse_args()
  if bool(a.model) == a.tiny:
    parser.error("give --model FOLDER_OR_GGUF or --tiny")
  a.folder.mkdir(parents=True, exist_ok=True)
  file, done = a.folder / "pipeline.json", {}
  if file.exists():
    done = {x["name"]: x for x in json.loads(file.read_text())["stages"]}
  kept = []
  for stage in stages(a.folder, a.model, a.tiny):
    commands = [f"alignjax {shlex.join(c)}" for c in stage.commands]
    before = done.get(stage.name, {})
    if before.get("commands") == commands:
      kept.append(before)
      print(f"{stage.title}: done before, {before['seconds']:.0f} s")
      continue
    began = time.monotonic()
    peak = max(run(command) for command in stage.commands)
    trains = stage.commands[0][0] == "train"
    kept.append(
      {
        "name": stage.name,
        "title": stage.title,
        "after": stage.after,
        "folder": stage.name if trains else "",
        "commands": commands,
        "seconds": round(time.monotonic() - began, 1),
        "peak_mb": round(peak),
      }
    )
    made = environment()
    told = {
      "title": f"From a base model to PPO: {a.folder.name}",
      "subtitle": f"{made['started']} · alignjax "
      f"{made['packages'].get('alignjax', '')}",
      "caution": CAUTION,
      "stages": kept,
    }
    replace_file(file, json.dumps(told, indent=1) + "\n")
  for stage in kept:
    print(f"{stage['title']}: {stage['seconds']:.0f} s, {stage['peak_mb']} MB")
  print(f"report: {write_pipeline_report(a.folder)}")


if __name__ == "__main__":
  main()
