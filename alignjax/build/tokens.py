"""Tokenised rows of a config's sources: read once, kept in a cache, the same on
every host."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pyarrow as pa
from ml_collections import ConfigDict

from alignjax.build.layouts import kind
from alignjax.checkpoint.hosts import Meeting, draw_name
from alignjax.data import cache, formats, preferences, sources, suite
from alignjax.data.bad import BadRow, BadRows
from alignjax.data.cache import Made
from alignjax.data.rows import SCHEMA, Rows
from alignjax.data.templates import Template
from alignjax.data.tokenise import Item, Rules, encode, tokenise

Progress = Callable[[str, int], None]  # (name of a source, rows done so far)
BEAT_S = 60.0  # within which a host at work shows that it is


class Source(NamedTuple):
  """A source's rows, a line on what was read, and what made them.

  identity: a digest of content and limits; where it lies does not count.
  """

  made: Made
  line: str
  identity: str


class Reading(NamedTuple):
  """What all sources of a config are read with."""

  config: ConfigDict
  tokenizer: Any
  template: Template
  folder: Path | None  # of the cache; None keeps rows in memory
  progress: Progress | None

  @property
  def rules(self) -> Rules:
    """How the config turns rows into tokens."""
    d = self.config.data
    rows, _, ranked = kind(self.config)
    return Rules(d.train_on, d.max_length, d.too_long, rows, ranked)

  def keeps(self, item: Item) -> bool:
    """Whether an item is neither bad nor too long."""
    chunk = encode([item], self.tokenizer, self.template, self.rules)
    return chunk.rows.num_rows > 0


def read(spec: ConfigDict, name: str, reading: Reading) -> Source:
  """The tokenised rows of one source, `name` in the config.

  Raises ValueError for bad rows as the config says, and for a stale cache.
  """
  d = reading.config.data
  if not spec.path and not spec.reader:
    raise ValueError(
      f"{name}.path is empty; give a file, a folder, tfds:NAME or suite."
    )
  bad = BadRows(d.on_bad_row, d.bad_rows_limit)  # wrong ones are refused now

  made, made_from = _on_every_host(spec, name, reading)
  counts = made.counts
  bad.counts.update(counts["bad"])
  bad.first = counts["first"]
  bad.check(counts["read"] - bad.counts.total())
  same = {
    "content": [file[1:] for file in made_from["content"]],
    "source": made_from["source"] | {"path": ""},
    "limits": made_from["limits"],
  }
  return Source(made, _line(spec, made, bad, d), cache.digest(same)[:12])


def describe(spec: ConfigDict, reading: Reading) -> dict[str, Any]:
  """What the rows of a source are made from, as plain values.

  All of its files are read, to be hashed.
  """
  keys = ("path", "split", "limit", "format", "reader")
  if spec.path == "suite" and not spec.reader:
    rows = suite.rows(spec.split, n=spec.limit or None)
    content = [["suite", len(rows), cache.digest(rows)]]
  else:
    found = sources.files(
      spec.path, split=spec.split, reader=spec.reader or None
    )
    content = cache.fingerprint(found)
  return {
    "version": cache.VERSION,
    "source": {key: spec[key] for key in keys},
    "tokenizer": of_tokenizer(reading.tokenizer),
    "template": of_template(reading.template),
    "limits": reading.rules._asdict(),
    "on_bad_row": reading.config.data.on_bad_row,
    "content": content,
  }


def of_tokenizer(tokenizer: Any) -> str:
  """A digest of what a tokenizer does."""
  return cache.digest(
    [tokenizer.backend_tokenizer.to_str(), tokenizer.special_tokens_map]
  )


def of_template(template: Template) -> str:
  """A digest of what a template writes."""
  return cache.digest([template.source, template.bos])


def _line(spec: ConfigDict, made: Made, bad: BadRows, d: ConfigDict) -> str:
  counts = made.counts
  line = f"{spec.path or spec.reader} ({spec.split}): {counts['rows']} rows"
  if counts["dropped"]:
    line += f", {counts['dropped']} dropped: longer than {d.max_length} tokens"
  if counts["cut"]:
    how = "split" if d.too_long == "split" else "truncated"
    line += f", {counts['cut']} {how}: longer than {d.max_length} tokens"
  if bad.counts:
    line += f", {bad.counts.total()} bad: {bad.kinds()}"
  return line


def items(
  spec: ConfigDict, rules: Rules, on_bad: Callable[[BadRow], None]
) -> Iterator[Item]:
  """What the rows of a source say, from its files; of the kind `rules.rows`."""
  limit = spec.limit or None
  if spec.path == "suite" and not spec.reader:
    as_is = rules.rows in ("examples", "questions")
    raw = (
      (row if as_is else suite.preference(row), f"suite[{row['id']}]")
      for row in suite.rows(spec.split, n=limit)
    )
  else:
    raw = sources.read(
      spec.path,
      split=spec.split,
      limit=limit,
      on_bad=on_bad,
      reader=spec.reader or None,
    )
  form = spec.format or None
  if rules.rows in ("examples", "questions"):
    asked = rules.rows == "questions"
    return formats.examples(raw, form, on_bad=on_bad, questions=asked)
  found = preferences.preferences(
    raw, format=form, pairs=rules.ranked, on_bad=on_bad
  )
  if rules.rows == "pairs":
    return preferences.paired(found, on_bad)
  return preferences.judged(found, split=True, on_bad=on_bad)


def _with_bad(spec: ConfigDict, rules: Rules) -> Iterator[Item | BadRow]:
  """Items and bad rows, in the order they stand in."""
  bad: list[BadRow] = []
  for item in items(spec, rules, bad.append):
    yield from bad
    bad.clear()
    yield item
  yield from bad


def _batches(
  spec: ConfigDict, name: str, reading: Reading, counts: dict, bad: BadRows
) -> Iterator[pa.RecordBatch]:
  """Tokenised rows; what is read is added to `counts` and `bad`."""
  counts |= {"read": 0, "rows": 0, "dropped": 0, "cut": 0}
  chunks = tokenise(
    _with_bad(spec, reading.rules),
    reading.tokenizer,
    reading.template,
    reading.rules,
    workers=reading.config.data.workers,
  )
  with contextlib.closing(chunks):
    for chunk in chunks:
      for record in chunk.bad:
        bad(BadRow(*record))
      counts["read"] += chunk.read
      counts["rows"] += chunk.rows.num_rows
      counts["dropped"] += chunk.dropped
      counts["cut"] += chunk.cut
      if reading.progress is not None:
        reading.progress(name, counts["read"])
      yield chunk.rows
  counts |= {"bad": dict(bad.counts), "first": bad.first}


def _in_memory(spec: ConfigDict, name: str, reading: Reading) -> Made:
  d, counts = reading.config.data, {}
  bad = BadRows(d.on_bad_row, d.bad_rows_limit)
  batches = list(_batches(spec, name, reading, counts, bad))
  table = pa.Table.from_batches(batches, SCHEMA)
  return Made(Rows(table), counts, bad.kept, "")


def _kept(
  made_from: Mapping[str, Any], spec: ConfigDict, name: str, reading: Reading
) -> Made:
  """The rows of an entry of the cache, which is made where it is not there."""
  entry = cache.place(Path(reading.folder), made_from)
  found = cache.find(entry, made_from)
  if found is not None:
    return found
  d, counts = reading.config.data, {}
  bad = BadRows(d.on_bad_row, d.bad_rows_limit)
  with cache.Writer(entry) as writer:
    for batch in _batches(spec, name, reading, counts, bad):
      writer.write(batch)
    writer.finish(made_from, counts, bad.kept)
  found = cache.find(entry, made_from)
  assert found is not None
  return found


def _make(
  spec: ConfigDict, name: str, reading: Reading
) -> tuple[Made, dict[str, Any]]:
  made_from = describe(spec, reading)
  if reading.folder is None:
    return _in_memory(spec, name, reading), made_from
  return _kept(made_from, spec, name, reading), made_from


def _on_every_host(
  spec: ConfigDict, name: str, reading: Reading
) -> tuple[Made, dict[str, Any]]:
  """What `_make` gives, first on host 0: the others then open what it has made,
  or make their own where they do not see its disk. All must hold equal rows.

  Hosts wait for the one that works, which shows now and then that it does; one
  that fails stops all.
  """
  if jax.process_count() == 1:
    return _make(spec, name, reading)
  if reading.folder is None:
    raise ValueError(
      "Several hosts read rows from a cache, to know that they have the same.\n"
      "Set data.cache."
    )
  host, meeting, found = jax.process_index(), Meeting(draw_name()), []
  met = time.monotonic()

  def progress(name: str, rows: int) -> None:
    nonlocal met
    if reading.progress is not None:
      reading.progress(name, rows)
    if time.monotonic() - met > BEAT_S:
      meeting.share(lambda: None)  # still at work
      met = time.monotonic()

  def work() -> str:
    found[:] = _make(spec, name, reading._replace(progress=progress))
    return digest()

  def digest() -> str:
    return found[0].digest if found else ""

  for turn in (host == 0, host > 0):
    said = meeting.share(work if turn else digest)
    while None in said:
      said = meeting.share(digest)
  other = [i for i, heard in enumerate(said) if heard != said[0]]
  if other:
    raise ValueError(
      f"{name}: hosts {other} hold other rows than host 0.\n"
      "Their source files differ: copy them again, or share data.cache."
    )
  return tuple(found)
