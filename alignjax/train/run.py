"""The jitted functions of a run."""

import dataclasses
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np

from alignjax import build, kernels, optim, sharding, step, totals
from alignjax.log import Counting


class Ahead:
  """Batches of a loader, each put onto the mesh before it is asked for."""

  def __init__(self, run, batches):
    self.run, self.batches, self.ready = run, batches, None

  def __call__(self, state, step: int):
    batch, self.ready = self.ready, None
    if batch is None:
      batch = self.run.put(self.batches, step)
    return state, batch, None

  def begins(self, step: int) -> bool:
    """Whether a run may go on from a step: from any."""
    del step
    return True

  def heard(self, done: int, metrics) -> dict:
    """What came of a step; no step is passed over for it."""
    del done, metrics
    return {}

  def ahead(self, step: int) -> None:
    """Prepares the batch of the next step."""
    self.ready = self.run.put(self.batches, step)


class Run:
  """The jitted functions of a run, each compiled once."""

  def __init__(self, config, place, lm, objectives):
    build.check_counts(config)
    build.check_losses(config, objectives, lm.config)
    self.config, self.place = config, place
    self.lm, self.objectives = lm, objectives
    self.schedule = build.schedule(config)
    self.moving = build.moving(config, objectives)
    trained, frozen = optim.split(lm.shapes(), config.optim.frozen)
    self.optimizer = build.optimizer(config, trained)
    taught = {"teacher": lm.teacher.lm.shapes()} if lm.teacher else {}
    shapes = jax.eval_shape(self._state, trained, frozen | taught)
    self.shardings = place.like(shapes, lm.shapes() | taught)
    noise, guard = build.noise(config), build.guard(config)
    # The model as it reads the rows that are trained.
    self.reads = dataclasses.replace(lm, parts=build.row_parts(config))
    annotate = build.per_batch(self.reads, self.moving is not None)
    # Sampled tokens are as likely as they were when they were drawn.
    warm = {"temperature": config.rollout.temperature} if config.rollout else {}
    train_step = step.make_train_step(
      partial(self.reads.stats, neftune=noise, **warm),
      objectives,
      self.optimizer,
      self.schedule,
      config.train.accumulate,
      skip_spikes=guard["spike"] != "off",
      seed=config.seed if noise else None,
      annotate=annotate,
      moving=self.moving,
      warmup=build.warmup(config),
      ahead=True,
      branch=kernels.branches(place),
    )
    self.pass_over = jax.jit(
      lambda state: state._replace(data=state.data + 1),
      in_shardings=(self.shardings,),
      out_shardings=self.shardings,
      donate_argnums=0,
    )
    self.train_step = jax.jit(
      train_step,
      in_shardings=(self.shardings, place.rows),
      out_shardings=(self.shardings, place.replicated),
      donate_argnums=0,
      compiler_options=kernels.compiler_options(place),
    )
    self.eval_step = jax.jit(
      step.make_eval_step(self.reads.stats, objectives, annotate),
      in_shardings=(self.shardings, place.rows),
      out_shardings=place.replicated,
    )

  @property
  def asks_before(self) -> bool:
    """Whether rows are known before training, and the reference stays."""
    return self.moving is None and not self.config.rollout

  def data(self, tokenizer, cache: Path) -> build.Data:
    """What the run reads: rows, tokenised into `cache`, or prompts."""
    c, place = self.config, self.place
    if c.rollout:
      values = "value" in totals.needed(self.objectives)
      return build.asked(
        c,
        tokenizer,
        self.lm,
        place,
        shardings=self.shardings,
        values=values,
        cache=cache,
      )
    with Counting(sys.stderr, "tokenising") as progress:
      found = build.data(
        c,
        tokenizer,
        self.lm.config,
        place,
        cache=cache,
        progress=progress if jax.process_index() == 0 else None,
      )
    build.check_labels(self.objectives, found.tables)
    return found

  def init(self, params, frozen) -> step.State:
    """The state before the first step; the arguments are donated."""
    make = jax.jit(
      self._state, out_shardings=self.shardings, donate_argnums=(0, 1)
    )
    return make(params, frozen)

  def _state(self, params, frozen) -> step.State:
    sampled = bool(self.config.rollout)
    state = step.init(
      *build.stored(self.config, params, frozen),
      self.optimizer,
      refers=sampled or self.moving is not None,
      control={"kl": self.config.rollout.kl, "length": 0.0} if sampled else {},
    )
    if self.moving is not None:
      return state
    held = build.stored(self.config, {}, state.reference)[1]
    return state._replace(reference=held)

  def feed(self, batches):
    """Where batches come from: (state, step) → (state, batch, what is told)."""
    return batches if self.config.rollout else Ahead(self, batches)

  def put(self, batches, step: int):
    """A batch of a loader onto the mesh: each host makes its own rows."""
    return sharding.put_rows(
      partial(batches.batch, step), batches.size, self.place.rows
    )

  def evaluate(
    self, state, batches, stop=lambda: False
  ) -> dict[str, float] | None:
    """Held-out metrics over all rows, exactly weighted; None where stopped.

    stop: asked before each batch.
    """
    if self.config.rollout:
      told = batches.answer(state, stop)
      return None if told is None else told.metrics
    parts = []
    for i in range(len(batches)):
      if stop():
        return None
      parts.append(self.eval_step(state, self.put(batches, i)))
    total = jax.tree.map(lambda *x: sum(map(np.float64, x)), *parts)
    means = totals.metrics_of(self.objectives, total)
    return {k: float(v) for k, v in means.items()}

  def count(self, state) -> dict[str, int]:
    """Parameters of the model, trained and frozen, and a teacher's."""
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    found = {"trained": size(state.params), "frozen": size(state.frozen)}
    if "teacher" in state.frozen:
      found["teacher"] = size(state.frozen["teacher"])
      found["frozen"] -= found["teacher"]
    return found

  def describe(self, state) -> list[str]:
    c, mesh = self.lm.config, self.place.mesh
    n = self.count(state)
    lines = [
      f"{c.family}, {n['trained']:,} parameters trained, "
      f"{n['frozen']:,} frozen, mesh {'×'.join(map(str, mesh.shape.values()))}"
      f" of {mesh.size} {mesh.devices.flat[0].device_kind} device(s)",
      kernels.chosen(self.place, self.config.model.attention)[1],
    ]
    if self.moving is not None:
      lines.append(
        f"the reference moves every {self.moving.every} steps, by "
        f"{self.moving.alpha:g} of the way"
      )
    if "teacher" in n:
      family = self.lm.teacher.lm.config.family
      lines.append(f"taught by {family}, {n['teacher']:,} parameters")
    whole = self.place.left_whole(self.lm.shapes(), floor=2**20)
    if whole:
      lines.append("whole on every device: " + "; ".join(whole))
    return lines
