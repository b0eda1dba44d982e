"""What a row means: five row formats, recognised by their keys.

A conversation is an optional system turn, then user and assistant in turn, the
last one assistant. What breaks that is refused with the row's origin.
"""

import json
import numbers
from collections.abc import Callable, Iterable, Iterator

from alignjax.data.bad import BadRow, stop
from alignjax.types import Example

# Format -> the keys a row must have, tried in this order.
FORMATS = {
  "messages": ("messages",),
  "sharegpt": ("conversations",),
  "prompt/completion": ("prompt", "completion"),
  "alpaca": ("instruction", "output"),
  "text": ("text",),
}
_ROLES = ("system", "user", "assistant")
_SHAREGPT = {
  "system": "system",
  "human": "user",
  "user": "user",
  "gpt": "assistant",
  "assistant": "assistant",
}


def recognise(row: dict, origin: str) -> str:
  """The name of a row's format, by its keys; see `FORMATS`.

  Raises ValueError with the keys found and the legal sets.
  """
  for name, keys in FORMATS.items():
    if all(key in row for key in keys):
      return name
  sets = "; ".join(f"{' + '.join(v)} ({k})" for k, v in FORMATS.items())
  raise BadRow(
    origin,
    "missing field",
    f"cannot tell what this row is\n"
    f"keys found: {_keys(row)}\n"
    f"legal sets of keys: {sets}\n"
    "rename the keys, or read it by a function of your own (reader)",
  )


def _keys(row: dict) -> str:
  """Its keys for a message; of a table without a header they are cells."""
  keys = ", ".join(map(str, row)) or "none"
  return keys if len(keys) <= 200 else f"{keys[:200]!r} … (is this a header?)"


def example(row: dict, origin: str, format: str | None = None) -> Example:
  """One row as an `Example`; keys the format does not use go to `fields`.

  format: a key of `FORMATS`, None to recognise it. An Alpaca `input` follows
    the instruction after a blank line. A `system` text beside an Alpaca or
    ShareGPT row becomes the system turn. prompt/completion rows note the number
    of turns that came from the prompt as `fields["prompt_turns"]`.
    `fields["weight"]` is what the row counts in the loss, where it says so.

  Raises ValueError naming origin, rule and remedy.
  """
  name = recognise(row, origin) if format is None else format
  if name not in FORMATS:
    raise ValueError(
      f"unknown row format {name!r}; legal: {', '.join(FORMATS)}"
    )
  missing = [key for key in FORMATS[name] if key not in row]
  if missing:
    raise BadRow(
      origin,
      "missing field",
      f"a row of format {name!r} needs {', '.join(missing)}\n"
      f"keys found: {_keys(row)}",
    )
  if isinstance(row.get("label"), bool):
    raise BadRow(
      origin,
      "judged answer",
      f"label = {row['label']} judges this answer, and what is trained here is "
      "imitated\nremove rows with label false, and the key from the others",
    )
  used = set(FORMATS[name])
  extra = {}
  messages, text = [], ""
  if name == "text":
    text = _string(row["text"], "text", origin)
    if not text.strip():
      raise BadRow(origin, "empty text", "empty text; remove the row")
  elif name == "messages":
    messages = _turns(row["messages"], "role", "content", origin)
  elif name == "sharegpt":
    used.add("system")
    messages = _system(row, origin)
    messages += _turns(row["conversations"], "from", "value", origin)
  elif name == "alpaca":
    used |= {"input", "system"}
    ask = _string(row["instruction"], "instruction", origin)
    given = _string(row.get("input") or "", "input", origin)
    if given.strip():
      ask = f"{ask}\n\n{given}" if ask.strip() else given
    answer = _string(row["output"], "output", origin)
    messages = _system(row, origin)
    messages += [_turn("user", ask), _turn("assistant", answer)]
  else:
    prompt = _side(row, "prompt", "user", origin)
    messages = prompt + _side(row, "completion", "assistant", origin)
    extra = {"prompt_turns": len(prompt)}
  if name != "text":
    _check(messages, origin)
  if row.get("weight") is not None:
    extra["weight"] = _weight(row["weight"], origin)
  fields = {k: v for k, v in row.items() if k not in used | {"weight"}} | extra
  return Example(tuple(messages), text, origin, fields)


def examples(
  rows: Iterable[tuple[dict, str]],
  format: str | None = None,
  counts: dict[str, int] | None = None,
  on_bad: Callable[[BadRow], None] = stop,
) -> Iterator[Example]:
  """`example` of each (row, origin); an `id` may stand once.

  counts: where given, the number of rows of each format is added into it while
    the rows go by, for a report.
  on_bad: called with each bad row; the next one follows where it returns.
  """
  seen: dict[str | int, str] = {}
  for row, origin in rows:
    try:
      name = recognise(row, origin) if format is None else format
      made = example(row, origin, name)
      _once(row.get("id"), origin, seen)
    except BadRow as e:
      raw = json.dumps(row, ensure_ascii=False, default=str)
      on_bad(BadRow(origin, e.kind, e.reason, raw))
      continue
    if counts is not None:
      counts[name] = counts.get(name, 0) + 1
    yield made


def _once(id, origin: str, seen: dict) -> None:
  """Notes an id, where a row has one."""
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


def _turn(role: str, content: str) -> dict:
  return {"role": role, "content": content}


def _string(value, key: str, origin: str) -> str:
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


def _weight(value, origin: str) -> float:
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


def _system(row: dict, origin: str) -> list[dict]:
  text = _string(row.get("system") or "", "system", origin)
  return [_turn("system", text)] if text.strip() else []


def _side(row: dict, key: str, role: str, origin: str) -> list[dict]:
  if isinstance(row[key], str):
    return [_turn(role, _string(row[key], key, origin))]
  return _turns(row[key], "role", "content", origin)


def _turns(value, who: str, what: str, origin: str) -> list[dict]:
  if not isinstance(value, list | tuple) or not value:
    reason = f"turns must be a non-empty list of {{{who!r}, {what!r}}}, "
    reason += f"this is {type(value).__name__}: {repr(value)[:60]}"
    if isinstance(value, str):
      reason += "\nturns do not fit a cell of text; write JSON Lines or Parquet"
    raise BadRow(origin, "wrong type", reason)
  turns = []
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
    known = _SHAREGPT if who == "from" else dict(zip(_ROLES, _ROLES))
    if not isinstance(role, str) or role not in known:
      raise BadRow(
        origin,
        "unknown role",
        f"unknown role {role!r} in turn {number}; legal: {', '.join(known)}",
      )
    content = _string(turn[what], f"turn {number} {what}", origin)
    turns.append(_turn(known[role], content))
  return turns


def _check(messages: list[dict], origin: str) -> None:
  roles = [m["role"] for m in messages]
  turns = roles[1:] if roles[0] == "system" else roles
  for number, role in enumerate(turns):
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
  if not turns or turns[-1] != "assistant":
    raise BadRow(
      origin,
      "broken alternation",
      f"the last turn is {roles[-1]!r}, it must be 'assistant': "
      "there is nothing to learn after it\n"
      "remove the last turn or add the answer",
    )
  if not messages[-1]["content"].strip():
    raise BadRow(
      origin,
      "empty completion",
      "empty completion: the last assistant turn has no text\n"
      "write the answer or remove the row",
    )
