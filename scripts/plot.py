"""Lines and points as an SVG file: what the studies draw."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

COLOURS = ("#1b6ca8", "#c8553d", "#3f7d4e", "#8a5a9e", "#9a7b1f", "#555555")


class Curve(NamedTuple):
  """x and y, and how they are drawn.

  colour: which of `COLOURS`. style: of a line, as matplotlib has it, "" for
  none. marker: of points. name: in the legend; "" keeps it out.
  """

  name: str
  x: Sequence[float]
  y: Sequence[float]
  colour: int
  style: str = "-"
  marker: str = ""


class Panel(NamedTuple):
  """One pair of axes; `log` is of the horizontal one."""

  title: str
  x: str
  y: str
  curves: Sequence[Curve]
  log: bool = False


def draw(path: Path, panels: Sequence[Panel]) -> None:
  """Writes panels side by side; those of one `y` have one vertical axis."""
  path.parent.mkdir(parents=True, exist_ok=True)
  style = {"svg.hashsalt": "alignjax", "font.size": 11}
  with matplotlib.rc_context(style):
    size = (1.5 + 5.5 * len(panels), 4.8)
    figure = Figure(figsize=size, layout="constrained")
    alike = len({p.y for p in panels}) == 1
    many = figure.subplots(1, len(panels), squeeze=False, sharey=alike)[0]
    for axes, panel in zip(many, panels):
      for c in panel.curves:
        axes.plot(
          c.x,
          c.y,
          linestyle=c.style or "none",
          color=COLOURS[c.colour],
          marker=c.marker,
          markersize=5,
          linewidth=1.6,
          label=c.name or None,
        )
      if panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
      axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
      axes.grid(alpha=0.3)
      axes.spines[["top", "right"]].set_visible(False)
      axes.tick_params(labelleft=True)
      if any(c.name for c in panel.curves):
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, format="svg", metadata={"Date": None})
