"""One run: config and folder in; checkpoints, metrics and a report out."""

import contextlib
import itertools
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from alignjax import build, optim, sharding, step
from alignjax.checkpoint import Checkpoints
from alignjax.data import bad
from alignjax.log import RunLog, write_run
from alignjax.report import write_report

PROFILED = (2, 5)  # steps of a trace, after compilation


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
  data = build.data(config, model, place)
  run = Run(config, place, model.lm, objectives)
  params, frozen = optim.split(model.params, config.optim.frozen)
  tokenizer = model.tokenizer
  del model  # the state is the only holder of the weights from here on
  state = run.init(params, frozen)
  del params, frozen

  checkpoints = Checkpoints(
    workdir / "checkpoints",
    keep=config.checkpoint.keep,
    keep_every=config.checkpoint.keep_every,
  )
  record = {
    "train.batch": config.train.batch,
    "seed": config.seed,
    "rows": len(data.train.rows),
  }
  if config.optim.schedule != "constant":  # a constant one may be prolonged
    record["train.steps"] = config.train.steps
  first = checkpoints.latest() or 0
  if first:
    state = checkpoints.restore(state, record)
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
    if first:
      log.message(f"continuing after step {first}")
    generate = build.generator(config, run.lm, tokenizer, data.template, place)
    prompts = build.prompts(config, data.examples)
    loop = _Loop(run, data, log, checkpoints, record, generate, prompts)
    loop(state, first, workdir / "profile" if profile else None)
  return write_report(workdir)


class Run:
  """The jitted functions of a run, each compiled once."""

  def __init__(self, config, place, lm, objectives):
    self.config, self.place = config, place
    self.lm, self.objectives = lm, objectives
    self.schedule = build.schedule(config)
    trained, frozen = optim.split(lm.shapes(), config.optim.frozen)
    self.optimizer = build.optimizer(config, trained)
    shapes = jax.eval_shape(
      partial(step.init, optimizer=self.optimizer), trained, frozen
    )
    self.shardings = place.like(shapes, lm.shapes())
    train_step = step.make_train_step(
      self.lm.stats,
      objectives,
      self.optimizer,
      self.schedule,
      config.train.accumulate,
    )
    self.train_step = jax.jit(
      train_step,
      in_shardings=(self.shardings, place.rows),
      out_shardings=(self.shardings, place.replicated),
      donate_argnums=0,
    )
    self.eval_step = jax.jit(
      step.make_eval_step(self.lm.stats, objectives),
      in_shardings=(self.shardings, place.rows),
      out_shardings=place.replicated,
    )

  def init(self, params, frozen) -> step.State:
    make = partial(step.init, optimizer=self.optimizer)
    return jax.jit(make, out_shardings=self.shardings, donate_argnums=(0, 1))(
      params, frozen
    )

  def put(self, batch):
    """A host batch onto the mesh: each host places its own rows."""
    return sharding.put(batch, self.place.rows)

  def evaluate(self, state, batches) -> dict[str, float]:
    """Held-out metrics over all rows, exactly weighted."""
    parts = [self.eval_step(state, self.put(batch)) for batch in batches]
    total = jax.tree.map(lambda *x: sum(map(np.float64, x)), *parts)
    means = step.metrics_of(self.objectives, total)
    return {k: float(v) for k, v in means.items()}

  def count(self, state) -> dict[str, int]:
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    return {"trained": size(state.params), "frozen": size(state.frozen)}

  def describe(self, state) -> list[str]:
    c, mesh = self.lm.config, self.place.mesh
    n = self.count(state)
    lines = [
      f"{c.family}, {n['trained']:,} parameters trained, "
      f"{n['frozen']:,} frozen, mesh {'×'.join(map(str, mesh.shape.values()))}"
      f" of {mesh.size} {mesh.devices.flat[0].device_kind} device(s)"
    ]
    whole = self.place.left_whole(self.lm.shapes(), floor=2**20)
    if whole:
      lines.append("whole on every device: " + "; ".join(whole))
    return lines


class _Loop:
  """Steps, and what happens between them."""

  def __init__(self, run, data, log, checkpoints, record, generate, prompts):
    self.run, self.data, self.log = run, data, log
    self.checkpoints, self.record = checkpoints, record
    self.generate, self.prompts = generate, prompts
    self.config = run.config

  def __call__(self, state, first: int, trace: Path | None):
    c = self.config
    last = c.train.steps
    if first == 0:
      self.evaluate(state, 0)
      self.sample(state, 0)
    clock = time.perf_counter()
    batch = self.run.put(self.data.train[first]) if first < last else None
    for done in range(first + 1, last + 1):
      if trace and done == first + PROFILED[0]:
        jax.profiler.start_trace(str(trace))
      state, metrics = self.run.train_step(state, batch)
      if done < last:  # the host prepares while the devices work
        batch = self.run.put(self.data.train[done])
      metrics = {k: float(v) for k, v in metrics.items()}
      self.record_step(done, metrics, time.perf_counter() - clock)
      if trace and done == min(first + PROFILED[1], last):
        jax.profiler.stop_trace()
      if self.due(c.train.eval_every, done):
        self.evaluate(state, done)
      if self.due(c.sample.every, done):
        self.sample(state, done)
      if self.due(c.checkpoint.every, done):
        self.checkpoints.save(state, self.record)
      clock = time.perf_counter()
    self.checkpoints.wait()
    return state

  def due(self, every: int, done: int) -> bool:
    return done == self.config.train.steps or (every > 0 and done % every == 0)

  def record_step(self, done: int, metrics: dict, seconds: float):
    if metrics.pop("skipped"):
      rows = self.data.train.origins(done - 1)
      raise FloatingPointError(
        f"Step {done}: loss {metrics['loss']}, gradient norm "
        f"{metrics['grad_norm']}; not finite, so the update was not applied.\n"
        f"Rows: {', '.join(itertools.islice(rows, 8))}"
        f"{' …' if len(rows) > 8 else ''}\n"
        f"Last checkpoint: {self.checkpoints.latest()}. Lower optim.lr, or "
        "look at these rows."
      )
    metrics["epoch"] = self.data.train.epoch(done)
    metrics["tokens_per_s"] = metrics["tokens"] / seconds
    metrics["step_s"] = seconds
    self.log.write(done, metrics)
    self.log.progress(done, metrics)

  def evaluate(self, state, done: int):
    if not self.data.heldout:
      return
    metrics = self.run.evaluate(state, self.data.heldout)
    self.log.evaluation(done, metrics)
    self.log.message(f"step {done}: held-out loss {metrics['loss']:.4f}")

  def sample(self, state, done: int):
    """Answers to the fixed prompts, by the parameters of this step."""
    if not self.prompts:
      return
    params = optim.merge(state.params, state.frozen)
    answers = self.generate(params, [p.messages for p in self.prompts])
    rows = [
      {
        "prompt": prompt.messages[-1]["content"],
        "completion": answer[0].text,
        "reference": prompt.reference,
        "stopped": answer[0].stopped,
      }
      for prompt, answer in zip(self.prompts, answers)
    ]
    self.log.text(done, "answers", rows)
    shown = rows[0]["completion"][:60]
    self.log.message(f"step {done}: {rows[0]['prompt'][:60]!r} → {shown!r}")
