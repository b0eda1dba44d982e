"""One run: config and folder in; checkpoints, metrics and a report out."""

import contextlib
from pathlib import Path

import jax
from ml_collections import ConfigDict

from alignjax import build, optim
from alignjax.data import bad
from alignjax.log import NoLog, RunLog, write_run
from alignjax.report import write_report
from alignjax.train import start
from alignjax.train.loop import Loop
from alignjax.train.run import Run
from alignjax.train.signals import EXIT_STOPPED, Stopped

__all__ = ["EXIT_STOPPED", "Run", "Stopped", "train"]


def train(
  config: ConfigDict,
  workdir: Path,
  *,
  profile: bool = False,
  resume: str = "",
) -> Path:
  """Trains as `config` says; the same call continues an interrupted run.

  workdir then holds config.json, run.json, metrics.jsonl (a line a step),
  evaluations.jsonl, samples.jsonl, events.jsonl, data/, tensorboard/,
  checkpoints/ and report.html, whose path is returned; bad_rows.jsonl where bad
  rows are quarantined. Of several hosts the first one keeps it; checkpoints are
  written by all.

  resume: "", "weights-only" or "fresh-optimizer" (`start.begin`).

  Raises ValueError where hosts have other configs or code than host 0.
  Raises FloatingPointError where a step's loss or gradient is not finite, or a
  spike, and the config says stop; that step's update is not applied. Raises
  Stopped (a SystemExit, status 75) after SIGTERM or SIGINT, when the step is
  saved.
  """
  workdir = Path(workdir)
  start.check(resume)
  start.agree(config, resume)
  place = build.placement(config)
  objectives = build.objectives(config)
  lm, tokenizer = build.outline(config, place)
  lm = build.taught(lm, config, place, tokenizer, objectives)
  run = Run(config, place, lm, objectives)
  said = []  # until there is a log
  checkpoints = build.checkpoints(config, workdir, said.append)
  with contextlib.closing(checkpoints):
    data = run.data(tokenizer, workdir / "data")
    params = build.weights(config, place, lm)
    if run.asks_before and build.reads_reference(objectives):
      folder = workdir / "data" / "reference"
      data = build.with_reference(data, config, place, lm, params, folder)
    trained, frozen = optim.split(params, config.optim.frozen)
    frozen |= build.teacher_weights(lm, config, place, data)
    # The state is the only holder of the weights from here on.
    state = run.init(trained, frozen)
    del params, trained, frozen

    record = build.record(config, lm.config, state.frozen, data.identity)
    record["resume"] = resume
    state, lines = start.begin(checkpoints, state, record, resume, workdir)
    first = start.first_step(state, config.train.steps)
    owner = jax.process_index() == 0
    log = NoLog()
    if owner:
      facts = {
        "devices": [str(d.device_kind) for d in place.mesh.devices.flat],
        "hosts": jax.process_count(),
        "mesh": dict(place.mesh.shape),
        "parameters": run.count(state),
        "data": data.report,
        "first_step": first,
      }
      made = config.to_json_best_effort()
      write_run(workdir, made, facts, resumed=first > 0)
      if data.bad:
        bad.write(data.bad, workdir / "bad_rows.jsonl")
      log = RunLog(
        workdir,
        total_steps=config.train.steps,
        start_step=first,
        tensorboard=config.log.tensorboard,
        wandb={"project": config.log.wandb} if config.log.wandb else None,
        patient=config.checkpoint.on_error == "continue",
      )
    with log:
      checkpoints.say = log.message
      for line in [*run.describe(state), *data.report, *lines, *said]:
        log.message(line)
      checkpoints.tidy()
      generate = build.generator(config, lm, tokenizer, data.template, place)
      prompts = build.prompts(config, tokenizer, data.template)
      loop = Loop(run, data, log, checkpoints, record, generate, prompts)
      loop(state, first, workdir / "profile" if profile else None)
  return write_report(workdir) if owner else workdir / "report.html"
