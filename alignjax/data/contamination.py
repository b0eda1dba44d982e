"""How much of evaluation rows stands in training rows, by their n-grams.

Words are compared without case and punctuation. Two rules, each with its own
length: a row is contaminated at 13 where one of its 13-grams stands in training
(Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix C), and at 8
where 70 % of its 8-grams do (Chowdhery et al. 2022,
https://arxiv.org/abs/2204.02311, section 8). A row of fewer words is compared
as a whole, and counted apart.

What is kept is of the evaluation: training rows stream by. System turns are
left out on both sides, for many rows share one and none asks by it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from alignjax.data import sources, suite
from alignjax.data.bad import BadRow, BadRows
from alignjax.data.ngrams import PARTS, Index, Kept
from alignjax.data.said import joined, said
from alignjax.statistics.intervals import Share

# Words of an n-gram → percent of a row's n-grams that are too many; 0: any one.
RULES = {8: 70, 13: 0}
WORST = 5  # rows that are named
# What takes no part in what a row says.
_BESIDE = ("label", "margin", "weight")


class Source(NamedTuple):
  """Rows of a set, as of `sources.read`; `suite` is the built-in tasks."""

  path: str
  split: str
  reader: str | None = None


class Match(NamedTuple):
  """An evaluation row that stands in training.

  origin, training: of both rows. found: its n-grams that stand in any training
  row; of a row of fewer words, 1 of 1. text: the longest stretch of words that
  stands in this training row.
  """

  origin: str
  training: str
  found: Share
  text: str


class Part(NamedTuple):
  """Rows by one part of theirs: prompt and gold, prompt, or gold.

  contaminated: of those with n words or more. whole: of the shorter ones, those
  that are the same part of a training row. Without a word it is in neither.
  """

  name: str
  contaminated: Share
  whole: Share


class Grams(NamedTuple):
  """What n-grams of n words say of a file; worst by their share, then words."""

  n: int
  parts: tuple[Part, ...]
  worst: tuple[Match, ...]


class File(NamedTuple):
  """A set that was read: rows, the bad ones among them, and the first of those.

  found: of an evaluation set, an entry for each n.
  """

  path: str
  split: str
  rows: int
  bad: int
  first_bad: str
  found: tuple[Grams, ...] = ()


class Contamination(NamedTuple):
  """The report."""

  train: tuple[File, ...]
  evals: tuple[File, ...]


def contamination(
  train: Sequence[Source],
  evals: Sequence[Source],
  *,
  n: Sequence[int] = tuple(RULES),
  worst: int | None = WORST,
) -> Contamination:
  """Reads all rows once and reports on each evaluation set.

  n: which of `RULES`. Rows may be of any format of `formats` or `preferences`;
    the gold of a pair is the chosen side, and all sides are trained on. A row
    with nothing but a prompt has no gold; a plain text is compared as one part.
    Bad rows are counted.
  worst: how many rows of a set are named, None for all that are contaminated.

  A language that puts no spaces between words has few words here, and only
  long stretches of it are found.

  Raises ValueError for another n, and where a set has no row that can be read.
  """
  if not n or set(n) - set(RULES):
    raise ValueError(
      f"n = {list(n)}; n-grams are of {' or '.join(map(str, RULES))} words, "
      "for each length has its own rule."
    )
  index, files, kept = Index(sorted(set(n))), [], []
  for one in evals:
    read = _Reading(one)
    kept.append([index.keep(o, asked, golds[0]) for o, asked, golds in read])
    files.append(read.file())
  streamed = []
  for one in train:
    read = _Reading(one)
    index.stream(read)
    streamed.append(read.file())
  found = []
  for file, rows in zip(files, kept):
    grams = tuple(_grams(index, rows, k, worst) for k in index.lengths)
    found.append(file._replace(found=grams))
  return Contamination(tuple(streamed), tuple(found))


class _Reading:
  """The rows of a source as (origin, prompt, golds), and what became of them.

  A plain text has the prompt "" and itself for gold.
  """

  def __init__(self, source: Source):
    self.source, self.good, self.bad = source, 0, BadRows("skip", 1.0)

  def __iter__(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for row, origin in rows(self.source, self.bad):
      try:
        prompt, golds = _texts(row, origin)
      except BadRow as e:
        self.bad(e)
        continue
      self.good += 1
      yield origin, prompt, golds

  def file(self) -> File:
    path, split, _ = self.source
    bad = self.bad.counts.total()
    if not self.good:
      first = f": {self.bad.first}" if bad else ""
      raise ValueError(
        f"{path} ({split}) has no row that can be compared{first}\n"
        "give rows of a known format, or a reader of your own"
      )
    return File(path, split, self.good + bad, bad, self.bad.first)


def rows(
  source: Source, on_bad: Callable[[BadRow], None]
) -> Iterable[tuple[dict, str]]:
  """(row, origin) of a source."""
  path, split, reader = source
  if path == "suite" and not reader:
    return ((row, f"suite[{row['id']}]") for row in suite.rows(split))
  return sources.read(path, split=split, reader=reader, on_bad=on_bad)


def _texts(row: dict, origin: str) -> tuple[str, tuple[str, ...]]:
  """The prompt and what may follow it, the gold first."""
  found = said({k: v for k, v in row.items() if k not in _BESIDE}, origin)
  answers = dict.fromkeys(joined(answer) for answer in found.answers)
  return joined(found.prompt), tuple(answers) or ("",)


def _grams(
  index: Index, rows: Sequence[Kept], n: int, named: int | None
) -> Grams:
  """The shares of one set, and its worst rows."""
  counts = {part: Counter() for part in PARTS}
  worst: list[tuple[float, int, Kept]] = []
  for row in rows:
    for part in PARTS:
      start, end = row.span(part)
      if part == "gold" and not row.prompt or start == end:
        continue
      if end - start < n:
        hits, total, name = bool(index.whole(row, part)), 1, "whole"
      else:
        hits, total, name = *index.hits(row, part, n), "long"
      over = hits > 0 and 100 * hits >= RULES[n] * total
      counts[part][name] += 1
      counts[part][name, over] += 1
      if over and part == PARTS[0]:
        worst.append((hits / total, hits, row))
  worst.sort(key=lambda found: found[:2], reverse=True)
  parts = tuple(
    Part(
      part,
      Share(c["long", True], c["long"]),
      Share(c["whole", True], c["whole"]),
    )
    for part, c in counts.items()
  )
  return Grams(n, parts, tuple(_match(index, w[-1], n) for w in worst[:named]))


def _match(index: Index, row: Kept, n: int) -> Match:
  if row.size < n:
    text = index.text(*row.span(PARTS[0]))
    return Match(row.origin, index.whole(row, PARTS[0]), Share(1, 1), text)
  training, text = index.longest(row, n)
  found = Share(*index.hits(row, PARTS[0], n))
  return Match(row.origin, training, found, text)
