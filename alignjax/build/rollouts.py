"""Rollouts of a config: what samples, what scores, what is made of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from alignjax import rewards, sharding
from alignjax.annotate import make_annotator, with_fields
from alignjax.build import named, tokens
from alignjax.build.parts import given
from alignjax.build.questions import longest, questions
from alignjax.build.rows import Data
from alignjax.data.cache import digest
from alignjax.data.templates import load_template, stop_ids
from alignjax.experience import adaptive, laid, make_experience, rows
from alignjax.models.lm import LM
from alignjax.ops import advantages
from alignjax.optim import merge
from alignjax.rollout import Answers, Plan, Question, Rollouts
from alignjax.sample import make_sampler

RULE = (
  "prompts",
  "completions",
  "rows",
)  # what rewards by rule are called with


def plan(config: ConfigDict) -> Plan:
  """How rollouts become updates.

  Raises ValueError where a rollout does not hold whole groups, or steps do not
  end with one.
  """
  r, t = config.rollout, config.train
  for name in ("minibatches", "epochs", "samples", "max_tokens"):
    if r[name] < 1:
      raise ValueError(f"rollout.{name} = {r[name]}; it must be at least 1.")
  found = Plan(t.batch, r.minibatches, r.epochs, r.samples)
  if found.rows % r.samples:
    raise ValueError(
      f"A rollout has train.batch · rollout.minibatches = {found.rows} "
      f"completions, which are no whole groups of rollout.samples = "
      f"{r.samples}."
    )
  for key, steps in (
    ("train.steps", t.steps),
    ("train.eval_every", t.eval_every),
    ("checkpoint.every", config.checkpoint.every),
    ("sample.every", config.sample.every),
  ):
    if steps % found.updates:
      raise ValueError(
        f"{key} = {steps} is no multiple of the {found.updates} steps of a "
        "rollout\n(rollout.epochs · rollout.minibatches); nothing is saved or "
        "looked at inside of one."
      )
  return found


def slots(config: ConfigDict, place: sharding.Placement) -> int:
  """Completions that are decoded at once; 0 = all of a rollout."""
  n, multiple = config.rollout.slots, place.row_multiple
  rows = config.train.batch * config.rollout.minibatches
  if not 0 <= n <= rows or n % multiple:
    raise ValueError(
      f"rollout.slots = {n}; it must be a multiple of {multiple}, over which "
      f"rows are split,\nand at most the {rows} completions of a rollout. "
      "0 decodes all of them at once."
    )
  return n


def scorers(config: ConfigDict) -> dict[str, tuple[float, Callable]]:
  """name → (weight, answers → scores [B]) of `config.reward`.

  An entry's `name` is a function in `alignjax/rewards.py` or the import path of
  one of the user's own.
  """
  if not config.reward:
    raise ValueError(
      "config.reward is empty: rollouts need something to be scored by."
    )
  return {
    label: _rule(entry.to_dict(), f"reward.{label}")
    for label, entry in config.reward.items()
  }


def _rule(entry: dict, where: str) -> tuple[float, Callable]:
  name, weight, options = named.split(entry, where)
  module, _, function = name.rpartition(".")
  module = named.imported(module, where) if module else rewards
  score = named.function(module, function, options, where=where, first=RULE)

  def scored(answers: Answers) -> np.ndarray:
    asked = answers.questions
    found = score(
      [q.messages for q in asked], answers.texts, [q.row for q in asked]
    )
    found = np.asarray(found, np.float32)
    if found.shape != (len(asked),) or not np.isfinite(found).all():
      raise ValueError(
        f"{where}: {name} gave {found.shape} numbers for {len(asked)} "
        "completions, or one that is not finite; give one float each."
      )
    return found

  return weight, scored


def asked(
  config: ConfigDict,
  tokenizer: Any,
  lm: LM,
  place: sharding.Placement,
  *,
  shardings: Any,
  values: bool,
) -> Data:
  """The prompts of a config, and the rollouts that answer them.

  shardings: of the state. values: whether a loss reads the statistic "value".
  `heldout` answers the prompts of data.eval; None where there are none.
  """
  template = load_template(config.data.template or None, tokenizer)
  read = partial(
    questions, config, tokenizer=tokenizer, template=template, model=lm.config
  )
  make = _maker(config, tokenizer, template, lm, place, shardings, values)
  how, d = plan(config), config.data
  asks, line = read(d.train, "data.train")
  report, held = [line], None
  identity = {
    "tokenizer": tokens.of_tokenizer(tokenizer)[:12],
    "template": tokens.of_template(template)[:12],
    "data.train": digest([[q.ids.tolist(), q.row] for q in asks])[:12],
  }
  if given(d.eval):
    others, line = read(d.eval, "data.eval")
    report.append(line)
    n = -(-len(others) // place.row_multiple) * place.row_multiple
    held = make(others, Plan(n, 1, 1, 1))
  if how.rows // how.samples > len(asks):
    raise ValueError(
      f"A rollout asks {how.rows // how.samples} prompts, and there are "
      f"{len(asks)}.\nLower train.batch or rollout.minibatches, or raise "
      "rollout.samples."
    )
  return Data(
    make(asks, how), held, template, report, [], identity, tables=None
  )


def _maker(config, tokenizer, template, lm, place, shardings, values):
  """(questions, plan) → Rollouts."""
  r, whole, row = config.rollout, place.replicated, place.rows
  policy = make_sampler(
    lm,
    max_tokens=r.max_tokens,
    temperature=r.temperature,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    stop=stop_ids(tokenizer, template),
    slots=slots(config, place),
    multiple=place.row_multiple,
  )
  if not r.temperature > 0:
    raise ValueError(
      f"rollout.temperature = {r.temperature}; it must be above 0: a greedy "
      "answer explores nothing."
    )

  def sampler(state, prompts):
    params = merge(state.params, state.frozen)
    return policy(params, prompts, jax.random.key(config.seed))

  stats = partial(lm.stats, temperature=r.temperature)
  refer = make_annotator(stats, ("logp",))

  def referred(state, batch):
    found = refer(merge(state.reference, state.frozen), batch)
    return with_fields(batch, found, "reference")

  entry = r.advantage.to_dict()
  estimate = named.function(
    advantages,
    entry.pop("name"),
    entry,
    where="rollout.advantage",
    first=("batch", "scores", "coefficient", "samples"),
  )

  def put(tree):
    size = jax.tree.leaves(tree)[0].shape[0]
    take = lambda chosen: jax.tree.map(lambda x: x[chosen], tree)  # noqa: E731
    return sharding.put_rows(take, size, row)

  def make(asks: list[Question], how: Plan) -> Rollouts:
    experience = make_experience(
      stats,
      referred,
      # Of held-out prompts scores alone are wanted.
      estimate if how.updates > 1 or how.samples == r.samples else None,
      adaptive(target=r.kl_target, horizon=r.kl_horizon, rows=how.rows),
      values=values,
      samples=how.samples,
    )
    return Rollouts(
      asks,
      how,
      longest=longest(asks),
      sampler=jax.jit(
        sampler, in_shardings=(shardings, row), out_shardings=row
      ),
      lay=jax.jit(laid, out_shardings=row),
      experience=jax.jit(
        experience,
        in_shardings=(shardings, row, row, row),
        out_shardings=(shardings, row, row, whole),
      ),
      take=jax.jit(rows, in_shardings=(row, whole), out_shardings=row),
      put=put,
      decode=partial(tokenizer.decode, skip_special_tokens=True),
      rewards=scorers(config),
      penalty=r.missing_stop,
      clip=r.clip,
      seed=config.seed,
    )

  return make
