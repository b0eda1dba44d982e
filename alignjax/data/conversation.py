"""A conversation as text, with the stretch that each assistant turn fills.

A stretch runs from the end of the generation prompt, where the model takes
over, to the end-of-turn token inclusive; white space a template writes after it
is outside.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alignjax.data.spelling import (
  Unfit,
  control_pattern,
  control_tokens,
  spare,
)
from alignjax.data.templates import Template, render


class Conversation:
  """A conversation whose typed control tokens are told from the template's.

  given: its turns. full: its text as the model is to see it.
  quoted: the spans of `full` that somebody typed and that look like control
    tokens. They are rendered as private-use characters, then put back.
  """

  def __init__(
    self,
    messages: Sequence[Mapping],
    tokenizer: Any,
    template: Template,
    prompt: bool = False,
  ):
    pattern = control_pattern(tokenizer)
    names = list(control_tokens(tokenizer))
    typed = "".join(m["content"] for m in messages)
    self.start, self.end, *stand_ins = spare(typed, 2 + len(names))
    self.template, self.messages, self.typed = template, list(messages), {}
    self.given = self.messages
    if template.end and template.end not in names and template.end in typed:
      raise Unfit(
        "control token",
        f"{template.end!r} is typed in a turn and ends turns; the tokenizer "
        "has it as an ordinary word, so the two cannot be told apart\n"
        "remove it from the row, or make it a special token",
      )
    if pattern.search(typed):
      self.typed = dict(zip(stand_ins, names))
      hide = dict(zip(names, stand_ins))
      self.messages = [
        m | {"content": pattern.sub(lambda t: hide[t[0]], m["content"])}
        for m in self.messages
      ]
    self.full = self.text(self.messages, prompt)
    self.quoted = []
    if self.typed:
      if self.full != render(template, messages, prompt):
        raise Unfit(
          "control token",
          f"the chat template {template.name} acts on control tokens typed in "
          "a turn, so they cannot be told from its own\n"
          "remove them from the row",
        )
      at = 0
      for char in render(template, self.messages, prompt):
        size = len(self.typed.get(char, char))
        if char in self.typed:
          self.quoted.append((at, at + size))
        at += size

  def text(self, messages: Sequence[Mapping], prompt: bool = False) -> str:
    """The text of some turns, typed control tokens put back."""
    shown = render(self.template, messages, prompt)
    return shown.translate(str.maketrans(self.typed)) if self.typed else shown

  def span(self, turn: int) -> tuple[int, int, bool]:
    """(start, end, whether an end token closes it) of a turn in `full`.

    Raises Unfit where the turn is empty, or its span is not to be found.
    """
    if not self.given[turn]["content"].strip():
      raise Unfit(
        "empty completion",
        f"empty completion: turn {turn} would be trained and has no text\n"
        "write the answer, remove the row, or train on the last turn only",
      )
    head = self.text(self.messages[:turn], prompt=True)
    start, end = len(head), self._border(turn, self.end)
    if not self.full.startswith(head):
      # The template writes the turn otherwise than its generation prompt
      # announces (a thinking header, say): the span starts with the content,
      # and with what white space stands after the header.
      self._check_kept(turn, head)
      start = self._border(turn, self.start)
      if start is not None:
        start -= max(0, _blank(self.full[:start]) - _blank(head))
    if start is None or end is None or not self._says(turn, start, end):
      raise Unfit(
        "span not found",
        f"the chat template {self.template.name} rewrites turn {turn}, or "
        "leaves some of it out, so what to train on cannot be found\n"
        "choose another template, or train on the last turn only",
      )
    close, after = self.template.end, self.full[end:].lstrip()
    if close is None or not after.startswith(close):
      return start, end, False
    return start, len(self.full) - len(after) + len(close), True

  def _says(self, turn: int, start: int, end: int) -> bool:
    """Whether `full` has all of a turn there; white space does not count.

    Some templates leave out what an answer thinks before it speaks.
    """
    here, said = self.full[start:end], self.given[turn]["content"]
    return "".join(here.split()).endswith("".join(said.split()))

  def _border(self, turn: int, mark: str) -> int | None:
    """Where the content of a turn starts or ends in `full`, None if unclear.

    A mark is set inside the white space around the content, so that templates
    may trim it; taking it out must give the text without it.
    """
    content = self.messages[turn]["content"]
    text = content.strip()
    marked = mark + text if mark == self.start else text + mark
    messages = list(self.messages)
    messages[turn] = messages[turn] | {
      "content": content.replace(text, marked, 1)
    }
    before, found, after = self.text(messages).partition(mark)
    return len(before) if found and before + after == self.full else None

  def _check_kept(self, turn: int, head: str) -> None:
    """Raises where a prompt shows a text that its answered form has lost."""
    for k, message in enumerate(self.given[:turn]):
      text = message["content"].strip()
      lost = text in head and text not in self.full
      if lost and message["role"] != "assistant":
        raise Unfit(
          "lost turn",
          f"the chat template {self.template.name} shows turn {k} "
          f"({message['role']}) in prompts and leaves it out once turn {turn} "
          "answers them\nchoose another template, or move its text into the "
          "first user turn",
        )


def _blank(text: str) -> int:
  """Characters of white space at the end of a text."""
  return len(text) - len(text.rstrip())
