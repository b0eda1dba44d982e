"""Steps, and what happens between them."""

import contextlib
import math
import time
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from alignjax import optim
from alignjax.train.signals import Signals, Stopped

PROFILED = (2, 5)  # steps of a trace, after compilation
PATIENCE = 10  # skipped steps in a row, after which skipping is no remedy


class Loop:
  """Trains from a batch to the last one; `done` counts batches."""

  def __init__(self, run, data, log, checkpoints, record, generate, prompts):
    self.run, self.data, self.log = run, data, log
    self.feed = run.feed(data.train)
    self.checkpoints, self.record = checkpoints, record
    self.generate, self.prompts = generate, prompts
    self.config = run.config
    self.skipped = 0  # in a row

  def __call__(self, state, first: int, trace: Path | None):
    with (
      Signals(self.log.message) as self.signals,
      contextlib.ExitStack() as profile,
    ):
      return self.steps(state, first, trace, profile)

  def steps(self, state, first: int, trace: Path | None, profile):
    c = self.config
    last = c.train.steps
    self.look(state, first)
    self.stop_where_asked(state, first)
    clock = time.perf_counter()
    for done in range(first + 1, last + 1):
      if trace and done == first + PROFILED[0]:
        profile.enter_context(jax.profiler.trace(str(trace)))
      state, batch, told = self.feed(state, done - 1)
      if batch is None:
        state = self.run.pass_over(state)
      else:
        state, metrics = self.run.train_step(state, batch)
        if done < last:  # the host prepares while the devices work
          self.feed.ahead(done)
        metrics = {k: float(v) for k, v in metrics.items()}
        if told is not None:
          metrics |= told.metrics
          drawn = self.due(c.sample.every, done - 1)
          self.log.rollout(done, told.metrics, told.table, drawn=drawn)
        self.record_step(done, metrics, time.perf_counter() - clock)
        self.hear(done, metrics)
      if done == first + PROFILED[1]:
        profile.close()
      self.checkpoints.check()
      if self.due(c.checkpoint.every, done):
        # Goes on while the model is looked at.
        self.checkpoints.save(done, state, self.record)
      self.look(state, done)
      self.stop_where_asked(state, done)
      clock = time.perf_counter()
    self.checkpoints.wait()
    return state

  def hear(self, done: int, metrics: dict):
    """Says where the rest of a rollout is passed over."""
    if why := self.feed.heard(done, metrics):
      self.log.event(done + 1, "kl_stop", why)
      self.log.message(
        f"step {done}: policy/approxkl_avg {why['policy/approxkl_avg']:.4g} is "
        f"above rollout.kl_stop; {why['passed']} updates are passed over"
      )

  def due(self, every: int, done: int) -> bool:
    ends = (0, self.config.train.steps)
    return done in ends or (every > 0 and done % every == 0)

  def stop_where_asked(self, state, done: int):
    """Saves and raises Stopped, where a signal came to any host.

    Not inside of a rollout, whose completions are not saved.
    """
    if not self.feed.begins(done) or not self.signals.agreed():
      return
    if done:
      self.checkpoints.save(done, state, self.record)
    self.checkpoints.wait()
    self.log.message(
      f"stopped after step {done}; the same command goes on {self.back()}"
    )
    raise Stopped(done)

  def back(self) -> str:
    """Where a run begins again that ends now."""
    saved = self.checkpoints.steps()
    return f"after step {saved[-1]}" if saved else "from the start"

  def record_step(self, done: int, metrics: dict, seconds: float):
    skipped = metrics.pop("skipped")
    metrics |= self.data.train.epochs(done)
    metrics["tokens_per_s"] = metrics["tokens"] / seconds
    metrics["step_s"] = seconds
    if not skipped:
      self.skipped = 0
    else:
      self.skip(done, metrics)
    self.log.write(done, metrics)
    self.log.progress(done, metrics)

  def skip(self, done: int, metrics: dict):
    """A step whose update was not applied: logged, and stopped at by rule."""
    self.skipped += 1
    values = metrics["loss"], metrics["grad_norm"]
    kind = "spike" if all(map(math.isfinite, values)) else "nonfinite"
    rows = self.data.train.origins(done - 1)
    found = {"loss": values[0], "grad_norm": values[1], "rows": rows}
    self.log.event(done, kind, found)
    what = "above mean + 6σ of 128 steps" if kind == "spike" else "not finite"
    what = (
      f"Step {done}: loss {values[0]:.4g}, gradient norm {values[1]:.4g}; "
      f"{what}, so the update was not applied."
    )
    skips = self.config.train[kind] == "skip"
    if skips and self.skipped <= PATIENCE:
      self.log.message(f"{what} Rows: events.jsonl")
      return
    many = f" {self.skipped} in a row." if self.skipped > PATIENCE else ""
    more = " …" if len(rows) > 8 else ""
    on = "" if skips else f"go on with train.{kind}=skip, or "
    self.checkpoints.wait()
    fresh = self.checkpoints.steps() and " with --resume=fresh-optimizer"
    raise FloatingPointError(
      f"{what}{many}\nRows: {', '.join(rows[:8])}{more}\n"
      f"All are in events.jsonl. The same command begins {self.back()};\n"
      f"{on}lower optim.lr{fresh or ''}."
    )

  def look(self, state, done: int):
    """Evaluates and samples where it is due and was not done before."""
    c = self.config
    if self.due(c.train.eval_every, done) and not self.had("evaluations", done):
      self.evaluate(state, done)
    if self.due(c.sample.every, done):
      self.sample(state, done, self.had("samples", done))

  def had(self, name: str, done: int) -> int:
    """Rows of this step in the log of a resumed run; the same on all hosts."""
    count = np.int32(self.log.kept[name][done])
    if jax.process_count() > 1:  # the first one alone has a log
      count = multihost_utils.broadcast_one_to_all(count)
    return int(count)

  def evaluate(self, state, done: int):
    if not self.data.heldout:
      return
    metrics = self.run.evaluate(state, self.data.heldout, self.signals.agreed)
    if metrics is not None:
      self.log.evaluation(done, metrics)
      name = "loss" if "loss" in metrics else "objective/scores"
      told = name.rpartition("/")[2]
      self.log.message(f"step {done}: held-out {told} {metrics[name]:.4f}")

  def sample(self, state, done: int, had: int):
    """Answers to the fixed prompts, by the parameters of this step.

    had: those in the log; a kill may have cut a step's samples short.
    """
    if had >= len(self.prompts) or self.signals.agreed():
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
    self.log.text(done, "answers", rows[had:])
    shown = rows[0]["completion"][:60]
    self.log.message(f"step {done}: {rows[0]['prompt'][:60]!r} → {shown!r}")
