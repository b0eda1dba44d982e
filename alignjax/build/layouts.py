"""What a row of the data is, and how its completions lie in a batch."""

from typing import NamedTuple

from ml_collections import ConfigDict

from alignjax.data.compared import PAIRS
from alignjax.data.layouts import LAYOUTS, Apart, Mismatched
from alignjax.data.loader import Table
from alignjax.data.rows import Rows
from alignjax.data.tokenise import ROWS


class Kind(NamedTuple):
  """Keys of `config.data`.

  rows: what a row is; of `tokenise.ROWS`. layout: of `layouts.LAYOUTS`.
  ranked: which answers of a ranked list make pairs; of `compared.PAIRS`.
  """

  rows: str
  layout: str
  ranked: str


def kind(config: ConfigDict) -> Kind:
  """The kind of a config's rows.

  Raises ValueError for values there are not, or that have no effect.
  """
  d = config.data
  plain = Kind("examples", "apart", "all")
  found = Kind(d.rows, d.layout, d.ranked)
  for key, value, legal in zip(Kind._fields, found, (ROWS, LAYOUTS, PAIRS)):
    if value not in legal:
      raise ValueError(
        f"data.{key} = {value!r} is unknown; one of {', '.join(legal)}."
      )
  if found.rows == "examples" and found != plain:
    key = "layout" if found.layout != plain.layout else "ranked"
    raise ValueError(
      f"data.{key} = {getattr(found, key)!r} is for answers that are compared "
      f"or judged.\nSet data.rows to one of {', '.join(ROWS[1:])}, or "
      f"data.{key}={getattr(plain, key)}."
    )
  if found.rows != "examples" and d.train_on not in ("assistant", "completion"):
    raise ValueError(
      f"data.train_on = {d.train_on!r}; with data.rows = {found.rows!r} all of "
      "each completion is trained.\nSet data.train_on=assistant."
    )
  return found


def lying(rows: Rows, config: ConfigDict) -> Table:
  """Tokenised rows as they lie in a batch, not packed yet."""
  is_of, layout, _ = kind(config)
  if is_of == "examples":
    return rows
  rows = _answers(rows, config)
  return Apart(rows) if layout == "apart" else rows


def saving(rows: Rows, config: ConfigDict) -> tuple[int, int]:
  """Tokens of the layouts "apart" and "shared"; no example has two."""
  found = _answers(rows, config)
  return int(Apart(found).lengths.sum()), int(found.lengths.sum())


def _answers(rows: Rows, config: ConfigDict) -> Table:
  if kind(config).rows == "judged+kl":
    return Mismatched(rows, config.seed, config.data.max_length)
  return rows
