"""One run: config and folder in; checkpoints, metrics and a report out."""

import contextlib
from pathlib import Path

import jax
from ml_collections import ConfigDict

from alignjax import build, optim
from alignjax.checkpoint import Checkpoints, refuse
from alignjax.data import bad
from alignjax.log import RunLog, write_run
from alignjax.report import write_report
from alignjax.train.loop import Loop
from alignjax.train.run import Run

__all__ = ["Run", "train"]


def train(config: ConfigDict, workdir: Path, *, profile: bool = False) -> Path:
  """Trains as `config` says; the same call continues an interrupted run.

  workdir then holds config.json, run.json, metrics.jsonl (a line a step),
  evaluations.jsonl, samples.jsonl, tensorboard/, checkpoints/ and report.html,
  whose path is returned; bad_rows.jsonl where bad rows are quarantined.

  Raises FloatingPointError at the first loss or gradient that is not finite;
  that step's update is not applied.
  """
  workdir = Path(workdir)
  place = build.placement(config)
  objectives = build.objectives(config)
  model = build.model(config, place)
  data = build.data(
    config,
    model.tokenizer,
    model.lm.config,
    place,
    cache=workdir / "data",
  )
  run = Run(config, place, model.lm, objectives)
  params, frozen = optim.split(model.params, config.optim.frozen)
  tokenizer = model.tokenizer
  del model  # the state is the only holder of the weights from here on
  state = run.init(params, frozen)
  del params, frozen

  checkpoints = Checkpoints(
    config.checkpoint.folder or workdir / "checkpoints",
    keep=config.checkpoint.keep,
    keep_every=config.checkpoint.keep_every,
    on_error=config.checkpoint.on_error,
    say=lambda line: log.message(line),
  )
  record = {
    "train.batch": config.train.batch,
    "seed": config.seed,
    "rows": sum(map(len, data.train.parts.values())),
  }
  if config.optim.schedule != "constant":  # a constant one may be prolonged
    record["train.steps"] = config.train.steps
  found = checkpoints.newest()
  first = found.step if found else 0
  if found:
    refuse(found.record, record)
    state = checkpoints.restore(first, state)
  passed = found.passed if found else []
  write_run(
    workdir,
    config.to_json_best_effort(),
    {
      "devices": [str(d.device_kind) for d in place.mesh.devices.flat],
      "mesh": dict(place.mesh.shape),
      "parameters": run.count(state),
      "data": data.report,
    },
  )
  if data.bad and jax.process_index() == 0:
    bad.write(data.bad, workdir / "bad_rows.jsonl")
  log = RunLog(
    workdir,
    total_steps=config.train.steps,
    start_step=first,
    tensorboard=config.log.tensorboard,
    wandb={"project": config.log.wandb} if config.log.wandb else None,
  )
  with log, contextlib.closing(checkpoints):
    for line in [*run.describe(state), *data.report]:
      log.message(line)
    for line in passed:
      log.message(line)
    checkpoints.tidy()
    if first:
      log.message(f"continuing after step {first}")
    generate = build.generator(config, run.lm, tokenizer, data.template, place)
    prompts = build.prompts(config, tokenizer, data.template)
    loop = Loop(run, data, log, checkpoints, record, generate, prompts)
    loop(state, first, workdir / "profile" if profile else None)
  return write_report(workdir)
