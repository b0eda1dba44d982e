"""Rows that people wrote, checked before anyone trains on them or has them.

What cannot be read, what stands twice, what evaluations ask, what is
somebody's, what is in another language, too short or too long, and which
clusters have few rows: findings by file and line (`rules`), and the numbers of
a card (`card`).

Rows stream by; what is kept is what `duplicates` needs, some 10 kB a row.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from alignjax.data import contamination, sources, turns
from alignjax.data.bad import BadRow
from alignjax.data.said import Said, joined, said
from alignjax.instruct import language
from alignjax.instruct.checks import Checks
from alignjax.instruct.counts import UNTOLD, Counts, cluster_of, file_hashes
from alignjax.instruct.duplicates import Exact, Near
from alignjax.instruct.personal import personal, strings
from alignjax.instruct.rules import Finding, finding, refused
from alignjax.instruct.tokens import Tokens


class File(NamedTuple):
  """What was found in one file: findings in its order, those of the whole last.

  numbers: of its card. evals: how much of each evaluation file stands in it.
  """

  path: str
  numbers: dict
  findings: tuple[Finding, ...]
  evals: tuple[contamination.File, ...]


def validate(
  paths: Sequence[str],
  checks: Checks,
  *,
  split: str = "train",
  reader: str | None = None,
) -> tuple[File, ...]:
  """Reads files once (twice with evaluation files) and tells what it finds.

  paths, split, reader: as of `sources.read`. Duplicates are looked for across
    all of them, ids within each.

  Raises ValueError or FileNotFoundError, before it reads a row, for what cannot
  be checked.
  """
  check_limits(checks)
  tokens = None
  if checks.tokenizer:
    tokens = Tokens(checks.tokenizer, checks.template)
  for path in paths:
    sources.files(path, split=split, reader=reader)
  for path, split_of, _ in evals_of(checks):
    if path != "suite":
      sources.files(path, split=split_of)
  seen = _Seen(checks)
  return tuple(
    _Reading(path, split, reader, checks, seen, tokens).file() for path in paths
  )


def check_limits(checks: Checks) -> None:
  """Raises ValueError for limits that nothing could keep."""
  language.told("", checks.language)
  numbers = ("min_words", "max_words", "max_length", "min_cluster", "max_ratio")
  for name in numbers:
    if getattr(checks, name) < 0:
      raise ValueError(
        f"{name} = {getattr(checks, name)}; it is 0 (no limit) or more"
      )
  if 0 < checks.max_words < checks.min_words:
    raise ValueError(
      f"max_words = {checks.max_words} is below min_words, "
      f"{checks.min_words}\n"
      "give a higher one, or 0 for no limit"
    )
  if checks.max_length and not checks.tokenizer:
    raise ValueError(
      f"max_length = {checks.max_length} is in tokens, which need a tokenizer\n"
      "give its folder (--tokenizer), or limit words (--max-words)"
    )


def evals_of(checks: Checks) -> list[contamination.Source]:
  """The evaluation files; of folders the split `test`, of the suite heldout."""
  return [
    contamination.Source(path, "heldout" if path == "suite" else "test", None)
    for path in checks.evals
  ]


class _Seen:
  """What stood in earlier rows of all files, and what evaluations ask."""

  def __init__(self, checks: Checks):
    self.rows, self.prompts = Exact(), Exact()
    self.near = Near(checks.near, seed=checks.seed)
    self.asked = Exact()
    for source in evals_of(checks):
      for row, origin in contamination.rows(source, lambda bad: None):
        try:
          self.asked.first([joined(said(row, origin).prompt)], origin)
        except BadRow:
          continue  # counted where its runs of words are looked for


class _Reading:
  """One file on its way through the checks."""

  def __init__(
    self,
    path: str,
    split: str,
    reader: str | None,
    checks: Checks,
    seen: _Seen,
    tokens: Tokens | None,
  ):
    self.path, self.split, self.reader = path, split, reader
    self.checks, self.seen, self.tokens = checks, seen, tokens
    self.counts = Counts(checks.source, checks.licence)
    self.found: list[Finding] = []
    self.ids: dict[str | int, str] = {}
    self.unplaced: list[str] = []  # rows without a cluster
    self.asked: set[tuple[str, str]] = set()  # (row, evaluation row)

  def file(self) -> File:
    """Reads the file and tells."""
    for row, origin in self._rows():
      try:
        one = said(row, origin)
        turns.once(row.get("id"), origin, self.ids)
        size = self.tokens(one, origin) if self.tokens else 0
      except BadRow as e:
        self._bad(e)
        continue
      self._row(one, row, origin, size)
    evals = self._contamination()
    self._clusters()
    self._rights()
    return File(self.path, self._numbers(), tuple(self.found), evals)

  def _rows(self) -> Iterator[tuple[dict, str]]:
    return sources.read(
      self.path, split=self.split, reader=self.reader, on_bad=self._bad
    )

  def _bad(self, bad: BadRow) -> None:
    self.counts.bad[bad.kind] += 1
    self.found.append(refused(bad))

  def _tell(self, origin: str, rule: str, what: str) -> None:
    self.found.append(finding(origin, rule, what))

  def _row(self, one: Said, row: dict, origin: str, size: int) -> None:
    kinds = self.counts["kinds"]
    if kinds and one.kind not in kinds:
      first = next(iter(kinds))
      what = f"{one.kind}, where the first row is {first}"
      self._tell(origin, "mixed kinds", what)
    limit = self.checks.max_length
    if limit and size > limit:
      what = f"{size:,} tokens, the limit is {limit:,}"
      self._tell(origin, "too many tokens", what)
    self._repeats(one, origin)
    prompt = joined(one.prompt)
    if prompt.strip() and (where := self.seen.asked.where([prompt])):
      self.asked.add((origin, where))
      self._tell(origin, "contamination", f"{where} has the same prompt")
    spoken = self._parts(one, origin)
    for path, text in strings(row):
      for hit in personal(text):
        self._tell(origin, hit.kind, f"{hit.shown} in {path}")
    if not cluster_of(row):
      self.unplaced.append(origin)
    self.counts.add(one, row, spoken, size)

  def _repeats(self, one: Said, origin: str) -> None:
    """Exact repeats first: what stands twice is near, and has its prompt."""
    asked = [f"{m['role']}:{m['content']}" for m in one.prompt]
    labels = list(map(str, one.labels))

    def whole(answers) -> list[str]:
      sides = [f"{m['role']}:{m['content']}" for a in answers for m in a]
      return [one.kind, *asked, "", *sides, "", *labels]

    turned = self.seen.rows.where(whole(one.answers[::-1]))
    if one.kind == "pairs" and turned and labels != ["0.5"]:
      self._tell(origin, "contradiction", f"{turned} prefers the other side")
    first = self.seen.rows.first(whole(one.answers), origin)
    if first:
      self._tell(origin, "duplicate", f"the same stands in {first}")
      return
    if one.kind == "conversation":
      if first := self.seen.prompts.first(asked, origin):
        what = f"{first} has the same prompt and another answer"
        self._tell(origin, "repeated prompt", what)
    text = "\n".join(joined(part) for part in (one.prompt, *one.answers))
    if near := self.seen.near.nearest(text, origin):
      what = f"{near[1]:.3f} of its shingles and those of {near[0]} are shared"
      self._tell(origin, "near duplicate", what)

  def _parts(self, one: Said, origin: str) -> str:
    """Checks what is said part by part; returns the language, of answers."""
    answers = [joined(answer) for answer in one.answers]
    parts = {"prompt": joined(one.prompt)} if one.prompt else {}
    for k, answer in enumerate(answers):
      name = "text" if one.kind == "text" else "answer"
      parts[name if len(answers) == 1 else f"{name} {k + 1}"] = answer
    if any(not m["content"].strip() for m in one.prompt):
      self._tell(origin, "empty turn", "a turn before the answer has no text")
    own, spoken = self.checks.language, ""
    low, high = self.checks.min_words, self.checks.max_words
    for name, text in parts.items():
      spoken = language.told(text, own)
      if spoken not in (own, language.UNDECIDED):
        self._tell(origin, "language", f"the {name} is not {own}: {spoken}")
      if name == "prompt" and answers:
        continue
      n = len(text.split())
      if n < low:
        self._tell(origin, "too short", f"the {name} has {n} words, not {low}")
      if high and n > high:
        self._tell(
          origin, "too long", f"the {name} has {n:,} words, not {high}"
        )
    return spoken

  def _contamination(self) -> tuple[contamination.File, ...]:
    """Finds rows that share runs of words with evaluation rows.

    A run is told of the first row that has it.
    """
    if not self.checks.evals or not self.counts["kinds"]:
      return ()
    train = contamination.Source(self.path, self.split, self.reader)
    evals = evals_of(self.checks)
    made = contamination.contamination([train], evals, worst=None)
    for file in made.evals:
      for grams in file.found:
        for match in grams.worst:
          if (match.training, match.origin) in self.asked:
            continue
          self.asked.add((match.training, match.origin))
          hits, n = match.found
          what = f"as {match.origin}: {hits} of {n} runs of {grams.n} words"
          if hits == n == 1:
            what = f"as {match.origin}, whole"
          self._tell(match.training, "contamination", what)
    return made.evals

  def _clusters(self) -> None:
    clusters = self.counts["clusters"]
    if not clusters:
      return
    for origin in self.unplaced:
      self._tell(origin, "no cluster", "no `cluster` or `task`")
    most, largest = clusters.most_common(1)[0]
    least, smallest = min(clusters.items(), key=lambda entry: entry[1])
    for name, n in clusters.items():
      if n < self.checks.min_cluster:
        what = f"{name} has {n} rows, fewer than {self.checks.min_cluster}"
        self._tell(self.path, "small cluster", what)
    ratio = largest / smallest
    if 0 < self.checks.max_ratio < ratio:
      what = f"{most} has {largest:,} rows, {ratio:.1f} times the {smallest:,} "
      self._tell(self.path, "unbalanced clusters", f"{what}of {least}")

  def _rights(self) -> None:
    if not self.counts["kinds"]:
      self._tell(self.path, "no rows", "no row that can be read")
    for rule, table in (("no licence", "licences"), ("no source", "sources")):
      if n := self.counts[table][UNTOLD]:
        self._tell(self.path, rule, f"{n:,} rows")

  def _numbers(self) -> dict:
    """What the card says, and of which files."""
    root = Path(self.path)
    files = sources.files(self.path, split=self.split, reader=self.reader)
    if self.reader:  # its module is no file of the set
      files = [f for f in files if f == root or f.is_relative_to(root)]
    rules = Counter(one.rule for one in self.found)
    checks = self.checks._asdict()
    checks["tokenizer"] = Path(self.checks.tokenizer).name
    checks["evals"] = [Path(path).name for path in self.checks.evals]
    return {
      "name": root.name,
      "files": file_hashes(files, root),
      **self.counts.numbers(),
      "findings": dict(sorted(rules.items())),
      "checks": {"split": self.split, "reader": self.reader, **checks},
    }
