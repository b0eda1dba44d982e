"""The rows of a config as people see them: their text, and their numbers.

Rows are made as for training, without the model's weights.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich.table import Table
from rich.text import Text

from alignjax.build.models import tokenizer as tokenizer_of
from alignjax.build.rows import rows
from alignjax.data.loader import Loader, shape_of, trained
from alignjax.data.pack import packed, packed_shape
from alignjax.data.templates import load_template
from alignjax.types import Row

COLOUR = "bold green"
QUANTILES = {"min": 0.0, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class Summary(NamedTuple):
  """Numbers of a source; lengths and counts in tokens.

  lengths: of `QUANTILES`, each the length of a row that is there.
  """

  rows: int
  tokens: int
  trained: int
  lengths: tuple[int, ...]


def preview(config: ConfigDict, n: int, *, colours: bool) -> Iterator[Text]:
  """The rows a run trains on first, in its order; packed if it packs them.

  colours: trained text is coloured; otherwise it stands in ⟦ ⟧.

  Raises ValueError where there is no row to show.
  """
  if n < 1:
    raise ValueError(f"--n = {n}; it must be at least 1.")
  tokenizer = tokenizer_of(config)
  train, held, lines = _read(config, tokenizer)
  shape = shape_of(train + held)
  if config.data.packing:
    shape = packed_shape(train, shape, config.data.packing)
    train = packed(train, *shape)
  n = min(n, len(train))
  loader = Loader(train, batch=n, seed=config.seed, shape=shape)
  yield Text(lines[0], style="dim")
  for k, i in enumerate(loader.indices(0)):
    yield Text("")
    yield show(train[i], tokenizer, f"row {k + 1}", colours=colours)


def show(row: Row, tokenizer: Any, title: str, *, colours: bool) -> Text:
  """A row's origin, counts and text; every document of several is headed."""
  n, t = len(row.tokens), len(trained(row))
  text = Text(f"{title}: {row.origin}\n{n} tokens, {t} trained\n", style="")
  text.stylize("bold")
  documents = row.documents
  if documents is None:
    documents = np.ones(n, np.int32)
  last = int(documents.max(initial=0))
  for d in range(1, last + 1):
    own = documents == d
    if last > 1:
      before = "" if d == 1 else "\n"
      text.append(f"{before}── document {d} of {last} ──\n", "dim")
    for piece, on in spans(row.tokens[own], row.completions[own], tokenizer):
      if on and not colours:
        piece = f"⟦{piece}⟧"
      text.append(piece, COLOUR if on else "")
  return text


def spans(
  tokens: np.ndarray, completions: np.ndarray, tokenizer: Any
) -> list[tuple[str, bool]]:
  """(text, trained) of a document's stretches, control tokens spelt out.

  A stretch's text is what it adds to the text before it: decoded alone it
  would lose its first space with some tokenizers.
  """
  on = completions > 0
  borders = [*np.flatnonzero(np.diff(on)) + 1, len(tokens)]
  found, start, before = [], 0, ""
  for end in map(int, borders):
    text = tokenizer.decode(
      tokens[:end].tolist(),
      skip_special_tokens=False,
      clean_up_tokenization_spaces=False,
    )
    found.append((visible(text[len(before) :]), bool(on[start])))
    start, before = end, text
  return found


def visible(text: str) -> str:
  """Control characters escaped: a terminal obeys some of them."""
  return "".join(
    repr(c)[1:-1] if unicodedata.category(c) == "Cc" and c not in "\n\t" else c
    for c in text
  )


def stats(config: ConfigDict) -> Iterator[Table | Text]:
  """A table of training and held-out rows, and a line on each source.

  Raises ValueError where there is no row to train on.
  """
  t, packing = config.train, config.data.packing
  if t.batch < 1:
    raise ValueError(f"train.batch = {t.batch}; it must be at least 1.")
  train, held, lines = _read(config, tokenizer_of(config))
  sources = {"train": train} | ({"eval": held} if held else {})
  shape = shape_of(train + held)
  cells = {name: _cells(summary(r), shape[0]) for name, r in sources.items()}
  if packing:
    shape = packed_shape(train, shape, packing)
    sources = {name: packed(r, *shape) for name, r in sources.items()}
    for name, r in sources.items():
      cells[name]["packed rows"] = f"{len(r):,}"
      cells[name][f"fill, packed to {shape[0]}"] = _fill(summary(r), shape[0])
  # Training goes on into the next epoch within a batch, evaluation does not.
  batches = {"train": f"{len(sources['train']) / t.batch:,.1f}"}
  if held:
    batches["eval"] = f"{-(-len(sources['eval']) // t.batch):,}"
  table = Table("", box=None)
  for name in sources:
    table.add_column(name, justify="right")
    cells[name][f"batches of {t.batch} an epoch"] = batches[name]
  for key in cells["train"]:
    table.add_row(key, *(cells[name][key] for name in sources))
  yield table
  yield Text("")
  yield from map(Text, lines)


def summary(rows: Sequence[Row]) -> Summary:
  """Counts and lengths of rows, of which there must be one."""
  lengths = [len(row.tokens) for row in rows]
  quantiles = np.quantile(
    lengths, list(QUANTILES.values()), method="inverted_cdf"
  )
  return Summary(
    rows=len(rows),
    tokens=sum(lengths),
    trained=sum(len(trained(row)) for row in rows),
    lengths=tuple(int(q) for q in quantiles),
  )


def _cells(s: Summary, length: int) -> dict[str, str]:
  cells = {
    "rows": f"{s.rows:,}",
    "tokens": f"{s.tokens:,}",
    "trained tokens": f"{s.trained:,}",
    "share trained": f"{s.trained / s.tokens:.1%}",
  }
  cells |= {f"length, {q}": f"{n:,}" for q, n in zip(QUANTILES, s.lengths)}
  return cells | {f"fill, padded to {length}": _fill(s, length)}


def _fill(s: Summary, length: int) -> str:
  return f"{s.tokens / (s.rows * length):.1%}"


def _read(
  config: ConfigDict, tokenizer: Any
) -> tuple[list[Row], list[Row], list[str]]:
  """Training rows, held-out rows, and a line on each source."""
  d = config.data
  template = load_template(d.template or None, tokenizer)
  train, _, line = rows(d.train, config, tokenizer, template)
  held, lines = [], [f"train: {line}"]
  if d.eval.path:
    held, _, line = rows(d.eval, config, tokenizer, template)
    lines.append(f"eval: {line}")
  if not train:
    raise ValueError(
      f"No rows are left to train on: {lines[0]}.\n"
      "Check data.train.path, split and limit, or raise data.max_length."
    )
  return train, held, lines
