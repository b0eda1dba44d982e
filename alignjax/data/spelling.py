"""Text to ids and offsets, with control tokens only where they are meant."""

import functools
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any


class Unfit(ValueError):
  """Why a text cannot be trained on; `kind` is one of those in `bad`."""

  def __init__(self, kind: str, reason: str):
    super().__init__(reason)
    self.kind = kind


def added_tokens(tokenizer: Any) -> dict[int, Any]:
  """id -> `tokenizers.AddedToken` of what is matched before the model runs."""
  added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
  return {i: token for i, token in added.items() if token.content}


def control_tokens(tokenizer: Any) -> dict[str, int]:
  """Text -> id of the tokens that steer a model: those marked special."""
  return _control(tokenizer, len(tokenizer))[0]


def control_pattern(tokenizer: Any) -> re.Pattern:
  """Finds control tokens as the tokenizer does: leftmost, then longest."""
  return _control(tokenizer, len(tokenizer))[1]


@functools.lru_cache(maxsize=2)  # some tokenizers list 6000, at 2 µs each
def _control(tokenizer: Any, size: int) -> tuple[dict[str, int], re.Pattern]:
  """size: of the vocabulary; it grows where tokens are added."""
  found = added_tokens(tokenizer)
  known = {t.content: i for i, t in found.items() if t.special}
  longest = sorted(known, key=len, reverse=True)
  return known, re.compile("|".join(map(re.escape, longest)) or "(?!)")


def spare(text: str, count: int) -> list[str]:
  """`count` private-use characters (plane 16) that do not occur in `text`."""
  used = set(text)
  free = (c for c in map(chr, range(0x100000, 0x10FFFE)) if c not in used)
  return list(itertools.islice(free, count))


def spell(
  tokenizer: Any, text: str, quoted: Sequence[tuple[int, int]] = ()
) -> tuple[list[int], list[tuple[int, int]]]:
  """Ids of `text` and the characters [start, end) each one covers.

  quoted: spans that hold what looks like control tokens and is not: they become
    ordinary tokens. Without them the ids are those of
    `tokenizer(text, add_special_tokens=False)`.

  All of the text is tokenised in one call, so merges never depend on where the
  spans are. For that a twin of the tokenizer reads control tokens as ordinary
  text, and the real ones are written as stand-ins it knows.
  Raises Unfit where ordinary text still gives a control token.
  """
  if not quoted:
    out = tokenizer(
      text,
      add_special_tokens=False,
      return_offsets_mapping=True,
      verbose=False,
    )
    return out["input_ids"], _exact(text, out["offset_mapping"])
  known = control_tokens(tokenizer)
  stand_ins = dict(zip(known, spare(text, len(known))))
  twin = _twin(tokenizer, tuple(stand_ins.values()))
  pattern = control_pattern(tokenizer)
  pieces, places, at = [], [], 0  # places: of each new character, in text
  for start, end in [*sorted(quoted), (len(text), len(text))]:
    for found in pattern.finditer(text, at, start):
      pieces += [text[at : found.start()], stand_ins[found.group()]]
      places += range(at, found.start() + 1)
      at = found.end()
    pieces.append(text[at:end])
    places += range(at, end)
    at = end
  places.append(len(text))
  out = twin.encode("".join(pieces), add_special_tokens=False)
  forged = set(out.ids) & set(known.values()) - {tokenizer.unk_token_id}
  if forged:
    raise Unfit(
      "control token",
      "typed text gives the control token "
      f"{tokenizer.convert_ids_to_tokens(min(forged))!r} in this tokenizer\n"
      "remove that text from the row",
    )
  real = {twin.token_to_id(s): known[t] for t, s in stand_ins.items()}
  ids = [real.get(i, i) for i in out.ids]
  offsets = _exact("".join(pieces), out.offsets)
  return ids, [(places[start], places[end]) for start, end in offsets]


def _exact(
  text: str, offsets: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
  """Offsets by character where a tokenizer is vague about them.

  Unigram names for each byte of a run of unknown characters the whole run.
  """
  found = []
  for (start, end), group in itertools.groupby(offsets):
    count, run = len(list(group)), text[start:end]
    if len(run) > 1 and len(run.encode()) == count > 1:
      own = [i for i, char in enumerate(run, start) for _ in char.encode()]
      found += [(i, i + 1) for i in own]
    else:
      found += [(start, end)] * count
  return found


@functools.lru_cache(maxsize=2)  # a copy of a large vocabulary takes a second
def _twin(tokenizer: Any, stand_ins: tuple[str, ...]) -> Any:
  """The tokenizer, blind to its control tokens, knowing their stand-ins."""
  from tokenizers import AddedToken, Tokenizer

  state = json.loads(tokenizer.backend_tokenizer.to_str())
  state |= {"truncation": None, "padding": None}
  twin = Tokenizer.from_str(json.dumps(state))
  twin.encode_special_tokens = True
  special = [t for t in added_tokens(tokenizer).values() if t.special]
  twin.add_tokens(
    [
      AddedToken(
        stand_in,
        normalized=False,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        single_word=token.single_word,
      )
      for token, stand_in in zip(special, stand_ins)
    ]
  )
  return twin
