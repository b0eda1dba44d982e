"""Tokens of a row as training would have them."""

from alignjax.data.bad import BadRow
from alignjax.data.chat import encode, prompt_ids, spell_turns
from alignjax.data.said import Said
from alignjax.data.spelling import Unfit
from alignjax.data.templates import BUILT_IN, load_template
from alignjax.data.tokenizer import load_tokenizer
from alignjax.types import Example


class Tokens:
  """Counts tokens with the tokenizer of a folder.

  template: a built-in name or a .jinja file, None for the tokenizer's own.
  """

  def __init__(self, folder: str, template: str | None = None):
    self._tokenizer = load_tokenizer(folder)
    if self._tokenizer is None:
      raise ValueError(
        f"--tokenizer {folder} has no tokenizer\n"
        "give a Hugging Face folder with a tokenizer.json"
      )
    own = self._tokenizer.chat_template
    self._template = None
    if template or own:
      self._template = load_template(template, self._tokenizer)

  def __call__(self, said: Said, origin: str) -> int:
    """Of the row's longest conversation; raises BadRow where it cannot be."""
    prompt = list(said.prompt)
    try:
      if said.kind == "text":
        text = said.answers[0][0]["content"]
        example = Example((), text, origin, {})
        made = encode(example, self._tokenizer, None, train_on="all")
        return len(made.tokens)
      if self._template is None:
        raise ValueError(
          "the tokenizer has no chat template, and rows are conversations\n"
          f"choose one by --template: {', '.join(BUILT_IN)}"
        )
      if said.kind == "question":
        return len(prompt_ids(prompt, self._tokenizer, self._template))
      return max(self._size([*prompt, *answer]) for answer in said.answers)
    except Unfit as e:
      raise BadRow(origin, e.kind, str(e)) from e

  def _size(self, turns: list[dict]) -> int:
    last = [len(turns) - 1]
    ids, _ = spell_turns(turns, last, self._tokenizer, self._template)
    return len(ids)
