"""Steps, and what happens between them."""

import itertools
import time
from pathlib import Path

import jax

from alignjax import optim

PROFILED = (2, 5)  # steps of a trace, after compilation


class Loop:
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
        self.checkpoints.save(done, state, self.record)
      self.checkpoints.check()
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
        f"Last checkpoint: {max(self.checkpoints.steps(), default=None)}. "
        "Lower optim.lr, or look at these rows."
      )
    metrics |= self.data.train.epochs(done)
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
