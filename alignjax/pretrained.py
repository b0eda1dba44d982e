"""Real models: from a folder, the hub or a GGUF file, and back to a folder."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from alignjax.data.gguf import tokenizer_from_gguf
from alignjax.data.tokenizer import load_tokenizer, save_tokenizer
from alignjax.models.adapters import heads_of, load_adapter
from alignjax.models.config import ModelConfig
from alignjax.models.families import config_from_hf
from alignjax.models.gguf_io import gguf_config, load_gguf
from alignjax.models.lm import LM
from alignjax.models.lora import merge
from alignjax.models.weights import (
  Place,
  check_dtype,
  load_safetensors,
  save_safetensors,
)
from alignjax.sharding import path_name

TOKENIZER = (
  "tokenizer*.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.*",
)
OUTLINE = ("config.json", "generation_config.json", *TOKENIZER)
# All that is fetched from the hub: no pickles, no code.
WANTED = (*OUTLINE, "model*.safetensors", "model.safetensors.index.json")
HUB_NAME = r"[\w-][\w.-]*(/[\w-][\w.-]*)?"


def load(
  path: str | Path,
  *,
  revision: str | None = None,
  dtype: str = "float32",
  place: Place | None = None,
  adapter: str | Path | None = None,
) -> tuple[LM, dict, Any]:
  """(lm, parameters, tokenizer) of a pretrained model.

  path: a Hugging Face folder, a .gguf file, or a name on the hub, of which
    `revision` is a branch, tag or commit. The tokenizer is None where a folder
    has none.
  dtype: of the parameters, and of the returned lm's arithmetic.
  place: (path, shape) → sharding of each parameter, None for the default
    device.
  adapter: a folder of PEFT's, merged into the model; the scalar heads in it
    make a language model a reward model.
  """
  check_dtype(dtype)
  found = locate(path, revision)
  if found.is_file():
    config, params = load_gguf(found, place, dtype)
    tokenizer = tokenizer_of(found)
  else:
    config = read_config(found)
    # Before the weights: a wrong tokenizer is known in a second.
    tokenizer = tokenizer_of(found)
    params = load_safetensors(found, config, place, dtype)
  check_tokenizer(tokenizer, config, path)
  if adapter is not None:
    config, params = _adapted(config, params, adapter, place)
  return LM(config, dtype=dtype), params, tokenizer


def _adapted(
  config: ModelConfig,
  params: dict,
  folder: str | Path,
  place: Place | None,
) -> tuple[ModelConfig, dict]:
  """A model with adapters merged into its kernels, and their heads on it."""
  found = load_adapter(folder, config)
  params = merge(params | {"lora": found.weights}, found.lora)
  if found.score_head is not None:
    config = _scored(config, len(found.score_head))
    params["score_head"] = found.score_head.astype(params["embed"].dtype)
    if not config.own_head:
      params.pop("head", None)

  def put(path, x):
    return jax.device_put(x, place and place(path_name(path), x.shape))

  return config, jax.tree_util.tree_map_with_path(put, params)


def _scored(config: ModelConfig, heads: int) -> ModelConfig:
  """With other scalar heads, whose calibration is not known."""
  return config.uncalibrated().replace(scores=heads)


def outline(
  path: str | Path,
  revision: str | None = None,
  adapter: str | Path | None = None,
) -> tuple[ModelConfig, Any]:
  """(config, tokenizer) of a model, as in `load`; no weights are fetched."""
  found = locate(path, revision, OUTLINE)
  config = gguf_config(found) if found.is_file() else read_config(found)
  tokenizer = tokenizer_of(found)
  check_tokenizer(tokenizer, config, path)
  heads = 0 if adapter is None else heads_of(adapter)
  return _scored(config, heads) if heads else config, tokenizer


def tokenizer_of(path: str | Path, revision: str | None = None) -> Any:
  """The tokenizer of a model, None where it has none; no weights are fetched.

  path, revision: as in `load`. The small `config.json` comes along, as
  transformers chooses some tokenizers by it.
  """
  found = locate(path, revision, ("config.json", *TOKENIZER))
  if found.is_file():
    return tokenizer_from_gguf(found)
  return load_tokenizer(found)


def export(
  folder: str | Path,
  lm: LM,
  params: dict,
  tokenizer: Any,
  dtype: str = "float32",
) -> None:
  """Writes a folder that transformers loads unchanged.

  Weights, config, and, unless it is None, the tokenizer with its template.
  """
  save_safetensors(params, lm.config, Path(folder), dtype)
  if tokenizer is not None and jax.process_index() == 0:
    save_tokenizer(tokenizer, folder)


def locate(
  path: str | Path,
  revision: str | None = None,
  wanted: Sequence[str] = WANTED,
) -> Path:
  """The local folder or GGUF file that `path` means; fetches hub names.

  wanted: patterns of the files that are fetched.
  """
  local = Path(path).expanduser()
  if local.is_dir() or (local.is_file() and local.suffix == ".gguf"):
    return local
  if local.is_file():
    raise ValueError(
      f"{path} is a file; a model is a Hugging Face folder, a .gguf file or a "
      "hub name."
    )
  name = str(path)
  if not re.fullmatch(HUB_NAME, name) or local.suffix in (".gguf", ".json"):
    raise FileNotFoundError(
      f"There is no folder or file {path}, and it is no hub name "
      "(OWNER/NAME).\nA model is a Hugging Face folder, a .gguf file or a hub "
      "name."
    )
  return _fetch(name, revision, wanted)


def _fetch(name: str, revision: str | None, wanted: Sequence[str]) -> Path:
  import huggingface_hub

  try:
    folder = huggingface_hub.snapshot_download(
      name,
      revision=revision,
      allow_patterns=list(wanted),
      ignore_patterns=["*/*"],
    )
  except Exception as error:  # of many kinds, over three libraries
    at = "" if revision is None else f" at revision {revision!r}"
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    raise FileNotFoundError(
      f"There is no folder {name} here, and fetching it from the hub{at} "
      f"failed: {reason}\n"
      "Check the name and the network (HF_TOKEN for gated models), or give a "
      "local folder or .gguf file."
    ) from error
  return Path(folder)


def read_config(folder: Path) -> ModelConfig:
  """The config of a Hugging Face folder, all its stop tokens included."""
  config = config_from_hf(_read_json(folder / "config.json"))
  file = folder / "generation_config.json"
  if not file.is_file():
    return config
  # Chat models name more stop tokens here than in config.json.
  more = _read_json(file).get("eos_token_id")
  more = [] if more is None else more if isinstance(more, list) else [more]
  return config.replace(eos=tuple(dict.fromkeys((*config.eos, *more))))


def _read_json(file: Path) -> dict:
  if not file.is_file():
    adapter = (file.parent / "adapter_config.json").is_file()
    raise FileNotFoundError(
      f"{file.parent} has no {file.name}"
      + (
        "; it is an adapter: give its base as the model, and it as the adapter."
        if adapter
        else ", so it is no Hugging Face model folder."
      )
    )
  try:
    value = json.loads(file.read_text("utf-8"))
  except ValueError as error:
    raise ValueError(f"{file} is not JSON: {error}") from None
  if not isinstance(value, dict):
    raise ValueError(f"{file} is not a JSON object.")
  return value


def check_tokenizer(
  tokenizer: Any, config: ModelConfig, origin: str | Path
) -> None:
  """ValueError where the tokenizer's own tokens outnumber the embedding's rows.

  Tokens added to it later may have no row, as Gemma 3's for images; they are
  refused where one is used.
  """
  if tokenizer is not None and tokenizer.vocab_size > config.vocab:
    raise ValueError(
      f"{origin}: the tokenizer has {tokenizer.vocab_size} tokens, the model's "
      f"vocabulary {config.vocab}.\n"
      "Use the tokenizer the model was trained with."
    )
