"""A tokenizer rebuilt from what a GGUF file says in its metadata."""

import functools
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignjax.data.tokenizer import build

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPLIT = (
  _CONTRACTIONS + r"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
  r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
# tokenizer.ggml.pre -> how text is cut before the merges.
_PRE = {
  **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jina-v2-en"), "gpt2"),
  **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), "digits"),
  **dict.fromkeys((*_LLAMA3, "falcon3", "dbrx", "smaug-bpe"), "llama3"),
  **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen"), "qwen2"),
}
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)


def tokenizer_from_gguf(path: str | Path) -> Any:
  """The tokenizer a GGUF file describes in its metadata, None if it has none.

  Byte-level BPE (`gpt2`) with the text cut as `tokenizer.ggml.pre` says, and
  SentencePiece BPE (`llama`), whose merges follow from the scores. Raises
  ValueError for a kind or a cut that is not known.
  """
  meta = read_metadata(path)
  kind = meta.get("tokenizer.ggml.model")
  if kind is None:
    return None
  needed = {"gpt2": ("tokens", "merges"), "llama": ("tokens", "scores")}
  if kind not in needed:
    raise ValueError(
      f"{path}: tokenizer of kind {kind!r}; known kinds: gpt2, llama\n"
      "load the model from its Hugging Face folder"
    )
  for key in needed[kind]:
    if f"tokenizer.ggml.{key}" not in meta:
      raise ValueError(
        f"{path}: a tokenizer of kind {kind!r} without tokenizer.ggml.{key}\n"
        "load the model from its Hugging Face folder"
      )
  tokens = meta["tokenizer.ggml.tokens"]
  types = meta.get("tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
  names = {}
  for name, key in (
    ("bos_token", "bos"),
    ("eos_token", "eos"),
    ("unk_token", "unknown"),
    ("pad_token", "padding"),
  ):
    index = meta.get(f"tokenizer.ggml.{key}_token_id")
    if index is not None and index < len(tokens):
      names[name] = tokens[index]
  control = [t for t, k in zip(tokens, types) if k == _CONTROL]
  control += [t for t in names.values() if t not in control]
  vocabulary = {token: index for index, token in enumerate(tokens)}
  if kind == "gpt2":
    parts = _byte_level(meta, vocabulary, path)
  else:
    parts = _sentence_piece(meta, vocabulary, types, names)
  bos = meta.get("tokenizer.ggml.add_bos_token", parts.pop("bos"))
  return build(
    parts.pop("model"),
    **parts,
    names=names,
    control=dict.fromkeys(control),
    user_defined=[t for t, k in zip(tokens, types) if k == _USER_DEFINED],
    bos=bos and "bos_token" in names,
    chat_template=meta.get("tokenizer.chat_template"),
  )


def _byte_level(meta: Mapping, vocabulary: dict, path) -> dict:
  from tokenizers import Regex, decoders, normalizers, pre_tokenizers
  from tokenizers import models as kinds

  pre = meta.get("tokenizer.ggml.pre", "gpt-2")
  if pre not in _PRE:
    raise ValueError(
      f"{path}: text is cut as {pre!r}, which is not known\n"
      f"known: {', '.join(_PRE)}\nload the model from its Hugging Face folder"
    )
  cut = _PRE[pre]
  level = functools.partial(pre_tokenizers.ByteLevel, add_prefix_space=False)
  if cut == "gpt2":
    steps = level()
  elif cut == "digits":
    digits = pre_tokenizers.Digits(individual_digits=True)
    steps = pre_tokenizers.Sequence([digits, level()])
  else:
    digits = "{1,3}" if cut == "llama3" else ""
    split = pre_tokenizers.Split(
      Regex(_SPLIT.format(digits=digits)), behavior="isolated"
    )
    steps = pre_tokenizers.Sequence([split, level(use_regex=False)])
  merges = [tuple(m.split(" ", 1)) for m in meta["tokenizer.ggml.merges"]]
  return {
    "model": kinds.BPE(
      vocab=vocabulary, merges=merges, ignore_merges=pre in _LLAMA3
    ),
    "pre_tokenizer": steps,
    "normalizer": normalizers.NFC() if cut == "qwen2" else None,
    "decoder": decoders.ByteLevel(),
    "bos": pre in _LLAMA3,
  }


def _sentence_piece(meta: Mapping, vocabulary: dict, types, names) -> dict:
  from tokenizers import decoders, normalizers
  from tokenizers import models as kinds

  scores = meta["tokenizer.ggml.scores"]
  merges = []
  for piece, index in vocabulary.items():
    if types[index] != _NORMAL or len(piece) < 2:
      continue
    halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
    known = [(a, b) for a, b in halves if a in vocabulary and b in vocabulary]
    # Equal scores go by the ids of the halves.
    known.sort(key=lambda ab: (vocabulary[ab[0]], vocabulary[ab[1]]))
    merges += [(-scores[index], half) for half in known]
  merges.sort(key=lambda m: m[0])
  space = meta.get("tokenizer.ggml.add_space_prefix", True)
  steps = [normalizers.Prepend("▁")] if space else []
  back = [
    decoders.Replace("▁", " "),
    decoders.ByteFallback(),
    decoders.Fuse(),
  ]
  if space:
    back.append(decoders.Strip(" ", 1, 0))
  return {
    "model": kinds.BPE(
      vocab=vocabulary,
      merges=[half for _, half in merges],
      unk_token=names.get("unk_token"),
      fuse_unk=True,
      byte_fallback=_BYTE in types,
    ),
    "normalizer": normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")]),
    "decoder": decoders.Sequence(back),
    "bos": True,
  }


_SCALARS = dict(enumerate("B b H h I i f ?".split())) | {
  10: "Q",
  11: "q",
  12: "d",
}
_TEXT, _ARRAY = 8, 9


def read_metadata(path: str | Path) -> dict[str, Any]:
  """The key-value part of a GGUF file, weights untouched.

  The file is mapped and walked once; `gguf.GGUFReader` makes a NumPy view of
  every string, seconds for a real vocabulary. Layout: the GGUF specification,
  versions 2 and 3, little endian. Raises ValueError for another file.
  """
  with open(path, "rb") as f:
    if f.read(4) != b"GGUF":
      raise ValueError(f"{path}: not a GGUF file (it does not start with GGUF)")
    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
      version, _, count = struct.unpack_from("<IQQ", data, 4)
      if version not in (2, 3):
        raise ValueError(
          f"{path}: GGUF version {version}; known: 2, 3, little endian"
        )
      at, meta = 24, {}
      try:
        for _ in range(count):
          key, at = _value(data, at, _TEXT)
          (kind,) = struct.unpack_from("<I", data, at)
          meta[key], at = _value(data, at + 4, kind)
      except (struct.error, UnicodeDecodeError, KeyError) as e:
        raise ValueError(f"{path}: damaged GGUF metadata at byte {at}") from e
  return meta


def _value(data, at: int, kind: int) -> tuple[Any, int]:
  if kind == _TEXT:
    (size,) = struct.unpack_from("<Q", data, at)
    at += 8
    if at + size > len(data):
      raise struct.error("string past the end of the file")
    return data[at : at + size].decode("utf-8"), at + size
  if kind == _ARRAY:
    kind, size = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind in _SCALARS:
      form = f"<{size}{_SCALARS[kind]}"
      values = list(struct.unpack_from(form, data, at))
      return values, at + struct.calcsize(form)
    values = []
    for _ in range(size):
      value, at = _value(data, at, kind)
      values.append(value)
    return values, at
  form = "<" + _SCALARS[kind]
  return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
