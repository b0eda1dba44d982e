"""A tokenizer of each model family's shape, trained on a few sentences."""

import json

from tokenizers import (
  Regex,
  Tokenizer,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
)
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from alignjax.data.tokenizer import build

CORPUS = [
  "You give short answers. Be brief. user assistant model system Name a fruit.",
  "An apple, a pear; 1990 was 42 years ago. the end of the (first) answer",
  "Yes: no - don't. What is it? It is what the model says, and it is short.",
] * 3
LLAMA_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
  r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
HEADERS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TURNS = ["<start_of_turn>", "<end_of_turn>"]


def byte_level(bos, eos, control=(), words=LLAMA_WORDS, **parts):
  """Byte-level BPE, with line breaks that merge."""
  control = list(dict.fromkeys([bos, eos, *control]))
  split = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(Regex(words), "isolated"),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  made = Tokenizer(models.BPE())
  made.pre_tokenizer = split
  trainer = BpeTrainer(
    vocab_size=420,
    special_tokens=control,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  made.train_from_iterator([*CORPUS, "a\n\n\nb:\n\n c?\n d  \n"], trainer)
  return build(
    made.model,
    pre_tokenizer=split,
    decoder=decoders.ByteLevel(),
    control=control,
    names={"bos_token": bos, "eos_token": eos},
    **parts,
  )


def sentence_piece(kind, prefix, bos="<s>", eos="</s>", control=()):
  """Spaces as ▁, and bytes for characters that are not in the vocabulary.

  kind: "bpe" or "unigram". prefix: what gets a ▁ in front: "every" stretch
  between control tokens, the "first", "none".
  """
  control = ["<unk>", bos, eos, *control]
  options = {
    "special_tokens": control + [f"<0x{b:02X}>" for b in range(256)],
    "show_progress": False,
  }
  model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
  trainer = BpeTrainer(vocab_size=460, **options)
  if kind == "unigram":
    model = models.Unigram()
    trainer = UnigramTrainer(vocab_size=420, unk_token="<unk>", **options)
  made = Tokenizer(model)
  made.pre_tokenizer = pre_tokenizers.Metaspace()
  made.train_from_iterator(CORPUS, trainer)
  if kind == "unigram":
    pieces = map(tuple, json.loads(made.to_str())["model"]["vocab"])
    made.model = models.Unigram(list(pieces), unk_id=0, byte_fallback=True)
  spaces = [normalizers.Replace(" ", "▁")]
  if prefix == "every":
    spaces.insert(0, normalizers.Prepend("▁"))
  first = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
  decoder = [decoders.Replace("▁", " "), decoders.ByteFallback()]
  decoder += [decoders.Fuse()]
  if prefix != "none":
    decoder += [decoders.Strip(" ", 1, 0)]
  return build(
    made.model,
    normalizer=None if prefix == "first" else normalizers.Sequence(spaces),
    pre_tokenizer=first if prefix == "first" else None,
    decoder=decoders.Sequence(decoder),
    control=control,
    names={"unk_token": "<unk>", "bos_token": bos, "eos_token": eos},
    bos=True,
  )


TRIMMED = processors.ByteLevel(trim_offsets=True)
TOKENIZERS = {
  # As published: a word's offsets leave out the space in front of it.
  "llama3": lambda: byte_level(
    "<|begin_of_text|>", "<|eot_id|>", HEADERS, post_processor=TRIMMED
  ),
  "qwen": lambda: byte_level(
    "<|endoftext|>",
    "<|im_end|>",
    ["<|im_start|>"],
    LLAMA_WORDS.replace("{1,3}", ""),
    normalizer=normalizers.NFC(),
  ),
  "smollm": lambda: byte_level(
    "<|im_start|>",
    "<|im_end|>",
    words=r"\p{N}|'t| ?[^\s\p{N}]+|\s+(?!\S)|\s+",
    post_processor=TRIMMED,
  ),
  "gemma": lambda: sentence_piece("bpe", "none", "<bos>", "<eos>", TURNS),
  "llama2": lambda: sentence_piece("bpe", "every"),
  "unigram": lambda: sentence_piece("unigram", "first"),
  "mistral": lambda: sentence_piece(
    "bpe", "first", control=["[INST]", "[/INST]"]
  ),
}
