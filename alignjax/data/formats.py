"""What a row means: five row formats, recognised by their keys.

A conversation is an optional system turn, then user and assistant in turn, the
last one assistant. What breaks that is refused with the row's origin.
"""

import json
from collections.abc import Callable, Iterable, Iterator

from alignjax.data import turns
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


def recognise(row: dict, origin: str) -> str:
  """The name of a row's format, by its keys; see `FORMATS`.

  Raises ValueError with the keys found and the legal sets.
  """
  return turns.recognise(row, origin, FORMATS)


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
  turns.require(row, origin, name, FORMATS)
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
    text = turns.text(row["text"], "text", origin)
    if not text.strip():
      raise BadRow(origin, "empty text", "empty text; remove the row")
  elif name == "messages":
    messages = turns.messages(row["messages"], "role", "content", origin)
  elif name == "sharegpt":
    used.add("system")
    messages = turns.system(row, origin)
    messages += turns.messages(row["conversations"], "from", "value", origin)
  elif name == "alpaca":
    used |= {"input", "system"}
    answer = turns.text(row["output"], "output", origin)
    messages = turns.instruction(row, origin)
    messages.append(turns.message("assistant", answer))
  else:
    prompt = turns.side(row, "prompt", "user", origin)
    messages = prompt + turns.side(row, "completion", "assistant", origin)
    extra = {"prompt_turns": len(prompt)}
  if name != "text":
    turns.check(messages, origin)
  if row.get("weight") is not None:
    extra["weight"] = turns.weight(row["weight"], origin)
  fields = {k: v for k, v in row.items() if k not in used | {"weight"}} | extra
  return Example(tuple(messages), text, origin, fields)


def question(row: dict, origin: str) -> Example:
  """A row that has a prompt and no answer: turns that end with the user's."""
  messages = turns.side(row, "prompt", "user", origin)
  # An answer makes it a conversation like others, whose rules it must keep.
  turns.check([*messages, turns.message("assistant", "-")], origin)
  fields = {k: v for k, v in row.items() if k != "prompt"}
  return Example(tuple(messages), "", origin, fields)


def examples(
  rows: Iterable[tuple[dict, str]],
  format: str | None = None,
  counts: dict[str, int] | None = None,
  on_bad: Callable[[BadRow], None] = stop,
  questions: bool = False,
) -> Iterator[Example]:
  """`example` of each (row, origin); an `id` may stand once.

  questions: rows may have a prompt alone (`question`).

  counts: where given, the number of rows of each format is added into it while
    the rows go by, for a report.
  on_bad: called with each bad row; the next one follows where it returns.
  """
  seen: dict[str | int, str] = {}
  for row, origin in rows:
    try:
      if questions and format is None and _asks(row):
        name, made = "prompt", question(row, origin)
      else:
        name = recognise(row, origin) if format is None else format
        made = example(row, origin, name)
      turns.once(row.get("id"), origin, seen)
    except BadRow as e:
      raw = json.dumps(row, ensure_ascii=False, default=str)
      on_bad(BadRow(origin, e.kind, e.reason, raw))
      continue
    if counts is not None:
      counts[name] = counts.get(name, 0) + 1
    yield made


def _asks(row: dict) -> bool:
  """Whether a row has a prompt, and no key of another format."""
  others = {key for keys in FORMATS.values() for key in keys} - {"prompt"}
  return "prompt" in row and not others & set(row)
