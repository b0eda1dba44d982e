"""What a config's frozen weights say of rows.

Reference log-probabilities are made once and kept in a file; a reference that
moves, and a teacher, are asked batch by batch.

A file says what it was made from; where that differs it is refused, and never
made anew in silence: what it holds is what a run was trained on.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from alignjax import pretrained, sharding
from alignjax.annotate import (
  Ragged,
  annotate,
  apart,
  make_annotator,
  with_fields,
)
from alignjax.build import tokens
from alignjax.build.layouts import kind, lying, row_parts, trains_prompts
from alignjax.build.reading import FIELD, is_read
from alignjax.build.record import checksum
from alignjax.build.rows import Data, annotated, check_vocabulary, laid_out
from alignjax.checkpoint.hosts import Meeting, draw_name
from alignjax.data.loader import InOrder
from alignjax.models.lm import LM
from alignjax.optim import merge
from alignjax.step import Annotate, Moving, as_it_is
from alignjax.totals import Objective

VERSION = 1  # raised whenever the same key would give other numbers


def moving(
  config: ConfigDict, objectives: Mapping[str, Objective]
) -> Moving | None:
  """How the reference moves; None where it stays.

  Raises ValueError for what has no meaning, or no effect.
  """
  r = config.reference
  if r.every < 0 or not 0 < r.alpha <= 1:
    raise ValueError(
      f"reference.every = {r.every}, reference.alpha = {r.alpha}; every is a "
      "number of steps\n(0: the reference stays), alpha in (0, 1] what the new "
      "weights count."
    )
  if not r.every:
    return None
  if r.path:
    raise ValueError(
      f"reference.path = {r.path!r} with reference.every = {r.every}: a "
      "reference that moves\nstarts as the model. Leave out one of them."
    )
  if not is_read(objectives):
    raise ValueError(
      f"reference.every = {r.every}, and no loss reads the reference.\n"
      "Set reference.every=0."
    )
  if config.lora.rank and r.alpha != 1:
    raise ValueError(
      f"reference.alpha = {r.alpha} with adapters: the product of mean factors "
      "is not the\nmean of products A·B. Set reference.alpha=1, or lora.rank=0."
    )
  return Moving(int(r.every), float(r.alpha))


def per_batch(lm: LM, moves: bool) -> Annotate:
  """What is asked batch by batch: (state, batch) → the batch with fields.

  "reference/logp" [B, T] of a reference that moves, "teacher/hidden" [B, T, E]
  of a teacher.
  """
  found = []
  if moves:
    refer = make_annotator(lm.stats, ("logp",))
    found.append(
      ("reference", refer, lambda state: merge(state.reference, state.frozen))
    )
  if lm.teacher is not None:
    teach = make_annotator(lm.teacher.lm.stats, ("hidden",))
    found.append(("teacher", teach, lambda state: state.frozen["teacher"]))

  def annotated(state, batch):
    for source, ask, weights in found:
      batch = with_fields(batch, ask(weights(state), batch), source)
    return batch

  return annotated if found else as_it_is


def with_reference(
  found: Data,
  config: ConfigDict,
  place: sharding.Placement,
  lm: LM,
  params: dict,
  folder: Path,
) -> Data:
  """The same batches with the field "reference/logp" [B, T], and the
  reference's weights in their identity.

  lm, params: what a run starts from, which is the reference; without its
    adapters, where it has some. Another one is `config.reference.path`.
  folder: of the files, one a part: `train.arrow`, `held-NAME.arrow`.

  Raises ValueError, naming file and cause, where one was made from something
  else.
  """
  lm, params = _reference(found, config, place, lm, params)
  lm = dataclasses.replace(lm, parts=row_parts(config))
  laid = laid_out(found.tables, config, None)
  run = jax.jit(
    make_annotator(lm.stats, ("logp",)),
    out_shardings=place.replicated,
  )
  common = _key(found, config, lm, params)
  columns = {"train": {}, "held": {}}
  every = [(of, name) for of in columns for name in getattr(laid, of)]
  for of, name in every:
    rows, table = (getattr(x, of)[name] for x in (found.tables, laid))
    counts = lying(rows, config).counts
    batches = InOrder({name: table}, batch=config.train.batch, shape=laid.shape)

    def make(batches=batches, table=table, counts=counts) -> Ragged:
      def one(step):
        put = partial(batches.batch, step)
        return run(params, sharding.put_rows(put, batches.size, place.rows))

      values = annotate(one, batches)["logp"]
      return apart(values, table, counts) if config.data.packing else values

    file = Path(folder) / ("-".join(filter(None, (of, name))) + ".arrow")
    values = _kept(file, common | {"rows": rows.digest()}, counts, make)
    columns[of][name] = {FIELD: values}
  identity = found.identity | {"reference": common["weights"]}
  return annotated(found._replace(identity=identity), config, columns)


def _reference(found, config, place, lm, params) -> tuple[LM, dict]:
  """The model that is referred to, and its weights."""
  r = config.reference
  if not r.path:
    return lm, {k: x for k, x in params.items() if k != "lora"}
  other, params, tokenizer = pretrained.load(
    r.path, revision=r.revision or None, place=place.param
  )
  same = tokenizer is None or (
    tokens.of_tokenizer(tokenizer)[:12] == found.identity["tokenizer"]
  )
  if not same:
    raise ValueError(
      f"reference.path = {r.path}: its tokenizer is another than the model's, "
      "so it cannot read the same rows.\nUse a model of the same tokenizer."
    )
  tables = [*found.tables.train.values(), *found.tables.held.values()]
  check_vocabulary(tables, other.config.vocab)
  options = {
    k: getattr(lm, k)
    for k in ("dtype", "remat", "chunk", "constrain", "attend")
  }
  return dataclasses.replace(other, **options), params


def _key(found: Data, config: ConfigDict, lm: LM, params: dict) -> dict:
  """What the numbers of any rows depend on; the first that differs is told."""
  model = repr(dataclasses.asdict(lm.config)).encode()
  rows, layout, _ = kind(config)
  key = {
    "version": VERSION,
    "model": hashlib.sha256(model).hexdigest()[:12],
    "weights": checksum(params),
    "dtype": lm.dtype,
    "tokenizer": found.identity["tokenizer"],
    "layout": layout + "+prompts" * trains_prompts(config),
    "needs": ["logp"],
  }
  if rows == "judged+kl":  # which completion is set under which prompt
    key |= {"seed": config.seed, "max_length": config.data.max_length}
  return key


def _kept(file: Path, key: dict, counts: np.ndarray, make) -> Ragged:
  """What a file holds, which is made where it is not there.

  Host 0 reads and writes; the others get its numbers.
  """
  meeting, held = Meeting(draw_name()), []

  def look() -> bool:
    if file.is_file():
      held.append(_read(file, key))
    return bool(held)

  if not meeting.tell(look):
    found = make()
    meeting.tell(lambda: _write(file, key, found))
    return found
  values = held[0] if held else np.zeros(int(counts.sum()), np.float32)
  if jax.process_count() > 1:
    values = np.asarray(multihost_utils.broadcast_one_to_all(values))
  return Ragged(values, counts)


def _read(file: Path, key: dict) -> np.ndarray:
  """The numbers of a file that was made from `key`."""
  remedy = "\ndelete the file, so that it is made anew, or use another workdir"
  try:
    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    said = json.loads(table.schema.metadata[b"made_from"])
    values = table.column(FIELD).combine_chunks().to_numpy()
  except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{file} cannot be read: {error}{remedy}") from None
  for name, value in key.items():
    if said.get(name) != value:
      raise ValueError(
        f"stale {file}: {FIELD} was made with {name} = {said.get(name)}; "
        f"{value} is wanted{remedy}"
      )
  if hashlib.sha256(values.tobytes()).hexdigest() != said["sha256"]:
    raise ValueError(f"{file} is not what was written{remedy}")
  return values


def _write(file: Path, key: dict, found: Ragged) -> None:
  """Writes a file whole or not at all."""
  file.parent.mkdir(parents=True, exist_ok=True)
  values = np.ascontiguousarray(found.values, np.float32)
  sha = hashlib.sha256(values.tobytes()).hexdigest()
  schema = pa.schema(
    [(FIELD, pa.float32())],
    metadata={"made_from": json.dumps(key | {"sha256": sha})},
  )
  hidden = file.with_name(f".{file.name}.tmp-{os.getpid()}")
  try:
    with hidden.open("wb") as disk:
      with pa.ipc.new_file(disk, schema) as sink:
        sink.write(pa.record_batch([pa.array(values)], schema=schema))
      disk.flush()
      os.fsync(disk.fileno())
    hidden.replace(file)
  finally:
    hidden.unlink(missing_ok=True)
