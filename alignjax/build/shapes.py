"""Shapes of a config's batches, where no row has been read."""

from collections.abc import Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from alignjax.build.layouts import kind, row_parts, trains_prompts
from alignjax.build.reading import FIELD, HELD, is_read
from alignjax.build.rows import check_batch
from alignjax.data.loader import Shape, collate
from alignjax.sharding import Placement
from alignjax.totals import Objective
from alignjax.types import Batch, Row


def batch_shapes(
  config: ConfigDict,
  place: Placement,
  objectives: Mapping[str, Objective],
  prompt: int = 0,
) -> Batch:
  """A batch of the longest rows that a config lets in, as
  `jax.ShapeDtypeStruct`s.

  prompt: tokens of each conversation that are not trained. A packed row is full
    of conversations of `data.max_length` tokens.

  Raises ValueError for a prompt that leaves nothing to train.
  """
  check_batch(config, place)
  found = row_shape(config, objectives, prompt)
  none = Row(np.zeros(0, np.int32), np.zeros(0, np.int32), "")
  batch = collate([none] * config.train.batch, *found)
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)


def row_shape(
  config: ConfigDict, objectives: Mapping[str, Objective], prompt: int
) -> Shape:
  """Sizes of one row: `prompt` + answers, each of `data.max_length` tokens."""
  d, (of, layout, _) = config.data, kind(config)
  most = d.max_length
  if not 0 <= prompt < most:
    raise ValueError(
      f"--prompt={prompt}: data.max_length = {most} leaves nothing to train.\n"
      f"Give 0 to {most - 1}, or raise data.max_length."
    )
  sides = {"examples": 1, "judged": 1}.get(of, 2)
  answer = most - prompt
  shared = of != "examples" and layout == "shared"
  length = prompt + sides * answer if shared else sides * most
  trained = sides * answer + prompt * trains_prompts(config)
  times = 1
  if d.packing:
    times, length, alone = d.packing // length, d.packing, length
    if not times:
      raise ValueError(
        f"data.packing = {d.packing}; a row of data.max_length = {most} is "
        f"{alone} tokens.\nRaise data.packing, or lower data.max_length."
      )
  completions = 0 if of == "examples" else sides
  read = {name for name in HELD[of] if is_read(objectives, name)}
  fields = [(name, "completions") for name in sorted(read)]
  if is_read(objectives) and not config.reference.every:
    fields.append((FIELD, "tokens"))
  if trains_prompts(config):
    fields.append(("prompt", "tokens"))
  return Shape(
    length,
    trained * times,
    completions * times,
    shared,
    tuple(fields),
    row_parts(config),
  )
