"""Tokenizers: from a Hugging Face folder, from bytes, or built from parts.

All are `transformers.PreTrainedTokenizerFast`; `gguf.py` rebuilds one from a
GGUF file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alignjax.data.templates import BUILT_IN

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def load_tokenizer(folder: str | Path) -> Any:
  """The tokenizer of a Hugging Face folder, None where it has none.

  Reads local files only and never runs code from the folder. Raises ValueError
  where the files cannot be read as a fast tokenizer.
  """
  folder = Path(folder)
  if not any((folder / name).exists() for name in _FILES):
    return None
  from transformers import AutoTokenizer

  try:
    tokenizer = AutoTokenizer.from_pretrained(
      str(folder), local_files_only=True, trust_remote_code=False
    )
  except Exception as e:  # transformers raises many kinds, few of them clear
    raise ValueError(
      f"cannot read the tokenizer in {folder}: {str(e).splitlines()[0][:160]}\n"
      "it needs a tokenizer.json that transformers can load without code of "
      "its own"
    ) from e
  if not tokenizer.is_fast:
    raise ValueError(
      f"the tokenizer in {folder} has no fast form, which offsets need\n"
      "save it with a tokenizer.json first"
    )
  return tokenizer


def save_tokenizer(tokenizer: Any, folder: str | Path) -> None:
  """Writes tokenizer and chat template so that transformers loads them."""
  tokenizer.save_pretrained(str(folder))


def byte_tokenizer() -> Any:
  """One token a byte (id = the byte), and four control tokens; ChatML.

  Needs no file: it is for models trained from scratch in tests and `:tiny`
  runs. Ids 256 to 259 are <|pad|>, <|bos|>, <|im_start|>, <|im_end|>.
  """
  from tokenizers import decoders, pre_tokenizers
  from tokenizers import models as kinds

  vocabulary = {char: byte for byte, char in enumerate(_byte_letters())}
  control = ("<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>")
  vocabulary |= {token: 256 + i for i, token in enumerate(control)}
  return build(
    kinds.BPE(vocab=vocabulary, merges=[]),
    pre_tokenizer=pre_tokenizers.ByteLevel(
      add_prefix_space=False, use_regex=False
    ),
    decoder=decoders.ByteLevel(),
    control=control,
    names={
      "pad_token": "<|pad|>",
      "bos_token": "<|bos|>",
      "eos_token": "<|im_end|>",
    },
    chat_template=BUILT_IN["chatml"],
  )


def _byte_letters() -> list[str]:
  """The printable letter GPT-2's byte-level vocabularies write for a byte."""
  own = [*range(33, 127), *range(161, 173), *range(174, 256)]
  rest = iter(range(256, 512))
  return [chr(b) if b in own else chr(next(rest)) for b in range(256)]


def build(
  model: Any,
  *,
  names: dict[str, str],
  chat_template: str | None = None,
  control: Iterable[str] = (),
  user_defined: Iterable[str] = (),
  bos: bool = False,
  **parts: Any,
) -> Any:
  """A fast tokenizer from a `tokenizers` model and its surroundings.

  names: bos_token, eos_token, pad_token, unk_token, those there are.
  control, user_defined: tokens of the vocabulary that are matched whole before
    the model sees the text, special ones and ordinary ones.
  bos: put the beginning token in front of a text.
  parts: normalizer, pre_tokenizer, decoder of the `tokenizers` package.
  """
  from tokenizers import AddedToken, Tokenizer, processors
  from transformers import PreTrainedTokenizerFast

  backend = Tokenizer(model)
  for name, part in parts.items():
    if part is not None:
      setattr(backend, name, part)
  backend.add_special_tokens([AddedToken(t, normalized=False) for t in control])
  backend.add_tokens([AddedToken(t, normalized=False) for t in user_defined])
  if bos:
    token = names["bos_token"]
    backend.post_processor = processors.TemplateProcessing(
      single=f"{token} $A",
      pair=f"{token} $A {token} $B",
      special_tokens=[(token, backend.token_to_id(token))],
    )
  tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=backend, clean_up_tokenization_spaces=False, **names
  )
  tokenizer.chat_template = chat_template
  return tokenizer
