"""The numbers of a study, as they stand."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from alignjax.feedback import raters
from alignjax.feedback.agreement import Agreement, agreement
from alignjax.feedback.assign import GOLD, TAKEN
from alignjax.feedback.judgements import Judgement, judgements
from alignjax.feedback.raters import Flag, Numbers
from alignjax.feedback.settings import Settings
from alignjax.feedback.store import Rater, Store
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate


class Counts(NamedTuple):
  """Of pairs: all, gold items, those with all their raters, those begun.

  places: votes and leases on pairs that are no gold items, of `wanted`. votes:
  all, `repeats` among them. skips: by reason. choices: votes by
  `choices.KEPT`. labels: by label.
  """

  pairs: int
  gold: int
  finished: int
  begun: int
  places: int
  wanted: int
  votes: int
  repeats: int
  skips: dict[str, int]
  choices: dict[str, int]
  labels: dict[str, int]


class Model(NamedTuple):
  """How a model fares against another: first votes, gold items left out.

  share: of the first one, ties half, both bad left out; votes on one pair are
  not taken for independent.
  """

  first: str
  second: str
  wins: int
  ties: int
  losses: int
  both_bad: int
  share: Estimate | None


class Row(NamedTuple):
  """A rater, their numbers and what stands out; skips among them."""

  rater: Rater
  numbers: Numbers
  skips: int
  flags: list[Flag]


class Report(NamedTuple):
  """A study's numbers."""

  settings: Settings
  counts: Counts
  agreement: Agreement
  models: list[Model]
  raters: list[Row]


def report(store: Store, *, spread: bool = True) -> Report:
  """The numbers of a study now.

  spread: whether agreement gets its intervals, by resampling pairs, which takes
  seconds for thousands of pairs.
  """
  seed = store.settings.seed
  with store.read() as db:
    found, people = judgements(store), store.raters()
    skips = db.execute(
      "SELECT t.rater, s.reason FROM skips s JOIN tasks t ON t.id = s.task"
    ).fetchall()
    counts = _counts(store, found, Counter(reason for _, reason in skips))
  mine = raters.all_numbers(found, seed=seed)
  flagged = raters.flags(mine)
  nothing = raters.numbers([], {}, seed=seed)
  by_rater = Counter(r for r, _ in skips)
  return Report(
    store.settings,
    counts,
    agreement(found, store.settings.overlap, seed=seed, spread=spread),
    models(found, seed=seed),
    [
      Row(r, mine.get(r.id, nothing), by_rater[r.id], flagged.get(r.id, []))
      for r in people
    ],
  )


def _counts(store: Store, found: list[Judgement], skips: Counter) -> Counts:
  k = store.settings.overlap
  with store.read() as db:
    pairs, gold = db.execute(
      f"SELECT count(*), coalesce(sum({GOLD}), 0) FROM pairs p"
    ).fetchone()
    taken = Counter(
      n for (n,) in db.execute(f"SELECT {TAKEN} FROM pairs p WHERE NOT {GOLD}")
    )
  votes = Counter(v.pair for v in found if not v.repeat and not v.item)
  return Counts(
    pairs=pairs,
    gold=gold,
    finished=sum(n >= k for n in votes.values()),
    begun=len(votes),
    places=sum(n * c for n, c in taken.items()),
    wanted=k * (pairs - gold),
    votes=len(found),
    repeats=sum(v.repeat for v in found),
    skips=dict(skips.most_common()),
    choices=dict(Counter(v.choice for v in found)),
    labels=dict(Counter(x for v in found for _, x in v.labels)),
  )


def models(found: list[Judgement], *, seed: int) -> list[Model]:
  """Every two models that were compared, names in alphabetical order."""
  said: dict[tuple[str, str], list[Judgement]] = {}
  for one in found:
    a, b = one.models
    if a and b and a != b and not one.repeat and not one.item:
      said.setdefault((min(a, b), max(a, b)), []).append(one)
  return [_model(*names, said[names], seed) for names in sorted(said)]


def _model(first: str, second: str, votes: list, seed: int) -> Model:
  worth, pairs = [], []
  for v in votes:
    if v.winner == "both_bad":
      continue
    name = {"a": v.models[0], "b": v.models[1]}.get(v.winner)
    worth.append(0.5 if name is None else float(name == first))
    pairs.append(v.pair)
  return Model(
    first,
    second,
    worth.count(1.0),
    worth.count(0.5),
    worth.count(0.0),
    len(votes) - len(worth),
    intervals.mean(np.array(worth), pairs, seed=seed) if worth else None,
  )


def record(found: Report) -> dict:
  """The report as plain values, for JSON; limits that are none are None."""
  made = _plain(found)
  for row in made["raters"]:
    del row["rater"]["key"]  # of the token's hash
  return made


def _plain(value):
  if isinstance(value, tuple) and hasattr(value, "_asdict"):
    made = {k: _plain(v) for k, v in value._asdict().items()}
    if hasattr(value, "interval"):
      low, high = value.interval()
      made |= {"low": _plain(low), "high": _plain(high)}
    return made
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(v) for v in value]
  if isinstance(value, float) and not np.isfinite(value):
    return None
  return value


def tables(found: Report) -> Iterator:
  """The report as people read it."""
  from rich.table import Table
  from rich.text import Text

  c, k = found.counts, found.settings.overlap
  yield Text(
    f"{c.pairs:,} pairs, {c.gold:,} of them gold items; {c.finished:,} have "
    f"all {k} votes, {c.begun:,} are begun"
  )
  yield Text(
    f"{c.votes:,} votes, {c.repeats:,} of them repeats; {_listed(c.choices)}"
  )
  for what, n in (("skipped", c.skips), ("labels", c.labels)):
    if n:
      yield Text(f"{what}: {_listed(n)}")
  yield Text("\nagreement [95 %], of pairs that are no gold items")
  a, table = found.agreement, Table(box=None, show_header=False)
  for label, value in (
    ("Krippendorff's alpha, who wins", a.nominal),
    ("Krippendorff's alpha, five steps", a.ordinal),
    (f"Fleiss' kappa, pairs with {a.raters} votes", a.fleiss),
    ("two votes that say the same", a.raw),
  ):
    table.add_row(label, estimate(value), f"n {value.n:,}" if value else "")
  yield table
  if a.missing:
    yield Text(a.missing)
  if a.both_bad:
    yield Text(f"five steps are without {a.both_bad:,} votes for both bad")
  for m in found.models:
    yield Text(
      f"\n{m.first} against {m.second}: {m.wins:,} wins, {m.ties:,} ties, "
      f"{m.losses:,} losses, {m.both_bad:,} both bad; {estimate(m.share)}"
    )
  yield Text("")
  heads = ("rater", "votes", "s", "left", "ties", "both bad", "gold", "itself")
  table = Table(*heads, "others", "longer", box=None)
  table.columns[0].overflow = "fold"
  for row in found.raters:
    n = row.numbers
    table.add_row(
      row.rater.name + ("" if row.rater.active else " (shut out)"),
      f"{n.votes:,}",
      "–" if n.seconds is None else f"{n.seconds:.1f}",
      *map(share, (n.left, n.ties, n.both_bad, n.gold, n.itself)),
      estimate(n.others),
      share(n.longer),
    )
  yield table
  for row in found.raters:
    for flag in row.flags:
      yield Text(f"{row.rater.name}: {flag.said} ({flag.rule})")


def share(s: intervals.Share) -> str:
  """`0.612 [0.550, 0.671]`; a dash for nothing."""
  if not s.n:
    return "–"
  low, high = s.interval()
  return f"{s.hits / s.n:.3f} [{low:.3f}, {high:.3f}]"


def estimate(e: Estimate | None) -> str:
  """The same of an estimate; why there is no interval, where one was asked."""
  if e is None:
    return "–"
  if np.isnan(e.low):  # not asked for
    return f"{e.mean:.3f}"
  if np.isinf(e.low):
    return f"{e.mean:.3f} [no interval: too few pairs]"
  if e.low == e.high:
    return f"{e.mean:.3f} [no interval: all pairs are alike]"
  return f"{e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]"


def _listed(n: Mapping[str, int]) -> str:
  return ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in n.items())
