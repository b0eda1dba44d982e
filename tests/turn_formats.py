"""The turn formats that models were published with, and what they train.

The templates are this project's own; each renders its format's characters, with
a tokenizer of its family's shape.
"""

import functools
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from turn_format_tokenizers import TOKENIZERS

from alignjax.data.chat import encode, prompt_ids
from alignjax.data.templates import BUILT_IN, load_template
from alignjax.types import Example

FOLDER = Path(__file__).parent / "fixtures" / "turn_formats"


class Format(NamedTuple):
  """A published format: its template, and what follows an answer.

  before: what the model writes in front of an answer. trims: whether the
  template trims answers. tokenizers: names in `TOKENIZERS`.
  """

  source: str
  end: str
  tokenizers: tuple[str, ...]
  trims: bool = True
  before: str = ""


def own(name):
  return (FOLDER / f"{name}.jinja").read_text("utf-8")


IM_END, V3 = "<|im_end|>", own("mistral_v3")
FORMATS = {
  "llama3": Format(BUILT_IN["llama3"], "<|eot_id|>", ("llama3",)),
  "llama3_1": Format(own("llama3_1"), "<|eot_id|>", ("llama3",)),
  "qwen2_5": Format(own("qwen2_5"), IM_END, ("qwen",), False),
  "smollm2": Format(own("smollm2"), IM_END, ("smollm",), False),
  "gemma2": Format(own("gemma2"), "<end_of_turn>", ("gemma",)),
  "gemma3": Format(BUILT_IN["gemma"], "<end_of_turn>", ("gemma",)),
  "mistral_v1": Format(
    BUILT_IN["mistral"], "</s>", ("llama2", "unigram"), before=" "
  ),
  "mistral_v3": Format(V3, "</s>", ("mistral",), before=" "),
  "zephyr": Format(BUILT_IN["zephyr"], "</s>", ("llama2", "unigram"), False),
}
CASES = [(name, t) for name, f in FORMATS.items() for t in f.tokenizers]


@functools.cache
def loaded(name, tokenizer):
  tokenizer = TOKENIZERS[tokenizer]()
  tokenizer.chat_template = FORMATS[name].source
  return tokenizer, load_template(None, tokenizer)


def filled(turns, name):
  """The turns as a format takes them, its own end token for {end}."""
  end = FORMATS[name].end
  turns = [m | {"content": m["content"].replace("{end}", end)} for m in turns]
  return [m for m in turns if m["role"] != "system" or name != "gemma2"]


def coded(turns, name, kind, train_on="assistant", **fields):
  example = Example(tuple(turns), "", "f:1", fields)
  return encode(example, *loaded(name, kind), train_on=train_on)


def stretches(row, tokenizer):
  """(start, end, text) of each run of trained tokens."""
  ids, on = row.tokens.tolist(), [*(row.completions > 0).tolist(), False]
  borders = [i for i in range(len(ids) + 1) if on[i] != on[i - 1]]
  found = []
  for start, end in zip(borders[::2], borders[1::2]):
    # What it adds to the text before it: alone, it could lose a first space.
    before, after = tokenizer.decode(ids[:start]), tokenizer.decode(ids[:end])
    assert after.startswith(before)
    found.append((start, end, after[len(before) :]))
  return found


def said(turn, name, kind):
  """What is to be trained of a turn: its text as rendered, and its end."""
  format, text = FORMATS[name], turn["content"]
  if kind == "qwen":
    text = unicodedata.normalize("NFC", text)
  return format.before + (text.strip() if format.trims else text) + format.end


def check(turns, name, kind, train_on="assistant", trained=None, **fields):
  """Trained is what the assistant says; sampling sees what training saw.

  trained: the turns that are, by default all of the assistant's.
  """
  tokenizer, template = loaded(name, kind)
  row = coded(turns, name, kind, train_on, **fields)
  if trained is None:
    trained = [i for i, m in enumerate(turns) if m["role"] == "assistant"]
  found = stretches(row, tokenizer)
  assert len(found) == len(trained)
  for turn, (start, end, text) in zip(trained, found):
    wanted, first = said(turns[turn], name, kind), row.tokens[start]
    merged = text.removesuffix(wanted)
    assert text.endswith(wanted) and merged in ("", "\n"), (text, wanted)
    # The one exception: an answer's first white space, where the template keeps
    # it, may share a token with the line break of the header. It is trained.
    if merged:
      assert re.fullmatch(r"\n\s+", tokenizer.decode([first]))
    elif turn == len(turns) - 1:
      prompt = prompt_ids(turns[:turn], tokenizer, template)
      assert row.tokens[:start].tolist() == prompt
    assert row.tokens[end - 1] == tokenizer.convert_tokens_to_ids(template.end)
  return row
