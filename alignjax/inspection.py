"""The rows of a config as people see them: their text, and their numbers.

Rows are made as for training, without the model's weights.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich import table as rich_table
from rich.text import Text

from alignjax.build import layouts, models
from alignjax.build.rows import laid_out
from alignjax.build.tables import Tables, tables
from alignjax.data.loader import Loader, Table, shape_of, trained
from alignjax.data.pack import Layout, fill
from alignjax.data.rows import Rows
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
  found, laid, tokenizer = _read(config)
  n = min(n, sum(len(rows) for rows in laid.train.values()))
  loader = Loader(
    laid.train,
    shares=laid.shares,
    batch=n,
    seed=config.seed,
    shape=laid.shape,
  )
  for line in found.report[: len(found.train)]:
    yield Text(line, style="dim")
  for k, (part, i) in enumerate(loader.indices(0)):
    title = f"row {k + 1}" + (f", {part}" if part else "")
    yield Text("")
    yield show(laid.train[part][i], tokenizer, title, colours=colours)


def show(row: Row, tokenizer: Any, title: str, *, colours: bool) -> Text:
  """A row's origin, counts, fields and text; each of several documents is
  headed, and tells its completion and what it goes on from."""
  n, t = len(row.tokens), len(trained(row))
  text = Text(f"{title}: {row.origin}\n{n} tokens, {t} trained\n", style="")
  for name, values in row.fields.items():
    if len(values) < n:  # of completions
      text.append(f"{name} {', '.join(f'{x:g}' for x in values)}\n")
  marks = np.maximum(row.completions, row.fields.get("prompt", 0))
  text.stylize("bold")
  documents = row.documents
  if documents is None:
    documents = np.ones(n, np.int32)
  last = int(documents.max(initial=0))
  for d in range(1, last + 1):
    own = documents == d
    if last > 1:
      before = "" if d == 1 else "\n"
      text.append(f"{before}── {_heading(row, own, d, last)} ──\n", "dim")
    for piece, on in spans(row.tokens[own], marks[own], tokenizer):
      if on and not colours:
        piece = f"⟦{piece}⟧"
      text.append(piece, COLOUR if on else "")
  return text


def _heading(row: Row, own: np.ndarray, d: int, last: int) -> str:
  """What is said above a document."""
  said = f"document {d} of {last}"
  if row.fields:
    ids = np.unique(row.completions[own])
    said += "".join(f", completion {i}" for i in ids if i)
  if row.parents is not None and row.parents[own].any():
    said += f", goes on from document {row.parents[own][0]}"
  return said


def spans(
  tokens: np.ndarray, marks: np.ndarray, tokenizer: Any
) -> list[tuple[str, bool]]:
  """(text, trained) of a document's stretches, control tokens spelt out.

  marks: above 0 for trained tokens.

  A stretch's text is what it adds to the text before it: decoded alone it
  would lose its first space with some tokenizers.
  """
  on = marks > 0
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


def stats(config: ConfigDict) -> Iterator[rich_table.Table | Text]:
  """A table of training and held-out rows, part by part, and a line on each.

  Raises ValueError where there is no row to train on.
  """
  t = config.train
  if t.batch < 1:
    raise ValueError(f"train.batch = {t.batch}; it must be at least 1.")
  found, laid, _ = _read(config)
  rows = {
    kind: {part: layouts.lying(x, config) for part, x in tables.items()}
    for kind, tables in (("train", found.train), ("eval", found.held))
  }
  every = [x for tables in rows.values() for x in tables.values()]
  alone = shape_of(every, parts=layouts.row_parts(config)).length
  columns = {}
  for kind, tokenised, lying in (
    ("train", found.train, laid.train),
    ("eval", found.held, laid.held),
  ):
    for part in tokenised:
      name = f"{kind}/{part}" if part else kind
      columns[name] = cells = _cells(rows[kind][part], alone)
      if tokenised[part].completions.any():
        cells |= _shared(tokenised[part], config)
      if config.data.packing:
        cells["packed rows"] = f"{len(lying[part]):,}"
        key = f"fill, packed to {laid.shape.length}"
        cells[key] = f"{fill(lying[part], laid.shape.length):.1%}"
      batches = len(lying[part]) / t.batch
      if kind == "train":
        # Training goes on into the next epoch within a batch, evaluation does
        # not; of a mixture a part has its share of every batch.
        batches = f"{batches / laid.shares[part]:,.1f}"
        if part:
          cells["share drawn"] = f"{found.shares[part]:.1%}"
      else:
        batches = f"{-(-len(lying[part]) // t.batch):,}"
      cells[f"batches of {t.batch} an epoch"] = batches
  table = rich_table.Table("", box=None)
  for name in columns:
    table.add_column(name, justify="right")
  for key in next(iter(columns.values())):
    table.add_row(key, *(cells.get(key, "") for cells in columns.values()))
  yield table
  yield Text("")
  yield from map(Text, found.report)


def summary(rows: Table) -> Summary:
  """Counts and lengths of rows."""
  lengths = [0] * len(QUANTILES)
  if len(rows):
    lengths = np.quantile(
      rows.lengths, list(QUANTILES.values()), method="inverted_cdf"
    )
  return Summary(
    rows=len(rows),
    tokens=int(rows.lengths.sum()),
    trained=int(rows.counts.sum()),
    lengths=tuple(map(int, lengths)),
  )


def _cells(rows: Table, length: int) -> dict[str, str]:
  """The cells of rows, one a row of `length` tokens."""
  s = summary(rows)
  cells = {
    "rows": f"{s.rows:,}",
    "tokens": f"{s.tokens:,}",
    "trained tokens": f"{s.trained:,}",
    "share trained": f"{s.trained / max(s.tokens, 1):.1%}",
  }
  cells |= {f"length, {q}": f"{n:,}" for q, n in zip(QUANTILES, s.lengths)}
  return cells | {f"fill, padded to {length}": f"{fill(rows, length):.1%}"}


def _shared(rows: Rows, config: ConfigDict) -> dict[str, str]:
  """What comes of writing a prompt once for all of its completions."""
  apart, shared = layouts.saving(rows, config)
  return {
    "tokens, a prompt for each answer": f"{apart:,}",
    "tokens, prompts shared": f"{shared:,}",
    "saved by sharing": f"{1 - shared / max(apart, 1):.1%}",
  }


def _read(config: ConfigDict) -> tuple[Tables, Layout, Any]:
  """Rows as they are trained on, with the checks of training; the tokenizer.

  A folder that holds a tokenizer alone is enough.
  """
  path = config.model.path
  folder = Path(path).expanduser()
  if path and folder.is_dir() and not (folder / "config.json").is_file():
    model, tokenizer = None, models.tokenizer(config)
  else:
    model, tokenizer = models.shape(config)
  found = tables(config, tokenizer)
  return found, laid_out(found, config, model), tokenizer
