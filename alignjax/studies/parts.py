"""The parts of a study: a model trained on some rows, and asked some tasks.

A study is a folder of parts, each a folder of its own: `rows.jsonl` that was
trained on, `run/` of the training, `model/` that came of it, and what
`alignjax evaluate` writes, `items/` and `summary.json`. A part that has its
summary is done; one that was stopped goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jax
from ml_collections import ConfigDict

from alignjax import pretrained
from alignjax.build import evaluations, trained
from alignjax.build.record import flat
from alignjax.evals.run import evaluate
from alignjax.log.records import line, read_metrics, replace_file
from alignjax.train import train

Say = Callable[[str], None]
# Of a training config, what says which model is asked.
SUBJECT = ("seed", "mesh", "model", "critic", "lora", "sharding")


def begin(config: ConfigDict, folder: Path) -> None:
  """Makes the folder of a study and keeps its config there.

  Programs are kept in `compiled/`, unless JAX keeps them elsewhere: parts whose
  batches have one shape compile it once.

  Raises ValueError where the folder is of another config.
  """
  folder.mkdir(parents=True, exist_ok=True)
  made = config.to_json_best_effort()
  file = folder / "config.json"
  if file.exists():
    before, now = flat(read_config(folder)), flat(ConfigDict(json.loads(made)))
    for key in sorted(before | now):
      if before.get(key) != now.get(key):
        raise ValueError(
          f"{folder} is a study with {key} = {before.get(key)!r}, now "
          f"{now.get(key)!r}.\nGive another --workdir, or remove that one."
        )
  else:
    replace_file(file, json.dumps(json.loads(made), indent=1) + "\n")
  if not jax.config.jax_compilation_cache_dir:
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))


def read_config(folder: Path) -> ConfigDict:
  """The config of a study's folder; FileNotFoundError where it is none."""
  file = folder / "config.json"
  if not file.is_file():
    raise FileNotFoundError(f"{folder} is not a study: it has no config.json.")
  return ConfigDict(json.loads(file.read_text("utf-8")))


def part(
  config: ConfigDict,
  folder: Path,
  tasks: Mapping[str, Mapping],
  rows: Iterable[dict] = (),
  *,
  say: Say,
) -> Path:
  """Trains as `config` says on the rows and asks the tasks; returns `model/`.

  config: of a study: a training config with `evaluation`, whose `batch` and
    `rows` are those of `alignjax evaluate`, and `study`, which is not read.
  tasks: as `config.tasks` of evaluations. rows: none asks the model as it is.

  Nothing is done where `summary.json` is there.
  """
  model = folder / "model"
  if (folder / "summary.json").exists():
    say(f"{folder.name}: done before")
    return model
  folder.mkdir(exist_ok=True)
  run = ConfigDict(config.to_dict())
  del run.evaluation, run.study
  asked = ConfigDict({k: run.to_dict()[k] for k in SUBJECT})
  asked.template = run.data.template
  asked.update(config.evaluation.to_dict())
  asked.tasks = ConfigDict(dict(tasks))
  asked.lora.rank = 0  # adapters change nothing at first, and are merged later
  rows = list(rows)
  if rows:
    text = "".join(map(line, rows))
    replace_file(folder / "rows.jsonl", text)
    run.data.train.update(path=str(folder / "rows.jsonl"), limit=0)
    say(f"{folder.name}: {run.train.steps} steps on {len(rows)} rows")
    train(run, folder / "run")
    pretrained.export(model, *trained(folder / "run"))
    asked.model.update(path=str(model), preset="", revision="", adapter="")
  found = evaluations.tasks(asked)
  n = sum(len(task.items) for task in found.values())
  say(f"{folder.name}: asked {n} items")
  subject, about = evaluations.subject(asked)
  evaluate(
    found,
    subject,
    folder,
    about=about,
    seed=config.seed,
    show=lambda name, done, total: None,
  )
  shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)
  return model


def items(folder: Path, task: str) -> list[dict]:
  """The items of a task of a part; FileNotFoundError where it is not done."""
  if not (folder / "summary.json").is_file():
    raise FileNotFoundError(
      f"{folder} has no summary.json, so the study is not done.\n"
      "The command that began it goes on with it."
    )
  return read_metrics(folder / "items" / f"{task}.jsonl")


def passes(folder: Path) -> float:
  """How often a part has seen each of its rows; below 1, not all of them."""
  return read_metrics(folder / "run" / "metrics.jsonl")[-1]["epoch"]


def write(folder: Path, name: str, numbers: Mapping) -> Path:
  """Numbers of a study as JSON, in its folder."""
  file = folder / f"{name}.json"
  replace_file(file, json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
  return file
