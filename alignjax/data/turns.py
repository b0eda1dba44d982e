"""The pieces that rows are made of: turns, texts, weights, ids and their keys.

Whatever breaks a rule here is refused with the row's origin (`BadRow`).
"""

import numbers
import re
from collections.abc import Mapping, Sequence

from alignjax.data.bad import BadRow

_ROLES = ("system", "user", "assistant")
_SHAREGPT = {
  "system": "system",
  "human": "user",
  "user": "user",
  "gpt": "assistant",
  "assistant": "assistant",
}
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_TRANSCRIPT = re.compile(r"\s*Human:.*?\n\nAssistant:", re.DOTALL)


def recognise(row: dict, origin: str, formats: Mapping) -> str:
  """The first of the formats whose keys a row has.

  formats: name → keys; `a|b` is a key of either name.
  """
  for name, wanted in formats.items():
    if all(find(row, key) is not None for key in wanted):
      return name
  sets = "; ".join(f"{' + '.join(v)} ({k})" for k, v in formats.items())
  raise BadRow(
    origin,
    "missing field",
    f"cannot tell what this row is\n"
    f"keys found: {_keys(row)}\n"
    f"legal sets of keys: {sets}\n"
    "rename the keys, or read it by a function of your own (reader)",
  )


def is_one(row: dict, formats: Mapping) -> bool:
  """Whether a row has the keys of one of the formats."""
  return any(
    all(find(row, key) is not None for key in wanted)
    for wanted in formats.values()
  )


def require(row: dict, origin: str, format: str, formats: Mapping) -> None:
  """Raises where a row has not the keys of a format that was asked for."""
  if format not in formats:
    raise ValueError(
      f"unknown row format {format!r}; legal: {', '.join(formats)}"
    )
  missing = [key for key in formats[format] if find(row, key) is None]
  if missing:
    raise BadRow(
      origin,
      "missing field",
      f"a row of format {format!r} needs {', '.join(missing)}\n"
      f"keys found: {_keys(row)}",
    )


def find(row: dict, key: str) -> str | None:
  """Which of the names `a|b` a row has, None where it has neither."""
  return next((name for name in key.split("|") if name in row), None)


def _keys(row: dict) -> str:
  """Its keys for a message; of a table without a header they are cells."""
  keys = ", ".join(map(str, row)) or "none"
  return keys if len(keys) <= 200 else f"{keys[:200]!r} … (is this a header?)"


def once(id, origin: str, seen: dict) -> None:
  """Notes an id, where a row has one; it may stand once."""
  if not isinstance(id, str | int) or id == "":
    return
  first = seen.setdefault(id, origin)
  if first != origin:
    raise BadRow(
      origin,
      "duplicate id",
      f"id {id!r} stands in {first} already\n"
      "remove one of the two, or rename the field where it is no key",
    )


def message(role: str, content: str) -> dict:
  """One turn."""
  return {"role": role, "content": content}


def text(value, key: str, origin: str) -> str:
  """The same, if it is a text that can be kept as UTF-8."""
  if not isinstance(value, str):
    raise BadRow(
      origin,
      "wrong type",
      f"{key!r} must be a string, this is {type(value).__name__}: "
      f"{repr(value)[:60]}",
    )
  try:
    value.encode("utf-8")
  except UnicodeEncodeError as e:
    raise BadRow(
      origin,
      "lone surrogate",
      f"{key!r} has half a surrogate pair at character {e.start}, "
      "which is no text\nrepair or remove the row",
    ) from e
  if "\0" in value:
    raise BadRow(
      origin,
      "NUL",
      f"{key!r} has a NUL at character {value.index(chr(0))}\n"
      "repair or remove the row",
    )
  return value


def weight(value, origin: str) -> float:
  """What a row counts in the loss."""
  number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if number and 1e-37 < value < 1e38:  # as float32, in which weights are kept
    return float(value)
  raise BadRow(
    origin,
    "wrong type",
    f"'weight' must be a finite number above 0, this is "
    f"{type(value).__name__}: {repr(value)[:60]}\n"
    "it is what the row counts in the loss; rename the field where it is not",
  )


def system(row: dict, origin: str) -> list[dict]:
  """The system turn that a text beside the turns gives, or none."""
  said = text(row.get("system") or "", "system", origin)
  return [message("system", said)] if said.strip() else []


def instruction(row: dict, origin: str) -> list[dict]:
  """The prompt of an Alpaca row: its input follows after a blank line."""
  ask = text(row["instruction"], "instruction", origin)
  given = text(row.get("input") or "", "input", origin)
  if given.strip():
    ask = f"{ask}\n\n{given}" if ask.strip() else given
  return [*system(row, origin), message("user", ask)]


def side(row: dict, key: str, role: str, origin: str) -> list[dict]:
  """A text as the turn of a role, or a list of turns as it stands."""
  if isinstance(row[key], str):
    return [message(role, text(row[key], key, origin))]
  return messages(row[key], "role", "content", origin)


def messages(value, who: str, what: str, origin: str) -> list[dict]:
  """A list of {who: role, what: text} as turns, with our names of roles."""
  if not isinstance(value, list | tuple) or not value:
    reason = f"turns must be a non-empty list of {{{who!r}, {what!r}}}, "
    reason += f"this is {type(value).__name__}: {repr(value)[:60]}"
    if isinstance(value, str):
      reason += "\nturns do not fit a cell of text; write JSON Lines or Parquet"
    raise BadRow(origin, "wrong type", reason)
  known = _SHAREGPT if who == "from" else dict(zip(_ROLES, _ROLES))
  made = []
  for number, turn in enumerate(value):
    if not isinstance(turn, dict) or who not in turn or what not in turn:
      raise BadRow(
        origin,
        "missing field" if isinstance(turn, dict) else "wrong type",
        f"turn {number} must have {who!r} and {what!r}, this is "
        f"{repr(turn)[:80]}",
      )
    role = turn[who]
    if role in ("tool", "function") or turn.get("tool_calls"):
      raise BadRow(
        origin,
        "tools",
        f"turn {number} is about tools, which are not supported yet\n"
        "remove the row, or write the call and its result as plain text",
      )
    if not isinstance(role, str) or role not in known:
      raise BadRow(
        origin,
        "unknown role",
        f"unknown role {role!r} in turn {number}; legal: {', '.join(known)}",
      )
    content = text(turn[what], f"turn {number} {what}", origin)
    made.append(message(known[role], content))
  return made


def is_transcript(value) -> bool:
  """Whether a value is a text of `Human:` and `Assistant:` paragraphs."""
  return isinstance(value, str) and _TRANSCRIPT.match(value) is not None


def transcript(value: str, key: str, origin: str) -> list[dict]:
  """The turns of a transcript, the white space around them left out.

  Each begins a paragraph with its speaker, as in Bai et al. 2022
  (https://arxiv.org/abs/2204.05862).
  """
  _, *parts = _SPEAKER.split(text(value, key, origin))
  roles = {"Human": "user", "Assistant": "assistant"}
  return [
    message(roles[who], said.strip())
    for who, said in zip(parts[::2], parts[1::2])
  ]


def check(turns: Sequence[dict], origin: str) -> None:
  """Raises unless turns alternate and end with an answer."""
  roles = [m["role"] for m in turns]
  spoken = roles[1:] if roles[0] == "system" else roles
  for number, role in enumerate(spoken):
    due = "assistant" if number % 2 else "user"
    if role != due:
      raise BadRow(
        origin,
        "broken alternation",
        f"turns are {', '.join(roles)}\n"
        "the rule: system at most once and first, then user and assistant in "
        f"turn; here {role!r} stands where {due!r} is due\n"
        "merge neighbouring turns of one speaker, or remove the row",
      )
  if not spoken or spoken[-1] != "assistant":
    raise BadRow(
      origin,
      "broken alternation",
      f"the last turn is {roles[-1]!r}, it must be 'assistant': "
      "there is nothing to learn after it\n"
      "remove the last turn or add the answer",
    )
  if not turns[-1]["content"].strip():
    raise BadRow(
      origin,
      "empty completion",
      "empty completion: the last assistant turn has no text\n"
      "write the answer or remove the row",
    )
