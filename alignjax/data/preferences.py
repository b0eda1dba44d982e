"""What a preference row means: pairs, ranked lists and judged answers.

A pair is one prompt and two completions; a judged answer is one prompt and one
completion, and whether it is wanted. The prompt ends with the user, so that the
assistant begins on every side, and is the same on both sides.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from alignjax.data import compared, turns
from alignjax.data.bad import BadRow, stop

# Format -> the keys a row must have, tried in this order; `a|b`: either.
FORMATS = {
  "sharegpt pair": ("conversations", "chosen", "rejected"),
  "alpaca pair": ("instruction", "chosen", "rejected"),
  "pair": ("prompt", "chosen", "rejected"),
  "implicit prompt": ("chosen", "rejected"),
  "ranked": ("prompt", "completions|responses", "ranks|scores"),
  "judged": ("prompt", "completion", "label"),
  "judged messages": ("messages", "label"),
}
# What stands beside the turns and belongs to the prompt.
_BESIDE = {"alpaca pair": {"input", "system"}, "sharegpt pair": {"system"}}


class Preference(NamedTuple):
  """Two completions of one prompt, before tokenisation.

  prompt: turns as in `Example.messages`, the last one the user's.
  sides: the turns of each completion, the assistant's first and last.
  label: probability that the first side is the preferred one.
  margin: by how much, in units of reward; 0.0 where it is not known.
  weight: what the pair counts in the loss.
  origin: as in `Example`; of a ranked list with `#i>j` behind it.
  fields: what else the source knew.
  """

  prompt: tuple[dict, ...]
  sides: tuple[tuple[dict, ...], tuple[dict, ...]]
  label: float
  margin: float
  weight: float
  origin: str
  fields: dict


class Judged(NamedTuple):
  """One completion of a prompt, and whether it is wanted; as `Preference`."""

  prompt: tuple[dict, ...]
  completion: tuple[dict, ...]
  label: bool
  weight: float
  origin: str
  fields: dict


def recognise(row: dict, origin: str) -> str:
  """The name of a row's format, by its keys; see `FORMATS`.

  Raises BadRow with the keys found and the legal sets.
  """
  return turns.recognise(row, origin, FORMATS)


def read_row(
  row: dict, origin: str, format: str | None = None, pairs: str = "all"
) -> tuple[Preference | Judged, ...]:
  """What a row says: one pair, one judged answer, or the pairs of a list.

  A text is one turn: of the user as a prompt, of the assistant as a completion.
  A transcript (`turns.transcript`) is its turns. A side may hold the prompt
  again. Of two whole conversations the prompt is what both begin with, up to
  the last place where both go on with the assistant. Lower ranks and higher
  scores are better; equal ones make no pair.

  A pair's `label` is a number from 0 to 1 (1: `chosen` is preferred for sure),
  a judged answer's is true or false, or 1 or 0; the keys tell the two apart.

  format: a key of `FORMATS`, None to recognise it.
  pairs: of `compared.PAIRS`: each level of a ranked list against every lower
    one, the next one, or the best against the worst alone.
  """
  name = recognise(row, origin) if format is None else format
  turns.require(row, origin, name, FORMATS)
  used = {turns.find(row, key) for key in FORMATS[name]} | {"weight"}
  used |= _BESIDE.get(name, set())
  if not name.startswith("judged"):
    used |= {"label", "margin"}
  weight = 1.0
  if row.get("weight") is not None:
    weight = turns.weight(row["weight"], origin)
  fields = {k: v for k, v in row.items() if k not in used}
  if name.startswith("judged"):
    prompt, completion = compared.read_answer(row, name, origin)
    label = compared.judgement(row["label"], origin)
    return (Judged(prompt, completion, label, weight, origin, fields),)
  if name == "ranked":
    prompt, made = compared.read_ranked(row, origin, pairs)
    return tuple(
      Preference(prompt, sides, 1.0, 0.0, weight, f"{origin}#{at}", fields)
      for sides, at in made
    )
  if name == "implicit prompt":
    prompt, sides = compared.read_conversations(row, origin)
  else:
    prompt = compared.read_prompt(row, name, origin)
    who = "from" if name == "sharegpt pair" else "role"
    chosen, rejected = (
      compared.read_completion(row[key], key, who, prompt, origin)
      for key in ("chosen", "rejected")
    )
    sides = chosen, rejected
  compared.check_differ(sides, "chosen and rejected", origin)
  label, margin = compared.label(row.get("label"), origin), row.get("margin")
  margin = 0.0 if margin is None else compared.number(margin, "margin", origin)
  return (Preference(prompt, sides, label, margin, weight, origin, fields),)


def preferences(
  rows: Iterable[tuple[dict, str]],
  *,
  format: str | None = None,
  pairs: str = "all",
  counts: dict[str, int] | None = None,
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[Preference | Judged]:
  """`read_row` of each (row, origin); a row may stand once, and so may an id.

  A row that says the same of the same completions again is a duplicate; two
  rows that contradict each other are not.

  counts: where given, the number of rows of each format is added into it.
  on_bad: called with each bad row; the next one follows where it returns.
  """
  ids: dict[str | int, str] = {}
  seen: dict[bytes, str] = {}
  for row, origin in rows:
    try:
      name = recognise(row, origin) if format is None else format
      made = read_row(row, origin, name, pairs)
      turns.once(row.get("id"), origin, ids)
      _new(made, origin, seen)
    except BadRow as e:
      raw = json.dumps(row, ensure_ascii=False, default=str)
      on_bad(BadRow(origin, e.kind, e.reason, raw))
      continue
    if counts is not None:
      counts[name] = counts.get(name, 0) + 1
    yield from made


def paired(
  items: Iterable[Preference | Judged],
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[Preference]:
  """The pairs of `preferences`; a judged answer is a bad row."""
  for item in items:
    if isinstance(item, Preference):
      yield item
      continue
    on_bad(
      BadRow(
        item.origin,
        "judged answer",
        "one answer and its label are no pair: nothing is compared\n"
        "train on them by an objective for judged answers (kto), or give "
        "prompt + chosen + rejected",
        json.dumps(item, ensure_ascii=False, default=str),
      )
    )


def judged(
  items: Iterable[Preference | Judged],
  *,
  split: bool,
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[Judged]:
  """The judged answers of `preferences`.

  split: whether a pair gives two, the preferred one wanted and the other not
    (origins with `#first` and `#second` behind them); it is a bad row
    otherwise, and so is one with a label between 0 and 1.
  """
  for item in items:
    if isinstance(item, Judged):
      yield item
    elif split and item.label in (0, 1):
      for k, name in enumerate(("first", "second")):
        yield Judged(
          item.prompt,
          item.sides[k],
          item.label == 1 - k,
          item.weight,
          f"{item.origin}#{name}",
          item.fields,
        )
    else:
      reason = "a pair is no judged answer; split pairs into two answers each, "
      reason += "or give prompt + completion + label"
      if split:
        reason = f"label = {item.label}: neither side is wanted for sure, so "
        reason += "the pair cannot be split\nremove it, or round its label"
      raw = json.dumps(item, ensure_ascii=False, default=str)
      on_bad(BadRow(item.origin, "pair", reason, raw))


def key(*parts: Iterable[dict]) -> bytes:
  """16 bytes that stand for some lists of turns."""
  said = [[[m["role"], m["content"]] for m in part] for part in parts]
  return blake2b(json.dumps(said).encode(), digest_size=16).digest()


def _new(made: tuple, origin: str, seen: dict[bytes, str]) -> None:
  """Notes what a row says; raises where that was said already."""
  keys = []
  for item in made:
    sides = item.sides if isinstance(item, Preference) else (item.completion,)
    keys.append(key(item.prompt, *sides) + repr(item.label).encode())
  first = next((seen[k] for k in keys if k in seen), None)
  if first is not None:
    raise BadRow(
      origin,
      "duplicate",
      f"the same prompt, completions and label stand in {first} already\n"
      "remove one of the two; a row that shall count twice has weight 2",
    )
  seen |= dict.fromkeys(keys, origin)
