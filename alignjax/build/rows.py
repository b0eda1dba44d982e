"""Batches of a config: loader, held-out batches, prompts."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from alignjax import sharding
from alignjax.build import tokens
from alignjax.build.layouts import kind, lying, row_parts
from alignjax.build.parts import given, parts
from alignjax.build.tables import Tables, tables
from alignjax.build.tokens import Progress, Reading, items
from alignjax.data.bad import Record
from alignjax.data.layouts import Annotated
from alignjax.data.loader import InOrder, Loader
from alignjax.data.pack import Layout, fill, layout
from alignjax.data.preferences import Judged
from alignjax.data.rows import Rows
from alignjax.data.templates import Template
from alignjax.data.tokenise import Item
from alignjax.models.config import ModelConfig
from alignjax.types import Example

Columns = Mapping[str, Mapping[str, Mapping[str, Sequence[np.ndarray]]]]


class Prompt(NamedTuple):
  """A conversation to answer, and a good answer where one is known."""

  messages: tuple[dict, ...]
  reference: str


class Data(NamedTuple):
  """What a run reads: `train[step]`, held-out batches, and a report.

  identity: a short text on each thing that decides which rows a step has; a
    run is continued only where all are the same.
  tables: the rows one by one.
  """

  train: Loader
  heldout: InOrder
  template: Template
  report: list[str]
  bad: list[Record]  # under data.on_bad_row = quarantine
  identity: dict[str, str]
  tables: Tables


def data(
  config: ConfigDict,
  tokenizer: Any,
  model: ModelConfig,
  place: sharding.Placement,
  *,
  cache: Path | None = None,
  progress: Progress | None = None,
) -> Data:
  """Loader and held-out batches, of one shape.

  model: what it takes, so that data can be read before its weights.
  cache, progress: as in `tables`.
  """
  d = config.data
  check_batch(config, place)
  found = tables(config, tokenizer, cache=cache, progress=progress)
  laid = laid_out(found, config, model)
  report = [*found.report, *_packs(laid, d.packing)]
  identity = {
    **found.identity,
    "tokenizer": tokens.of_tokenizer(tokenizer)[:12],
    "template": tokens.of_template(found.template)[:12],
    "data.packing": str(d.packing),
  }
  if len(found.shares) > 1:
    identity |= {
      f"data.share/{name}": f"{share:.6f}"
      for name, share in found.shares.items()
    }
  length, predicted = laid.shape[:2]
  return Data(
    **_batches(laid, config),
    template=found.template,
    report=[*report, f"rows are {length} tokens, {predicted} trained"],
    bad=found.bad,
    identity=identity,
    tables=found,
  )


def check_batch(
  config: ConfigDict, place: sharding.Placement, more: int = 0
) -> None:
  """Raises ValueError where the rows of a step do not divide.

  more: rows of other data beside them (`rollout.mix`).
  """
  t = config.train
  for name in ("steps", "batch", "accumulate"):
    if t[name] < 1:
      raise ValueError(f"train.{name} = {t[name]}; it must be at least 1.")
  multiple = place.row_multiple * t.accumulate
  if (t.batch + more) % multiple or t.batch % place.row_multiple:
    beside = f" and rollout.mix.batch = {more}" * bool(more)
    raise ValueError(
      f"train.batch = {t.batch}{beside} rows do not divide over mesh "
      f"data·fsdp = {place.row_multiple} and train.accumulate = "
      f"{t.accumulate}.\nUse a multiple of {multiple}."
    )


def annotated(found: Data, config: ConfigDict, columns: Columns) -> Data:
  """The same batches, with numbers of their trained tokens as fields.

  columns: "train" and "held" → name of a part → name of a field → for each row
    float32 [trained tokens].
  """
  laid = laid_out(found.tables, config, None, columns)
  return found._replace(**_batches(laid, config))


def _batches(laid: Layout, config: ConfigDict) -> dict[str, Loader | InOrder]:
  size = config.train.batch
  train = Loader(
    laid.train,
    shares=laid.shares,
    batch=size,
    seed=config.seed,
    shape=laid.shape,
  )
  return {
    "train": train,
    "heldout": InOrder(laid.held, batch=size, shape=laid.shape),
  }


def laid_out(
  found: Tables,
  config: ConfigDict,
  model: ModelConfig | None,
  columns: Columns | None = None,
) -> Layout:
  """Rows as they lie in batches, checked against what the model takes.

  model: None where it is not known; then nothing is checked. columns: as in
    `annotated`.
  """
  train, held = (
    {name: lying(rows, config) for name, rows in tables.items()}
    for tables in (found.train, found.held)
  )
  if columns is not None:
    train = {k: Annotated(x, columns["train"][k]) for k, x in train.items()}
    held = {k: Annotated(x, columns["held"][k]) for k, x in held.items()}
  laid = layout(
    train, held, found.shares, config.data.packing, row_parts(config)
  )
  if model is not None:
    check_vocabulary([*found.train.values(), *found.held.values()], model.vocab)
    longest = laid.shape.length
    if kind(config).rows != "examples":
      several = [*laid.train.values(), *laid.held.values()]
      longest = max(int(rows.reach.max(initial=0)) for rows in several)
    if longest > model.max_length:
      raise ValueError(
        f"Rows are {longest} tokens and the model takes "
        f"{model.max_length}.\nSet data.max_length={model.max_length} or less."
      )
    turned = [r.kind for r in (model.rope, model.local_rope) if r is not None]
    if laid.shape.parents and "dynamic" in turned:
      raise ValueError(
        "data.layout = 'shared': this model's rotary embedding turns a prompt "
        "by the\nlength of what follows it, so two answers cannot share it.\n"
        "Set data.layout=apart."
      )
  return laid


def _packs(laid: Layout, packing: int) -> list[str]:
  if not packing:
    return []
  return [
    (f"train/{name}: " if name else "")
    + f"packed into {len(rows)} rows, {fill(rows, laid.shape.length):.0%} full"
    for name, rows in laid.train.items()
  ]


def check_vocabulary(tables: Sequence[Rows], vocab: int) -> None:
  """Raises where a row holds a token the model has no embedding for."""
  for rows in tables:
    if not len(rows) or rows.largest.max() < vocab:
      continue
    first = int(np.argmax(rows.largest >= vocab))
    raise ValueError(
      f"{rows.origin(first)}: token {rows.largest[first]} is outside the "
      f"model's vocabulary of {vocab}.\nThe tokenizer is not this model's; use "
      "the one it was made with."
    )


def prompts(
  config: ConfigDict, tokenizer: Any, template: Template
) -> list[Prompt]:
  """The fixed prompts of a run: its own, or the first held-out ones.

  They are read from the sources of data.eval, of every part in turn; rows that
  are bad or too long are passed over, as they are in the held-out batches.
  """
  s, d = config.sample, config.data
  if s.prompts:
    turns = [{"role": "user", "content": text} for text in s.prompts]
    return [Prompt((turn,), "") for turn in turns]
  if not s.count or not given(d.eval):
    return []
  reading = Reading(config, tokenizer, template, None, None)
  rules = reading.rules
  found = [
    items(spec, rules, lambda bad: None)
    for spec in parts(d.eval, "data.eval", held=True).values()
  ]
  chats = (
    item
    for turn in itertools.zip_longest(*found)
    for item in turn
    if item is not None and answered(item) and reading.keeps(item)
  )
  return [Prompt(*answered(i)) for i in itertools.islice(chats, s.count)]


def answered(item: Item) -> tuple | None:
  """(turns, answer): the last one, or the first one of a pair; None: a text.

  The answer is None where the user has the last word.
  """
  if isinstance(item, Example):
    *turns, last = item.messages or (None,)
    if last is None:
      return None
    if last["role"] == "user":
      return item.messages, None
    return tuple(turns), last["content"]
  judged = isinstance(item, Judged)
  side = item.completion if judged else item.sides[0]
  return item.prompt, side[0]["content"]
