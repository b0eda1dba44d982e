"""What raters compare: a prompt and two answers."""

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from alignjax.data import compared, preferences, turns
from alignjax.data.bad import BadRow, stop

GOLD = ("a", "b", "tie")
_KEYS = ("prompt", "a", "b")


class Pair(NamedTuple):
  """Two answers to one prompt.

  prompt: turns, the last one the user's. a, b: turns of the answers.
  models: what answered, of a and of b; "" where it is not known.
  gold: which one is better, of `GOLD`; None where nobody knows.
  origin: file and line. fields: what else the row had, its id among it.
  """

  prompt: tuple[dict, ...]
  a: tuple[dict, ...]
  b: tuple[dict, ...]
  models: tuple[str, str]
  gold: str | None
  origin: str
  fields: dict


def digest(pair: Pair) -> str:
  """sha256 of what is compared: the same whichever answer is called a."""
  sides = sorted(map(_said, (pair.a, pair.b)))
  return sha256("\n".join([_said(pair.prompt), *sides]).encode()).hexdigest()


def _said(said: Iterable[dict]) -> str:
  return json.dumps([[m["role"], m["content"]] for m in said])


def read_row(row: dict, origin: str) -> tuple[Pair, ...]:
  """The pairs of a row: prompt, a, b and, where known, models and gold.

  prompt: a text, or turns that end with the user's. a, b: a text, or turns of
  the assistant's. models: {"a": name, "b": name}. Rows of preferences
  (`preferences.FORMATS`) are pairs too, chosen as a: what is held to be better
  there is no gold here. Raises BadRow.
  """
  if not all(key in row for key in ("a", "b")):
    return _preferred(row, origin)
  turns.require(row, origin, "pair", {"pair": _KEYS})
  prompt = compared.read_prompt(row, "pair", origin)
  a, b = (
    compared.read_completion(row[key], key, "role", prompt, origin)
    for key in ("a", "b")
  )
  compared.check_differ((a, b), "a and b", origin)
  gold = row.get("gold")
  if gold is not None and gold not in GOLD:
    raise BadRow(
      origin,
      "wrong type",
      f"gold = {repr(gold)[:60]} is no answer; legal: {', '.join(GOLD)}\n"
      "leave the key out where it is not known which answer is better",
    )
  used = {*_KEYS, "models", "gold"}
  fields = {k: v for k, v in row.items() if k not in used}
  return (Pair(prompt, a, b, _models(row, origin), gold, origin, fields),)


def _preferred(row: dict, origin: str) -> tuple[Pair, ...]:
  if not {"chosen", "rejected", "ranks", "scores"} & set(row):
    turns.require(row, origin, "pair", {"pair": _KEYS})
  made = preferences.read_row(row, origin)
  if isinstance(made[0], preferences.Judged):
    raise BadRow(
      origin,
      "judged answer",
      "one answer and its label: there is nothing to compare\n"
      "give prompt + a + b, or prompt + chosen + rejected",
    )
  return tuple(
    Pair(
      one.prompt,
      *one.sides,
      ("", ""),
      None,
      one.origin,
      {**one.fields, "label": one.label},
    )
    for one in made
  )


def _models(row: dict, origin: str) -> tuple[str, str]:
  given = row.get("models")
  if given is None:
    return "", ""
  if not isinstance(given, dict) or set(given) != {"a", "b"}:
    raise BadRow(
      origin,
      "wrong type",
      f'models must be {{"a": name, "b": name}}, this is {repr(given)[:60]}\n'
      "leave the key out where it is not known what answered",
    )
  return tuple(turns.text(given[k], f"models {k}", origin) for k in ("a", "b"))


def pairs(
  rows: Iterable[tuple[dict, str]],
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[Pair]:
  """`read_row` of each (row, origin); a pair may stand once, and so may an id.

  on_bad: called with each bad row; the next one follows where it returns.
  """
  ids: dict[str | int, str] = {}
  seen: dict[str, str] = {}
  for row, origin in rows:
    try:
      made = read_row(row, origin)
      turns.once(row.get("id"), origin, ids)
      for one in made:
        first = seen.setdefault(digest(one), one.origin)
        if first != one.origin:
          raise BadRow(
            one.origin,
            "duplicate",
            f"the same prompt and answers stand in {first} already\n"
            "remove one of the two; --overlap N has N raters see each pair",
          )
    except BadRow as e:
      raw = json.dumps(row, ensure_ascii=False, default=str)
      on_bad(BadRow(e.origin, e.kind, e.reason, raw))
      continue
    yield from made
