"""Steps, and what happens between them."""

import math
import time
from pathlib import Path

import jax

from alignjax import optim
from alignjax.train.signals import Signals, Stopped

PROFILED = (2, 5)  # steps of a trace, after compilation
PATIENCE = 10  # skipped steps in a row, after which skipping is no remedy


class Loop:
  """Trains from a batch to the last one; `done` counts batches."""

  def __init__(self, run, data, log, checkpoints, record, generate, prompts):
    self.run, self.data, self.log = run, data, log
    self.checkpoints, self.record = checkpoints, record
    self.generate, self.prompts = generate, prompts
    self.config = run.config
    self.skipped = 0  # in a row

  def __call__(self, state, first: int, trace: Path | None):
    self.saved = first
    with Signals(self.log.message) as self.signals:
      state = self.steps(state, first, trace)
    return state

  def steps(self, state, first: int, trace: Path | None):
    c = self.config
    last = c.train.steps
    self.look(state, first)
    self.stop_where_asked(state, first)
    clock = time.perf_counter()
    batch = self.run.put(self.data.train, first) if first < last else None
    for done in range(first + 1, last + 1):
      if trace and done == first + PROFILED[0]:
        jax.profiler.start_trace(str(trace))
      state, metrics = self.run.train_step(state, batch)
      if done < last:  # the host prepares while the devices work
        batch = self.run.put(self.data.train, done)
      metrics = {k: float(v) for k, v in metrics.items()}
      self.record_step(done, metrics, time.perf_counter() - clock)
      if trace and done == min(first + PROFILED[1], last):
        jax.profiler.stop_trace()
      self.checkpoints.check()
      if self.due(c.checkpoint.every, done):
        self.save(state, done)  # goes on while the model is looked at
      self.look(state, done)
      self.stop_where_asked(state, done)
      clock = time.perf_counter()
    self.checkpoints.wait()
    self.checkpoints.check()
    return state

  def due(self, every: int, done: int) -> bool:
    ends = (0, self.config.train.steps)
    return done in ends or (every > 0 and done % every == 0)

  def save(self, state, done: int):
    self.checkpoints.save(done, state, self.record)
    self.saved = done

  def stop_where_asked(self, state, done: int):
    """Saves and raises Stopped, where a signal came to any host."""
    if done == self.config.train.steps or not self.signals.agreed():
      return
    if done > self.saved:
      self.save(state, done)
    self.checkpoints.wait()
    self.checkpoints.check()
    self.log.message(f"stopped after step {done}; the same command goes on")
    raise Stopped(done)

  def record_step(self, done: int, metrics: dict, seconds: float):
    skipped = metrics.pop("skipped")
    spike = bool(metrics.pop("spike", 0.0))
    metrics |= self.data.train.epochs(done)
    metrics["tokens_per_s"] = metrics["tokens"] / seconds
    metrics["step_s"] = seconds
    if not skipped:
      self.skipped = 0
    else:
      self.skip(done, metrics, spike)
    self.log.write(done, metrics)
    self.log.progress(done, metrics)

  def skip(self, done: int, metrics: dict, spike: bool):
    """A step whose update was not applied: logged, and stopped at by rule."""
    self.skipped += 1
    values = metrics["loss"], metrics["grad_norm"]
    finite = all(map(math.isfinite, values))
    kind = "spike" if spike and finite else "nonfinite"
    rows = self.data.train.origins(done - 1)
    found = {"loss": values[0], "grad_norm": values[1], "rows": rows}
    self.log.event(done, kind, found)
    what = "above mean + 6σ of 128 steps" if kind == "spike" else "not finite"
    what = (
      f"Step {done}: loss {values[0]:.4g}, gradient norm {values[1]:.4g}; "
      f"{what}, so the update was not applied."
    )
    rule = self.config.train[kind]
    if rule == "skip" and self.skipped <= PATIENCE:
      self.log.message(f"{what} Rows: events.jsonl")
      return
    more = " …" if len(rows) > 8 else ""
    many = f" {self.skipped} in a row." if self.skipped > PATIENCE else ""
    raise FloatingPointError(
      f"{what}{many}\nRows: {', '.join(rows[:8])}{more}\n"
      f"All are in events.jsonl. Last checkpoint: step {self.saved}.\n"
      f"Lower optim.lr, mend the rows, or go on: train.{kind}=skip."
    )

  def look(self, state, done: int):
    """Evaluates and samples where it is due and was not done before."""
    c = self.config
    if self.due(c.train.eval_every, done) and not self.has("evaluations", done):
      self.evaluate(state, done)
    if self.due(c.sample.every, done) and not self.has("samples", done):
      self.sample(state, done)

  def has(self, name: str, done: int) -> bool:
    """Whether the log of a resumed run holds rows of this step."""
    return any(row["step"] == done for row in self.log.kept[name])

  def evaluate(self, state, done: int):
    if not self.data.heldout:
      return
    metrics = self.run.evaluate(state, self.data.heldout, self.signals.agreed)
    if metrics is not None:
      self.log.evaluation(done, metrics)
      self.log.message(f"step {done}: held-out loss {metrics['loss']:.4f}")

  def sample(self, state, done: int):
    """Answers to the fixed prompts, by the parameters of this step."""
    if not self.prompts or self.signals.agreed():
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
