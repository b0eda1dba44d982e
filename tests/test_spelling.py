import random

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from alignjax.data.spelling import (
  Unfit,
  control_pattern,
  control_tokens,
  spare,
  spell,
)
from alignjax.data.tokenizer import build, byte_tokenizer

TEXT = ["hello world, the end of the world", "say 12 words </s> |im_end|> now"]


def byte_level(control=("<|im_start|>", "<|im_end|>")):
  trainer = BpeTrainer(
    vocab_size=330,
    special_tokens=list(control),
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
  )
  made = Tokenizer(models.BPE())
  made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.train_from_iterator(TEXT, trainer)
  return build(
    made.model,
    pre_tokenizer=made.pre_tokenizer,
    decoder=decoders.ByteLevel(),
    control=control,
    names={"bos_token": control[0], "eos_token": control[1]},
  )


def sentence_piece():
  """Llama 2's shape: a space before the text, bytes for what is unknown."""
  control = ["<unk>", "<s>", "</s>"]
  tokens = control + [f"<0x{b:02X}>" for b in range(256)]
  tokens += ["▁"] + list("abcdefghijklmnopqrstuvwxyz<>/|_") + ["he", "▁he"]
  return build(
    models.BPE(
      vocab={t: i for i, t in enumerate(tokens)},
      merges=[("h", "e"), ("▁", "he")],
      unk_token="<unk>",
      fuse_unk=True,
      byte_fallback=True,
    ),
    normalizer=normalizers.Sequence(
      [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    ),
    decoder=decoders.Sequence(
      [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
      ]
    ),
    control=control,
    bos=True,
    names={"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
  )


KINDS = {"bytes": byte_tokenizer, "bpe": byte_level, "spm": sentence_piece}


@pytest.fixture(params=KINDS)
def tokenizer(request):
  return KINDS[request.param]()


def test_plain_text_is_what_the_tokenizer_gives(tokenizer):
  text = f"hello {tokenizer.eos_token} wörld"
  ids, offsets = spell(tokenizer, text)
  assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
  assert len(offsets) == len(ids)


def test_a_quoted_control_token_becomes_ordinary_tokens(tokenizer):
  end = tokenizer.eos_token
  text = f"a{end}b{end}c"
  at = len("a")
  ids, offsets = spell(tokenizer, text, [(at, at + len(end))])
  assert ids.count(tokenizer.eos_token_id) == 1
  real = ids.index(tokenizer.eos_token_id)
  start = len(f"a{end}b")
  assert offsets[real] == (start, start + len(end))
  assert tokenizer.decode(ids[:real]) == f"a{end}b"


def test_twin_agrees_with_the_tokenizer_where_nothing_is_quoted(tokenizer):
  """An empty quoted span takes the twin's way through the same text."""
  draw = random.Random(0)
  parts = ["hello", " ", "\n", "é", "漢", " the", "12", ".", "<|", "|>", "</"]
  parts += list(control_tokens(tokenizer))
  for _ in range(200):
    text = "".join(draw.choices(parts, k=draw.randint(1, 12)))
    ids, offsets = spell(tokenizer, text, [(0, 0)])
    assert (ids, offsets) == tuple(spell(tokenizer, text)), text


def test_quoted_text_never_gives_control_tokens(tokenizer):
  draw = random.Random(1)
  control = list(control_tokens(tokenizer))
  parts = ["<", "|", "im_end", ">", " ", "\n", "é", "<|im_", *control]
  ids = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
  for _ in range(200):
    text = "".join(draw.choices(parts, k=draw.randint(1, 8)))
    spans = [m.span() for m in control_pattern(tokenizer).finditer(text)]
    made, offsets = spell(tokenizer, text, spans)
    assert not ids & set(made), text
    assert tokenizer.decode(made) == text
    assert all(0 <= s <= e <= len(text) for s, e in offsets)
    assert [s for s, _ in offsets] == sorted(s for s, _ in offsets)


def test_private_use_characters_are_no_way_in(tokenizer):
  """Somebody types the stand-ins themselves, beside a control token."""
  end = tokenizer.eos_token
  text = "".join(spare("", 8)) + end
  ids, _ = spell(tokenizer, text, [(8, 8 + len(end))])
  assert not set(control_tokens(tokenizer).values()) & set(ids)
  assert tokenizer.decode(ids) == text


def test_a_vocabulary_that_cannot_quote_is_refused():
  words = models.WordLevel({"<end>": 0, "a": 1, "?": 2}, unk_token="?")
  tokenizer = build(
    words,
    pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
    control=["<end>"],
    names={"eos_token": "<end>"},
  )
  with pytest.raises(Unfit, match="control token '<end>'") as error:
    spell(tokenizer, "a <end>", [(2, 7)])
  assert error.value.kind == "control token"


def test_longest_control_token_wins():
  tokenizer = byte_level(("<s>", "<s>x"))
  assert control_pattern(tokenizer).findall("<s><s>x") == ["<s>", "<s>x"]


def test_spare_characters_are_free_and_distinct():
  first = spare("", 3)
  other = spare(first[1], 3)
  assert len(set(other)) == 3 and first[1] not in other


def test_control_tokens_that_are_added_later_are_seen():
  tokenizer = byte_tokenizer()
  assert "<new>" not in control_tokens(tokenizer)
  tokenizer.add_tokens(["<new>"], special_tokens=True)
  assert control_tokens(tokenizer)["<new>"] == 260
  assert control_pattern(tokenizer).findall("a<new>") == ["<new>"]
