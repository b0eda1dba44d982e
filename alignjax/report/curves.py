"""Curves of a run as inline SVG that follows the page's colours.

matplotlib writes fixed colours; each of ours is a stand-in for a variable of
the page's style sheet, so that one drawing is legible on light and on dark.
"""

import html
import io
import re
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = {
  "#010203": "var(--ink)",
  "#040506": "var(--rule)",
  "#070809": "var(--train)",
  "#0a0b0c": "var(--held)",
}
INK, RULE, TRAIN, HELD = COLOURS
STYLE = {
  "svg.fonttype": "none",  # text stays text, in the page's font
  "svg.hashsalt": "alignjax",
  "font.size": 10,
  "text.color": INK,
  "axes.edgecolor": RULE,
  "axes.facecolor": "none",
  "xtick.color": RULE,
  "ytick.color": RULE,
  "xtick.labelcolor": INK,
  "ytick.labelcolor": INK,
  "grid.color": RULE,
  "grid.linewidth": 0.6,
  "axes.axisbelow": True,
  "axes.formatter.limits": (-3, 5),
  "axes.formatter.useoffset": False,
}
POINTS = 400  # more are averaged over runs of steps: the page must stay small

Curve = tuple[Sequence[int], Sequence[float]]  # steps, values (NaN: a gap)


def draw(
  name: str, train: Curve | None, held: Curve | None, *, last: int, key: str
) -> str:
  """An `<svg>` of the values over the steps.

  Args:
    name: what is drawn, for readers who cannot see it.
    train: the training curve, if there is one.
    held: the held-out curve, if there is one.
    last: the last step, where the horizontal axis ends.
    key: prefix of every id, different for each figure of a page.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(4.4, 2.5), layout="constrained")
    axes = figure.subplots()
    for curve, colour, dots in ((train, TRAIN, 2), (held, HELD, 40)):
      if curve is None:
        continue
      steps, values = thin(*curve)
      marker = "o" if np.isfinite(values).sum() <= dots else ""
      line = {"color": colour, "lw": 1.6, "marker": marker, "ms": 4}
      axes.plot(steps, values, clip_on=False, **line)
    axes.set_xlim(0, max(last, 1) * 1.02)
    axes.xaxis.set_major_locator(
      MaxNLocator(6, steps=[1, 2, 5, 10], integer=True)
    )
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return finished(figure, axes, name, key)


def scatter(
  name: str,
  points: Sequence[tuple[str, float, float]],
  *,
  x: str,
  y: str,
  key: str,
  trace: Sequence[tuple[float, float]] = (),
) -> str:
  """An `<svg>` of labelled points, and of a path that leads somewhere.

  Args:
    name: what is drawn, for readers who cannot see it.
    points: label, x, y of each.
    x, y: what the axes are called.
    key: prefix of every id, different for each figure of a page.
    trace: points in their order, joined by a line.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(4.4, 2.9), layout="constrained")
    axes = figure.subplots()
    if trace:
      axes.plot(*zip(*trace), color=TRAIN, lw=1.2, marker="o", ms=2.5)
    for label, at, value in points:
      axes.plot([at], [value], "o", color=HELD, ms=6, clip_on=False)
      axes.annotate(
        label, (at, value), (5, 5), textcoords="offset points", color=INK
      )
    axes.margins(0.15)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return finished(figure, axes, name, key)


def finished(figure: Figure, axes, name: str, key: str) -> str:
  """A drawing as `<svg>` in the page's colours."""
  axes.grid(axis="y")
  axes.tick_params(length=0)
  axes.spines[["top", "right", "left"]].set_visible(False)
  file = io.StringIO()
  unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  figure.savefig(file, format="svg", transparent=True, metadata=unsaid)
  return _inline(file.getvalue(), name, key)


def thin(
  steps: Sequence[int], values: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
  """At most `POINTS` points, each the mean of equally many neighbours.

  Values that are not finite are left out of a mean; NaN where none is left.
  """
  size = -(-len(steps) // POINTS)
  x, y = np.asarray(steps, float), np.asarray(values, float)
  fill = np.full(-len(x) % size, np.nan)
  x, y = (np.append(a, fill).reshape(-1, size) for a in (x, y))
  finite = np.isfinite(y)
  count = finite.sum(axis=1)
  total = np.where(finite, y, 0).sum(axis=1)
  mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
  return np.nanmean(x, axis=1), mean


def _inline(svg: str, name: str, key: str) -> str:
  svg = svg[svg.index("<svg") :]
  svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
  svg = re.sub(r'\bid="', f'id="{key}-', svg)
  svg = re.sub(r'href="#', f'href="#{key}-', svg)
  svg = re.sub(r"url\(#", f"url(#{key}-", svg)
  for stand_in, colour in COLOURS.items():
    svg = svg.replace(stand_in, colour)
  # The page sets the size; the text takes the page's font.
  svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
  svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
  svg = re.sub(r"font: (\S+) [^;\"]*", r"font-size: \1", svg)
  label = html.escape(name)
  return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
