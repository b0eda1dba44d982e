"""What a row says, whichever way it is written: a prompt and its answers."""

from collections.abc import Sequence
from typing import NamedTuple

from alignjax.data import formats, preferences, turns
from alignjax.data.preferences import Judged


class Said(NamedTuple):
  """The turns of a row, and how it had them.

  kind: "conversation", "text", "pairs", "judged answer" or "question".
  format: a key of `formats.FORMATS` or `preferences.FORMATS`; "prompt" of a
    question.
  prompt: the turns before an answer, () of a text.
  answers: the turns of each, a list's distinct ones, the best or chosen first;
    () of a question. A text is one turn without a role.
  labels: what the row says of its answers, as it is read.
  """

  kind: str
  format: str
  prompt: tuple[dict, ...]
  answers: tuple[tuple[dict, ...], ...]
  labels: tuple[float, ...] = ()


def said(row: dict, origin: str) -> Said:
  """A row of any format; raises BadRow. A row of a prompt alone is a question.

  The answer of a conversation is its last turn.
  """
  if turns.is_one(row, preferences.FORMATS):
    return _compared(row, origin)
  if "prompt" in row and not turns.is_one(row, formats.FORMATS):
    asked = formats.question(row, origin).messages
    return Said("question", "prompt", asked, ())
  name = formats.recognise(row, origin)
  found = formats.example(row, origin, name)
  if not found.messages:
    return Said("text", name, (), (({"role": "", "content": found.text},),))
  *before, last = found.messages
  return Said("conversation", name, tuple(before), ((last,),))


def joined(messages: Sequence[dict]) -> str:
  """What turns say, a line each; the system's left out, which many share."""
  return "\n".join(m["content"] for m in messages if m["role"] != "system")


def _compared(row: dict, origin: str) -> Said:
  name = preferences.recognise(row, origin)
  made = preferences.read_row(row, origin, name)
  labels = tuple(float(item.label) for item in made)
  first = made[0]
  if isinstance(first, Judged):
    answers = (first.completion,)
    return Said("judged answer", name, first.prompt, answers, labels)
  # A list's first pair has its best side first; each side counts once.
  sides: dict[str, tuple[dict, ...]] = {}
  for item in made:
    for side in item.sides:
      sides.setdefault(repr(side), side)
  return Said("pairs", name, first.prompt, tuple(sides.values()), labels)
