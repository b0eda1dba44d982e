"""What a row of the data is, and how its completions lie in a batch."""

from typing import NamedTuple

from ml_collections import ConfigDict

from alignjax.data.compared import PAIRS
from alignjax.data.layouts import LAYOUTS, Apart, Mismatched, Prompted
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
  if found.rows != "examples":
    legal = ["assistant", "completion", *["all"] * (found.rows == "pairs")]
    if d.train_on not in legal:
      raise ValueError(
        f"data.train_on = {d.train_on!r}; with data.rows = {found.rows!r} all "
        f"of each completion is trained.\nSet it to one of {', '.join(legal)}."
      )
  return found


def row_parts(config: ConfigDict) -> int:
  """Parts of a row that documents have to themselves, of `loader.Shape`.

  The two answers to a prompt do not see each other: as halves of a row they are
  rows of their own to the model. Packed rows have documents of any length.
  """
  of, layout, _ = kind(config)
  two = of in ("pairs", "judged+kl") and layout == "apart"
  return 2 if two and not config.data.packing and not config.rollout else 1


def trains_prompts(config: ConfigDict) -> bool:
  """Whether batches list the prompts of pairs too, in no completion."""
  return kind(config).rows == "pairs" and config.data.train_on == "all"


def check_prompts(config: ConfigDict, read: bool) -> None:
  """Raises ValueError where prompts are listed and not read, or the reverse.

  read: whether a loss reads the field "prompt".
  """
  if read and not trains_prompts(config):
    raise ValueError(
      f"A loss is over prompts of pairs too; data.rows = {config.data.rows!r} "
      f"and data.train_on = {config.data.train_on!r}\nlist none. Set "
      "data.rows=pairs and data.train_on=all, or use another kind of it."
    )
  if trains_prompts(config) and not read:
    raise ValueError(
      "data.train_on = 'all' lists the prompts of pairs too, and no loss reads "
      "them.\nSet data.train_on=assistant, or use one that does: orpo with "
      "kind=with_prompt."
    )


def lying(rows: Rows, config: ConfigDict) -> Table:
  """Tokenised rows as they lie in a batch, not packed yet."""
  is_of, layout, _ = kind(config)
  if is_of == "examples":
    return rows
  found = _answers(rows, config)
  found = Apart(found) if layout == "apart" else found
  return Prompted(found, rows.prompts) if trains_prompts(config) else found


def saving(rows: Rows, config: ConfigDict) -> tuple[int, int]:
  """Tokens of the layouts "apart" and "shared"; no example has two."""
  found = _answers(rows, config)
  return int(Apart(found).lengths.sum()), int(found.lengths.sum())


def _answers(rows: Rows, config: ConfigDict) -> Table:
  if kind(config).rows == "judged+kl":
    return Mismatched(rows, config.seed, config.data.max_length)
  return rows
