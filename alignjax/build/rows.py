"""Data of a config: rows, loader, held-out batches, fixed prompts."""

from typing import NamedTuple

from ml_collections import ConfigDict

from alignjax import sharding
from alignjax.build.models import Model
from alignjax.data import chat, formats, sources, suite, templates
from alignjax.data.bad import BadRow, BadRows, Record
from alignjax.data.loader import Loader, in_order, shape_of
from alignjax.data.pack import packed, packed_shape
from alignjax.types import Batch, Row


class Prompt(NamedTuple):
  """A conversation to answer, and a good answer where one is known."""

  messages: tuple[dict, ...]
  reference: str


class Data(NamedTuple):
  """What a run reads: `train[step]`, held-out batches, and a report."""

  train: Loader
  heldout: list[Batch]
  examples: list
  template: object
  report: list[str]
  bad: list[Record]  # under data.on_bad_row = quarantine


def rows(
  spec: ConfigDict,
  config: ConfigDict,
  tokenizer,
  template,
  quarantine: list[Record] | None = None,
) -> tuple[list[Row], list, str]:
  """Tokenised rows of a source, their examples, and a line on what was read.

  quarantine: where given, bad rows are added to it, if the config keeps them.

  Raises ValueError (BadRow, under data.on_bad_row = error) for bad rows as the
  config says.
  """
  d = config.data
  bad = BadRows(d.on_bad_row, d.bad_rows_limit)
  limit = spec.limit or None
  if not spec.path:
    raise ValueError(
      "data.train.path is empty; give a file, a folder, tfds:NAME or suite."
    )
  if spec.path == "suite":
    raw = suite.rows(spec.split, n=limit)
    raw = ((row, f"suite[{row['id']}]") for row in raw)
  else:
    raw = sources.read(spec.path, split=spec.split, limit=limit, on_bad=bad)
  left, dropped = [], 0
  for example in formats.examples(raw, spec.format or None, on_bad=bad):
    try:
      row = chat.encode(example, tokenizer, template, train_on=d.train_on)
    except BadRow as e:
      bad(e)
      continue
    kept = chat.fit(row, d.max_length, d.too_long)
    left += [(piece, example) for piece in kept]
    if not kept and d.too_long == "truncate":
      reason = f"nothing to train on is left of it at {d.max_length} tokens"
      reason += "\nraise data.max_length, or remove the row"
      raw = example.text or str(list(example.messages))
      bad(BadRow(example.origin, "nothing left", reason, raw))
    elif not kept:
      dropped += 1
  bad.check(len(left) + dropped)
  line = f"{spec.path} ({spec.split}): {len(left)} rows"
  if dropped:
    line += f", {dropped} dropped: longer than {d.max_length} tokens"
  if bad.counts:
    line += f", {bad.counts.total()} bad: {bad.kinds()}"
  if quarantine is not None:
    quarantine.extend(bad.kept)
  return [r for r, _ in left], [e for _, e in left], line


def data(config: ConfigDict, model: Model, place: sharding.Placement) -> Data:
  """Loader and held-out batches, of one shape."""
  tokenizer, limit = model.tokenizer, model.lm.config.max_length
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
  template = templates.load_template(d.template or None, tokenizer)
  bad: list[Record] = []
  train, _, line = rows(d.train, config, tokenizer, template, bad)
  held, examples, held_line = [], [], "no held-out rows: data.eval.path is ''"
  if d.eval.path:
    held, examples, held_line = rows(d.eval, config, tokenizer, template, bad)
  if not train:
    raise ValueError(
      f"No rows are left to train on: {line}.\n"
      "Check data.train.path, split and limit, or raise data.max_length."
    )
  check_vocabulary(train + held, model.lm.config.vocab)
  report = [line, held_line]
  shape = shape_of(train + held)
  if d.packing:
    shape = packed_shape(train, shape, d.packing)
    train, held = packed(train, *shape), packed(held, *shape)
    full = sum(len(row.tokens) for row in train) / (len(train) * shape[0])
    report.append(f"packed into {len(train)} rows, {full:.0%} full")
  if shape[0] > limit:
    raise ValueError(
      f"Rows are {shape[0]} tokens and the model takes {limit}.\n"
      f"Set data.max_length={limit} or less."
    )
  return Data(
    train=Loader(train, batch=t.batch, seed=config.seed, shape=shape),
    heldout=in_order(held, batch=t.batch, shape=shape),
    examples=examples,
    template=template,
    report=[*report, f"rows are {shape[0]} tokens, {shape[1]} trained"],
    bad=bad,
  )


def check_vocabulary(rows: list[Row], vocab: int) -> None:
  """Raises where a row holds a token the model has no embedding for."""
  for row in rows:
    if row.tokens.max() >= vocab:
      raise ValueError(
        f"{row.origin}: token {row.tokens.max()} is outside the model's "
        f"vocabulary of {vocab}.\nThe tokenizer is not this model's; use the "
        "one it was made with."
      )


def prompts(config: ConfigDict, examples: list) -> list[Prompt]:
  """The fixed prompts of a run: its own, or the first held-out ones."""
  s = config.sample
  if s.prompts:
    turns = [{"role": "user", "content": text} for text in s.prompts]
    return [Prompt((turn,), "") for turn in turns]
  chats = [e.messages for e in examples if e.messages]
  return [Prompt(m[:-1], m[-1]["content"]) for m in chats[: s.count]]
