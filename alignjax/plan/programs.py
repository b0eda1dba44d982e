"""The programs of a config, lowered without weights, rows or devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax import build, optim
from alignjax.annotate import make_annotator
from alignjax.build.plans import finish, plan
from alignjax.build.rollouts import Maker
from alignjax.build.shapes import batch_shapes
from alignjax.data.templates import load_template
from alignjax.plan.useful import useful
from alignjax.sample import Prompts
from alignjax.sharding import Placement
from alignjax.totals import needed
from alignjax.train.run import Run
from alignjax.types import Batch


class Job(NamedTuple):
  """One jitted function and the shapes it is called with.

  parts: name → a tree of the arguments' shapes, and where they lie: what stands
    in memory. tokens: places of all rows, padding too. useful: FLOPs that it
    cannot do without, over all devices; 0 where it is not known. rounds: of the
    loop over new tokens, at most; 0 where that is not one loop.
  """

  name: str
  function: Any
  arguments: tuple
  parts: dict[str, tuple]
  tokens: int
  devices: int
  useful: float = 0.0
  rounds: int = 0

  def lower(self):
    return self.function.lower(*self.arguments)


def jobs(config: ConfigDict, place: Placement, prompt: int = 0) -> list[Job]:
  """What a run of `config` compiles, in the order it is called.

  prompt: tokens of each conversation that are not trained; of a rollout, those
    that are asked, and 0 is for `data.max_length`.
  """
  objectives = build.objectives(config)
  lm, tokenizer = build.outline(config, place)
  lm = build.taught(lm, config, place, tokenizer, objectives)
  run = Run(config, place, lm, objectives)
  trained, frozen = optim.split(lm.shapes(), config.optim.frozen)
  if lm.teacher is not None:
    frozen |= {"teacher": lm.teacher.lm.shapes()}
  state = jax.eval_shape(run._state, trained, frozen)
  held = {
    "parameters": (state.params, run.shardings.params),
    "frozen": (state.frozen, run.shardings.frozen),
    "moments": (state.moments, run.shardings.moments),
    "reference": (state.reference, run.shardings.reference),
  }
  found = []

  def job(name, function, *arguments, tokens, parts=held, useful=0.0, rounds=0):
    of = tokens, place.mesh.size, useful, rounds
    found.append(Job(name, function, arguments, parts, *of))

  if config.rollout:
    batch = _rollout(job, config, run, tokenizer, state, prompt)
  else:
    batch = batch_shapes(config, place, objectives, prompt)
    if run.asks_before and build.reads_reference(objectives):
      _refer(job, run, lm, batch)
  needs = needed(objectives)
  job(
    "train step",
    run.train_step,
    state,
    batch,
    tokens=batch.tokens.size,
    useful=useful(config, lm, batch, needs, trained, prompt),
    rounds=_chunks(lm, batch),
  )
  return found


def _refer(job: Callable, run: Run, lm, batch: Batch) -> None:
  """The pass over all rows that comes before the first step."""
  place = run.place
  shapes = {k: x for k, x in lm.shapes().items() if k != "lora"}
  where = {k: x for k, x in place.tree(lm.shapes()).items() if k != "lora"}
  ask = jax.jit(
    make_annotator(run.reads.stats, ("logp",)),
    in_shardings=(where, place.rows),
    out_shardings=place.replicated,
  )
  bare = batch._replace(fields={})
  parts = {"parameters": (shapes, where)}
  job(
    "reference pass",
    ask,
    shapes,
    bare,
    tokens=batch.tokens.size,
    parts=parts,
    rounds=_chunks(lm, batch),
  )


def _chunks(lm, batch: Batch) -> int:
  """How often the readout's loop runs at most."""
  return -(-batch.targets.shape[1] // lm.chunk)


def _rollout(
  job: Callable, config: ConfigDict, run: Run, tokenizer, state, prompt: int
) -> Batch:
  """Sampling and what is made of it; the batch of an update."""
  how, made = plan(config), finish(config)
  values = "value" in needed(run.objectives)
  template = load_template(config.data.template or None, tokenizer)
  maker = Maker(
    config, tokenizer, template, run.lm, run.place, run.shardings, values
  )
  rows, length = how.completions, prompt or config.data.max_length

  def whole(*shape, dtype=jnp.int32):
    return jax.ShapeDtypeStruct(shape, dtype)

  prompts = Prompts(whole(rows, length), whole(rows), whole(rows))
  new = rows * config.rollout.max_tokens
  # The first token comes with the prompt; of slots there are more loops.
  at_once = config.rollout.slots in (0, rows)
  rounds = (config.rollout.max_tokens - 1) * at_once
  given = state, prompts
  job("sampling", maker.sampler, *given, tokens=new, rounds=rounds)
  samples = jax.eval_shape(maker.sampler, state, prompts)
  batch = jax.eval_shape(maker.lay, prompts, samples)
  scores = whole(rows, dtype=jnp.float32)
  known = (state, batch, samples.logps, scores)
  experience = maker.experience(how, made)
  chunks = _chunks(run.lm, batch)
  job(
    "experience",
    experience,
    *known,
    tokens=batch.tokens.size,
    rounds=chunks,
  )
  batch = jax.eval_shape(experience, *known)[1]
  if config.rollout.mix.batch:
    raise ValueError(
      "rollout.mix: the rows of other data are not planned yet.\nSet "
      "rollout.mix.batch=0, and drop the loss of rows='mixed'."
    )
  return jax.eval_shape(maker.take, batch, whole(config.train.batch))
