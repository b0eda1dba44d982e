"""A report on a preference set, before anyone trains on it.

What cannot be used, what contradicts itself, what stands in two splits, and
what on the surface of a text goes with being preferred (`bias`): a model that
learns from such a set may learn that instead.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from alignjax.data import sources
from alignjax.data.bad import BadRows
from alignjax.data.bias import Section, Table
from alignjax.data.preferences import Judged, Preference, key, preferences
from alignjax.statistics.intervals import Share
from alignjax.statistics.logistic import Term

_SPLITS = ("train", "validation", "test")


class Overlap(NamedTuple):
  """Prompts that two sets share: of this one's, and of the other's."""

  here: Share
  there: Share


class Audit(NamedTuple):
  """The report. Prompts are the same whatever their case and white space.

  rows: all of them. bad: kind → rows, the first one told in `first_bad`.
  formats: format → rows. prompts: distinct ones; repeated: those of them that
  stand in more than one pair or answer. contradictions: pairs and answers that
  say of the same texts the opposite of what an earlier one says.
  """

  rows: int
  bad: dict[str, int]
  first_bad: str
  formats: dict[str, int]
  prompts: int
  repeated: int
  contradictions: int
  pairs: Section | None
  judged: Section | None
  overlaps: dict[str, Overlap]


def audit(
  path: str,
  *,
  split: str = "train",
  against: str = "",
  format: str | None = None,
  pairs: str = "all",
  reader: str | None = None,
) -> Audit:
  """Reads a set once and reports on it; bad rows are counted.

  path, split, reader: as of `sources.read`; format, pairs: as of
    `preferences.preferences`.
  against: another set to compare prompts with; "" for the other splits of a
    folder (train, validation, test), where path has them.
  """
  bad, formats = BadRows("skip", 1.0), Counter()
  here, told = Counter(), _Told()
  pairs_of, judged = Table(paired=True), Table(paired=False)

  def read(path: str, split: str, counts: dict, on_bad: Callable) -> Iterable:
    rows = sources.read(path, split=split, reader=reader, on_bad=on_bad)
    return preferences(
      rows, format=format, pairs=pairs, counts=counts, on_bad=on_bad
    )

  for item in read(path, split, formats, bad):
    prompt = _prompt_key(item)
    here[prompt] += 1
    told.add(item)
    table = pairs_of if isinstance(item, Preference) else judged
    table.add(item, prompt)
  overlaps = {}
  for name, other in _others(path, split, against, reader).items():
    there = {_prompt_key(i) for i in read(*other, {}, BadRows("skip", 1.0))}
    both = len(there & here.keys())
    overlaps[name] = Overlap(Share(both, len(here)), Share(both, len(there)))
  return Audit(
    rows=formats.total() + bad.counts.total(),
    bad=dict(bad.counts.most_common()),
    first_bad=bad.first,
    formats=dict(formats),
    prompts=len(here),
    repeated=sum(n > 1 for n in here.values()),
    contradictions=told.contradictions,
    pairs=pairs_of.section(),
    judged=judged.section(),
    overlaps=overlaps,
  )


def record(value) -> object:
  """A report as JSON has it; shares and terms with their 95 % intervals."""
  if isinstance(value, Share | Term):
    found = value._asdict() | {"interval": list(value.interval())}
    if isinstance(value, Share):
      found["share"] = value.hits / value.n if value.n else None
    return found
  if isinstance(value, tuple) and hasattr(value, "_asdict"):
    value = value._asdict()
  if isinstance(value, Mapping):
    return {k: record(v) for k, v in value.items()}
  return [record(v) for v in value] if isinstance(value, tuple) else value


class _Told:
  """What was said of which texts so far."""

  def __init__(self):
    self.told: dict[bytes, bool] = {}
    self.contradictions = 0

  def add(self, item: Preference | Judged) -> None:
    sides = item.sides if isinstance(item, Preference) else (item.completion,)
    if item.label == 0.5:
      return
    # The sides in one order, whichever the row has.
    keys = [key(item.prompt, side) for side in sides]
    wins = (keys[0] == min(keys)) == (item.label > 0.5)
    told = self.told.setdefault(b"".join(sorted(keys)), wins)
    self.contradictions += told != wins


def _prompt_key(item: Preference | Judged) -> bytes:
  said = "\0".join(
    " ".join(m["content"].casefold().split()) for m in item.prompt
  )
  return blake2b(said.encode(), digest_size=16).digest()


def _others(
  path: str, split: str, against: str, reader: str | None
) -> dict[str, tuple[str, str]]:
  """Name → (path, split) of the sets to compare with."""
  if against:
    return {against: (against, "train")}
  name, found = split.partition("[")[0], {}
  own = sources.files(path, split=name, reader=reader)
  for other in _SPLITS:
    try:
      files = sources.files(path, split=other, reader=reader)
    except FileNotFoundError:
      continue
    if other != name and files != own:
      found[other] = (path, other)
  return found
