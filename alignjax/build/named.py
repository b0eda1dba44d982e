"""Functions that a config names: files are their names, keywords their options.

The keyword-only arguments of a function are all its options, so an entry of a
config gives each of them and nothing else.
"""

import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType


def function(
  module: ModuleType,
  name: str,
  options: Mapping,
  *,
  where: str,
  first: Sequence[str],
) -> partial:
  """The module's function of that name with its options.

  where: the entry of the config, for messages. first: what the positional
    arguments of such functions are called.

  Raises ValueError for names and options there are not, and for those missing.
  """
  legal = [k for k, f in vars(module).items() if _is_legal(f, module, first)]
  short = module.__name__
  for room in ("alignjax.losses.", "alignjax.ops.", "alignjax."):
    short = short.removeprefix(room)
  if name not in legal:
    raise ValueError(
      f"{where}: {short} has no kind {name!r}; one of {', '.join(legal)}."
    )
  found = getattr(module, name)
  wanted = [
    p.name
    for p in inspect.signature(found).parameters.values()
    if p.kind is p.KEYWORD_ONLY
  ]
  if sorted(options) != sorted(wanted):
    raise ValueError(
      f"{where}: {short} takes {', '.join(wanted) or 'no options'}; "
      f"the config gives {', '.join(options) or 'none'}."
    )
  return partial(found, **options)


def _is_legal(found: object, module: ModuleType, first: Sequence[str]) -> bool:
  if not inspect.isfunction(found) or found.__name__.startswith("_"):
    return False
  own = found.__module__ == module.__name__
  names = list(inspect.signature(found).parameters)
  return own and names[: len(first)] == list(first)


def imported(path: str, where: str) -> ModuleType:
  """The user's own module at an import path."""
  try:
    return importlib.import_module(path)
  except ModuleNotFoundError as error:
    raise ValueError(f"{where}: cannot import {path!r}: {error}.") from None


def split(entry: Mapping, where: str) -> tuple[str, float, dict]:
  """(name, weight, options) of an entry."""
  options = dict(entry)
  try:
    name, weight = options.pop("name"), float(options.pop("weight"))
  except KeyError as error:
    raise ValueError(f"{where} needs name and weight; no {error}.") from None
  if not math.isfinite(weight):
    raise ValueError(f"{where}.weight = {weight}; it must be a finite number.")
  return name, weight, options
