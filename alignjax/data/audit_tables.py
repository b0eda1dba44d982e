"""A report on a preference set as people read it."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from alignjax.data.audit import Audit
from alignjax.data.bias import Model, Section
from alignjax.statistics.intervals import Share

# Told even where there are none.
_ALWAYS = ("duplicate", "identical sides")


def tables(found: Audit) -> Iterator[Table | Text]:
  """Counts, then what goes with being preferred, with n and intervals."""
  bad = dict.fromkeys(_ALWAYS, 0) | found.bad
  counts = {"rows": f"{found.rows:,}"}
  counts |= {f"  {name}": f"{n:,}" for name, n in found.formats.items()}
  counts |= {f"  bad, {kind}": f"{n:,}" for kind, n in bad.items()}
  counts |= {
    "contradictions": f"{found.contradictions:,}",
    "prompts": f"{found.prompts:,}",
    "  that stand more than once": f"{found.repeated:,}",
  }
  yield _two_columns(counts)
  for name, overlap in found.overlaps.items():
    yield Text(
      f"prompts that stand in {name} too: {share(overlap.here)}; "
      f"of those there: {share(overlap.there)}"
    )
  if found.first_bad:
    yield Text(f"the first bad row: {found.first_bad}")
  if found.pairs:
    yield from _section(found.pairs, True)
  if found.judged:
    yield from _section(found.judged, False)
  if found.repeated and (found.pairs or found.judged):
    yield Text(
      "\nIntervals take rows as independent. Those of one prompt are not: "
      f"{found.repeated:,} prompts stand more than once."
    )


def share(s: Share) -> str:
  """`45.5% of 1,146 [42.6, 48.4]`: a share, n and its 95 % interval."""
  if not s.n:
    return "none"
  low, high = s.interval()
  part = f"{s.hits / s.n:.1%} of {s.n:,}"
  return f"{part} [{100 * low:.1f}, {100 * high:.1f}]"


def _two_columns(cells: dict[str, str]) -> Table:
  table = Table("", "", box=None, show_header=False)
  table.columns[1].justify = "right"
  for name, cell in cells.items():
    table.add_row(name, cell)
  return table


def _section(s: Section, paired: bool) -> Iterator[Table | Text]:
  names = ("preferred", "other") if paired else ("wanted", "unwanted")
  yield Text("")
  counts = {"pairs" if paired else "judged answers": f"{s.n:,}"}
  counts["  first is preferred" if paired else "  wanted"] = share(s.first)
  if paired:
    counts["  soft labels"] = f"{s.soft:,}"
  yield _two_columns(counts)
  yield Text("")
  table = Table("completions", *names, box=None)
  if paired:
    table.add_column("preferred has more, where one has [95 %]")
  for column in table.columns[1:]:
    column.justify = "right"
  for k, f in enumerate(s.features):
    # The first two are counts, the others are had or not.
    shown = [f"{x:,.1f}" if k < 2 else f"{x:.1%}" for x in f[1:3]]
    if paired:
      shown.append(share(f.apart))
    elif k >= 2:
      sizes = s.first.hits, s.n - s.first.hits
      shown = [share(Share(round(x * n), n)) for x, n in zip(f[1:3], sizes)]
    table.add_row(f.name, *shown)
  yield table
  yield Text("")
  if s.model is None:
    yield Text("no fit: too few rows, or one label alone")
  else:
    yield from _model(s.model, paired)


def _model(m: Model, paired: bool) -> Iterator[Table | Text]:
  what = "the first is preferred" if paired else "it is wanted"
  table = Table(f"log-odds that {what}", "", "error", "95 %", box=None)
  for column in table.columns[1:]:
    column.justify = "right"
  for t in m.terms:
    low, high = t.interval()
    name = f"words, by {m.scale:.1f}" if t.name == "words" else t.name
    cells = (
      f"{t.coefficient:+.2f}",
      f"{t.error:.2f}",
      f"[{low:.2f}, {high:.2f}]",
    )
    table.add_row(name, *cells)
  yield table
  if m.ridge:
    yield Text(
      f"with a ridge of {m.ridge:g}: a column tells all its rows apart, or "
      "tells what others tell"
    )
  yield Text("")
  yield _two_columns(
    {
      "told right by fits to other rows": share(m.accuracy),
      "  by length alone": share(m.by_length),
    }
  )
