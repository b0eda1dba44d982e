"""Tokenised rows of a config, of every part of a mixture."""

from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from alignjax.build.parts import given, parts
from alignjax.build.tokens import Progress, Reading, read
from alignjax.data import mixture
from alignjax.data.bad import Record
from alignjax.data.rows import Rows
from alignjax.data.templates import Template, load_template


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
