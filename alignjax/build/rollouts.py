"""Rollouts of a config: what samples, what scores, what is made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from alignjax import sharding
from alignjax.annotate import make_annotator, with_fields
from alignjax.build import tokens
from alignjax.build.parts import given
from alignjax.build.plans import finish, plan, slots
from alignjax.build.questions import longest, questions
from alignjax.build.rows import Data, check_batch, data
from alignjax.build.scorers import Scorers, scorers
from alignjax.data.cache import digest
from alignjax.data.loader import Loader
from alignjax.data.templates import Template, load_template, stop_ids
from alignjax.experience import adaptive, joined, laid, make_experience, rows
from alignjax.models.lm import LM
from alignjax.optim import merge
from alignjax.rollout import Plan, Question, Rollouts
from alignjax.sample import make_sampler
from alignjax.types import Batch


def asked(
  config: ConfigDict,
  tokenizer: Any,
  lm: LM,
  place: sharding.Placement,
  *,
  shardings: Any,
  values: bool,
  cache: Path,
) -> Data:
  """The prompts of a config, and the rollouts that answer them.

  shardings: of the state. values: whether a loss reads the statistic "value".
  cache: a folder for the tokenised rows of other data (`rollout.mix`).
  `heldout` answers the prompts of data.eval; None where there are none.

  Raises ValueError for options without meaning or effect, before weights are
  read.
  """
  how, made = plan(config), finish(config)
  d, r = config.data, config.rollout
  _check(config, place)
  template = load_template(d.template or None, tokenizer)
  read = partial(
    questions, config, tokenizer=tokenizer, template=template, model=lm.config
  )
  asks, line = read(d.train, "data.train")
  if how.prompts > len(asks):
    raise ValueError(
      f"A rollout asks {how.prompts} prompts, and there are {len(asks)}.\n"
      "Lower train.batch or rollout.minibatches, or raise rollout.samples."
    )
  report, others = [line], []
  if given(d.eval):
    others, line = read(d.eval, "data.eval")
    report.append(line)
  mixed = _mixed(config, tokenizer, lm, place, cache)
  scored = scorers(config, tokenizer, lm, place)
  length = longest([*asks, *others]) + r.max_tokens
  if scored.longest is not None and length > scored.longest:
    raise ValueError(
      f"Prompts and rollout.max_tokens = {r.max_tokens} are {length} tokens; "
      f"a reward model takes {scored.longest}.\nLower data.max_length or "
      "rollout.max_tokens."
    )
  identity = scored.identity | {
    "tokenizer": tokens.of_tokenizer(tokenizer)[:12],
    "template": tokens.of_template(template)[:12],
    "data.train": digest([[q.ids.tolist(), q.row] for q in asks])[:12],
  }
  if mixed is not None:
    report += mixed.report
    identity["rollout.mix"] = digest(dict(mixed.identity))[:12]
  make = Maker(
    config, tokenizer, template, lm, place, shardings, values, scored
  )
  held = None
  if others:
    n = -(-len(others) // place.row_multiple) * place.row_multiple
    n = min(n, how.completions)  # what has room at a time
    held = make(others, Plan(n, 1, 1, 1), scores_alone)
  train = make(asks, how, made, mixed and mixed.train)
  return Data(train, held, template, report, [], identity, tables=None)


def scores_alone(batch: Batch, scores, coefficient) -> Batch:
  """Nothing is made of completions that are not trained on."""
  del scores, coefficient
  return batch


def _check(config: ConfigDict, place: sharding.Placement) -> None:
  r, path = config.rollout, config.reference.path
  check_batch(config, place, more=r.mix.batch)
  if path:
    raise ValueError(
      f"reference.path = {path!r} has no effect on rollouts: their reference "
      "is the model\nas it starts, or its base under adapters. Start from it."
    )
  if not r.temperature > 0:
    raise ValueError(
      f"rollout.temperature = {r.temperature}; it must be above 0: a greedy "
      "answer explores nothing."
    )


def _mixed(config, tokenizer, lm, place, cache: Path) -> Data | None:
  """Rows of other data, `rollout.mix`; None where there are none."""
  mix = config.rollout.mix
  if mix.batch < 0 or bool(mix.batch) != given(mix.data):
    raise ValueError(
      f"rollout.mix: batch = {mix.batch} rows of data.path = "
      f"{mix.data.path!r}.\nGive both, or neither (batch 0)."
    )
  if not mix.batch:
    return None
  other = config.copy_and_resolve_references()
  with other.unlocked():
    other.data.train, other.data.eval = mix.data, ConfigDict(mix.data)
    other.data.eval.update(path="", reader="", parts=ConfigDict())
    other.data.rows, other.data.layout = "examples", "apart"
    other.train.batch, other.train.accumulate = mix.batch, 1
  return data(other, tokenizer, lm.config, place, cache=cache / "mix")


@dataclass(frozen=True)
class Maker:
  """Makes rollouts: (questions, plan, …) → Rollouts.

  Its jitted functions are shared by those of training and of held-out prompts.
  """

  config: ConfigDict
  tokenizer: Any
  template: Template
  lm: LM
  place: sharding.Placement
  shardings: Any
  values: bool
  scored: Scorers | None = None  # where nothing is scored

  def __call__(
    self,
    asks: list[Question],
    how: Plan,
    made: Callable[..., Batch],
    mix: Loader | None = None,
  ) -> Rollouts:
    r = self.config.rollout
    return Rollouts(
      asks,
      how,
      longest=longest(asks),
      sampler=self.sampler,
      lay=self.lay,
      experience=self.experience(how, made),
      take=self.take,
      put=self.put,
      decode=partial(self.tokenizer.decode, skip_special_tokens=True),
      rewards=self.scored.parts,
      penalty=r.missing_stop,
      clip=r.clip,
      stop=r.kl_stop,
      mix=self.mixer(mix),
      seed=self.config.seed,
    )

  @cached_property
  def lay(self) -> Callable:
    """(prompts, samples) → a batch of completions."""
    return jax.jit(laid, out_shardings=self.place.rows)

  @cached_property
  def take(self) -> Callable:
    """(batch, row numbers) → these rows."""
    row, whole = self.place.rows, self.place.replicated
    return jax.jit(rows, in_shardings=(row, whole), out_shardings=row)

  def experience(self, how: Plan, made: Callable[..., Batch]) -> Callable:
    """(state, batch, log-probabilities, scores) → all that is known of them."""
    r, row, whole = self.config.rollout, self.place.rows, self.place.replicated
    found = make_experience(
      self.stats,
      self.refer,
      made,
      adaptive(target=r.kl_target, horizon=r.kl_horizon, rows=how.completions),
      values=self.values,
      samples=how.samples,
    )
    return jax.jit(
      found,
      in_shardings=(self.shardings, row, row, row),
      out_shardings=(self.shardings.control, row, row, whole),
    )

  @cached_property
  def sampler(self) -> Callable:
    """(state, prompts) → samples of the policy as it is."""
    r = self.config.rollout
    policy = make_sampler(
      self.lm,
      max_tokens=r.max_tokens,
      temperature=r.temperature,
      # What changes the distribution has no place where its ratio is trained.
      top_k=0,
      top_p=1.0,
      min_p=0.0,
      stop=stop_ids(self.tokenizer, self.template),
      slots=slots(self.config, self.place),
      multiple=self.place.row_multiple,
    )
    key = jax.random.key(self.config.seed)

    def sampler(state, prompts):
      return policy(merge(state.params, state.frozen), prompts, key)

    row = self.place.rows
    return jax.jit(
      sampler, in_shardings=(self.shardings, row), out_shardings=row
    )

  def stats(self, params, batch, needs):
    """Statistics as they were when tokens were sampled."""
    temperature = self.config.rollout.temperature
    return self.lm.stats(params, batch, needs, temperature=temperature)

  def refer(self, state, batch: Batch) -> Batch:
    """The batch with "reference/logp"."""
    ask = make_annotator(self.stats, ("logp",))
    found = ask(merge(state.reference, state.frozen), batch)
    return with_fields(batch, found, "reference")

  def put(self, tree):
    """Host arrays of rows onto the mesh."""
    size = jax.tree.leaves(tree)[0].shape[0]

    def take(chosen):
      return jax.tree.map(lambda x: x[chosen], tree)

    return sharding.put_rows(take, size, self.place.rows)

  def mixer(self, other: Loader | None) -> Callable[[Batch, int], Batch]:
    """(batch, step) → the batch with the step's rows of other data."""
    if other is None:
      return lambda batch, step: batch
    join = jax.jit(joined, out_shardings=self.place.rows)

    def mix(batch, step):
      take = partial(other.batch, step)
      return join(batch, sharding.put_rows(take, other.size, self.place.rows))

    return mix
