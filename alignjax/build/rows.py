"""Data of a config: parts of a mixture, loader, held-out batches, prompts."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from alignjax import sharding
from alignjax.build import tokens
from alignjax.build.parts import given, parts
from alignjax.build.tokens import Progress, Reading, examples, read
from alignjax.data import mixture
from alignjax.data.bad import Record
from alignjax.data.loader import InOrder, Loader
from alignjax.data.pack import Layout, fill, layout
from alignjax.data.rows import Rows
from alignjax.data.templates import Template, load_template
from alignjax.models.config import ModelConfig


class Prompt(NamedTuple):
  """A conversation to answer, and a good answer where one is known."""

  messages: tuple[dict, ...]
  reference: str


class Tables(NamedTuple):
  """Tokenised rows of a config.

  train, held: name of a part → rows; the name is "" where there are no parts.
  shares: name → its part of the rows of `train` drawn.
  report: a line on each source.
  identity: name → digest of what the rows to train on are made from.
  """

  train: dict[str, Rows]
  held: dict[str, Rows]
  shares: dict[str, float]
  template: Template
  report: list[str]
  bad: list[Record]
  identity: dict[str, str]


class Data(NamedTuple):
  """What a run reads: `train[step]`, held-out batches, and a report.

  identity: a short text on each thing that decides which rows a step has; a
    run is continued only where all are the same.
  """

  train: Loader
  heldout: InOrder
  template: Template
  report: list[str]
  bad: list[Record]  # under data.on_bad_row = quarantine
  identity: dict[str, str]


def tables(
  config: ConfigDict,
  tokenizer: Any,
  *,
  cache: Path | None = None,
  progress: Progress | None = None,
) -> Tables:
  """Tokenised rows to train on and to hold out.

  cache: where data.cache does not say: the folder tokenised rows are kept in;
    None keeps them in memory.
  progress: called with the name of a source and its rows done so far.

  Raises ValueError where no rows are left to train on.
  """
  d = config.data
  template = load_template(d.template or None, tokenizer)
  if "://" in d.cache:
    raise ValueError(
      f"data.cache = {d.cache}; rows are read from a local disk.\n"
      "Give a local folder, or one that is mounted."
    )
  folder = Path(d.cache).expanduser() if d.cache else cache
  reading = Reading(config, tokenizer, template, folder, progress)
  specs = parts(d.train, "data.train", held=False)
  found = {
    name: read(spec, _full("data.train", name), reading)
    for name, spec in specs.items()
  }
  train = {name: source.made.rows for name, source in found.items()}
  for name, rows in train.items():
    if not len(rows):
      raise ValueError(
        f"No rows are left to train on: {found[name].line}.\n"
        "Check path, split and limit, or raise data.max_length."
      )
  shares = mixture.shares(
    {name: len(rows) for name, rows in train.items()},
    {name: spec.weight for name, spec in specs.items()},
    {name: spec.cap for name, spec in specs.items()},
  )
  identity = {
    _full("data.train", name): source.identity for name, source in found.items()
  }
  report = [
    _told("train", name, source.line, train[name])
    + (f", {shares[name]:.1%} of the rows drawn" if name else "")
    for name, source in found.items()
  ]
  bad = [record for source in found.values() for record in source.made.bad]
  held = {}
  if given(d.eval):
    for name, spec in parts(d.eval, "data.eval", held=True).items():
      source = read(spec, _full("data.eval", name), reading)
      held[name] = source.made.rows
      report.append(_told("eval", name, source.line, held[name]))
      bad += source.made.bad
  else:
    report.append("no held-out rows: data.eval.path is ''")
  return Tables(train, held, shares, template, report, bad, identity)


def _full(name: str, part: str) -> str:
  return f"{name}/{part}" if part else name


def _told(kind: str, name: str, line: str, rows: Rows) -> str:
  """A line of the report; that of a part says more."""
  if not name:
    return line
  return f"{kind}/{name}: {line}, {rows.lengths.sum():,} tokens"


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
  t, d = config.train, config.data
  for name in ("steps", "batch", "accumulate"):
    if t[name] < 1:
      raise ValueError(f"train.{name} = {t[name]}; it must be at least 1.")
  multiple = place.row_multiple * t.accumulate
  if t.batch % multiple:
    raise ValueError(
      f"train.batch = {t.batch} rows do not divide over mesh data·fsdp = "
      f"{place.row_multiple} and train.accumulate = {t.accumulate}.\n"
      f"Use a multiple of {multiple}."
    )
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
  length, predicted = laid.shape
  return Data(
    train=Loader(
      laid.train,
      shares=laid.shares,
      batch=t.batch,
      seed=config.seed,
      shape=laid.shape,
    ),
    heldout=InOrder(laid.held, batch=t.batch, shape=laid.shape),
    template=found.template,
    report=[*report, f"rows are {length} tokens, {predicted} trained"],
    bad=found.bad,
    identity=identity,
  )


def laid_out(
  found: Tables, config: ConfigDict, model: ModelConfig | None
) -> Layout:
  """Rows as they lie in batches, checked against what the model takes.

  model: None where it is not known; then nothing is checked.
  """
  laid = layout(found.train, found.held, found.shares, config.data.packing)
  if model is not None:
    check_vocabulary([*found.train.values(), *found.held.values()], model.vocab)
    if laid.shape[0] > model.max_length:
      raise ValueError(
        f"Rows are {laid.shape[0]} tokens and the model takes "
        f"{model.max_length}.\nSet data.max_length={model.max_length} or less."
      )
  return laid


def _packs(laid: Layout, packing: int) -> list[str]:
  if not packing:
    return []
  return [
    (f"train/{name}: " if name else "")
    + f"packed into {len(rows)} rows, {fill(rows, laid.shape[0]):.0%} full"
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
  found = [
    examples(spec, lambda bad: None)
    for spec in parts(d.eval, "data.eval", held=True).values()
  ]
  chats = (
    example.messages
    for turn in itertools.zip_longest(*found)
    for example in turn
    if example is not None and example.messages and reading.keeps(example)
  )
  return [
    Prompt(m[:-1], m[-1]["content"]) for m in itertools.islice(chats, s.count)
  ]
