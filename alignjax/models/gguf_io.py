"""GGUF files: the format of llama.cpp, quantised weights included."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import jax.numpy as jnp
import numpy as np

from alignjax.models.config import ModelConfig, Rope
from alignjax.models.families import config_from_hf
from alignjax.models.layout import Tensor, tensors
from alignjax.models.weights import Place, assemble, match
from alignjax.ops.attention import frequencies

ARCHITECTURES = ("llama", "qwen2", "qwen3")
# Names of a layer, those of a Hugging Face file first.
LAYER = {
  "input_layernorm": "attn_norm",
  "post_attention_layernorm": "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
}
AROUND = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
}


def load_gguf(
  path: Path, place: Place | None = None, dtype: str = "float32"
) -> tuple[ModelConfig, dict]:
  """Config and parameters of a GGUF file, dequantised tensor by tensor."""
  reader = _open(Path(path))
  config = read_config(reader, path)
  stored = {tensor.name: tensor for tensor in reader.tensors}
  stored.pop("rope_freqs.weight", None)  # is in the config
  names = {gguf_name(t.name): t.name for t in tensors(config)}
  shapes = {
    names.get(name, name): tuple(int(n) for n in reversed(tensor.shape))
    for name, tensor in stored.items()
  }
  match(config, shapes, str(path))
  table = {t.name: t for t in tensors(config)}

  def read(name):
    tensor = stored[gguf_name(name)]
    try:
      x = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
      raise ValueError(
        f"{path}: {tensor.tensor_type.name} tensors such as {tensor.name} "
        "cannot be dequantised here.\nTake a Q8_0, Q4_K_M or F16 file."
      ) from None
    x = x.reshape(table[name].shape)
    return _unpermute(table[name], x) if config.family == "llama" else x

  return config, assemble(config, read, place, dtype)


def gguf_config(path: Path) -> ModelConfig:
  """The config in a GGUF file; its weights are left alone."""
  return read_config(_open(path), path)


def _open(path: Path) -> gguf.GGUFReader:
  try:
    return gguf.GGUFReader(path)
  except FileNotFoundError:
    raise FileNotFoundError(f"There is no GGUF file {path}.") from None
  except (ValueError, IndexError) as error:
    raise ValueError(f"{path} is not a readable GGUF file: {error}") from None


def gguf_name(name: str) -> str:
  """The name in a GGUF file of a tensor of a Hugging Face file."""
  if name in AROUND:
    return AROUND[name]
  _, _, layer, module = name.split(".", 3)
  module, kind = module.rsplit(".", 1)
  return f"blk.{layer}.{LAYER[module]}.{kind}"


def _unpermute(tensor: Tensor, x: np.ndarray) -> np.ndarray:
  """Undoes llama.cpp's order of query and key rows.

  It keeps each rotated pair side by side, (0, 1), (2, 3) …; we pair the halves,
  as the original files do. Biases are permuted as well.
  """
  if not {"q_proj", "k_proj"} & set(tensor.name.split(".")):
    return x
  heads, size = tensor.split[:2]
  pairs = x.reshape(heads, size // 2, 2, -1)
  return pairs.swapaxes(1, 2).reshape(x.shape)


def read_config(reader: gguf.GGUFReader, path: Path) -> ModelConfig:
  """The config in a GGUF file's metadata."""

  def field(key):
    found = reader.get_field(key)
    value = None if found is None else found.contents()
    # float32 in the file: 1e-5 is meant, not 9.9999997e-06.
    return float(f"{value:.7g}") if isinstance(value, float) else value

  name = field("general.architecture")
  if name not in ARCHITECTURES:
    raise ValueError(
      f"{path}: GGUF architecture {name!r} is not supported; "
      f"one of {', '.join(ARCHITECTURES)}.\n"
      "Take the model's safetensors folder instead."
    )

  def get(key):
    return field(f"{name}.{key}")

  stored = {tensor.name: tensor for tensor in reader.tensors}
  if get("expert_count"):
    raise ValueError(f"{path}: mixtures of experts are not supported.")
  size = get("attention.key_length")
  if get("attention.value_length") != size:
    raise ValueError(f"{path}: keys and values of different sizes.")
  heads, width = get("attention.head_count"), get("embedding_length")
  size = size or width // heads
  turned = get("rope.dimension_count") or size
  if turned != size:
    raise ValueError(f"{path}: {turned} of {size} rotated is not supported.")
  # End of text, and where it is another token, end of turn.
  stops = [field(f"tokenizer.ggml.{k}_token_id") for k in ("eos", "eot")]
  hf = {
    "model_type": name,
    "vocab_size": int(stored["token_embd.weight"].shape[1]),
    "hidden_size": width,
    "num_hidden_layers": get("block_count"),
    "num_attention_heads": heads,
    "num_key_value_heads": get("attention.head_count_kv") or heads,
    "head_dim": size,
    "intermediate_size": get("feed_forward_length"),
    "max_position_embeddings": get("context_length"),
    "rms_norm_eps": get("attention.layer_norm_rms_epsilon"),
    "rope_theta": get("rope.freq_base"),
    "tie_word_embeddings": "output.weight" not in stored,
    "attention_bias": "blk.0.attn_q.bias" in stored and name != "qwen2",
    "bos_token_id": field("tokenizer.ggml.bos_token_id"),
    "eos_token_id": list(dict.fromkeys(i for i in stops if i is not None)),
    "pad_token_id": field("tokenizer.ggml.padding_token_id"),
  }
  scaling = get("rope.scaling.type")
  if scaling not in (None, "none"):
    hf["rope_scaling"] = {
      "rope_type": scaling,
      "factor": get("rope.scaling.factor"),
    }
  config = config_from_hf(hf)
  if "rope_freqs.weight" in stored:
    factors = stored["rope_freqs.weight"].data
    config = config.replace(rope=_llama3_rope(config, factors, path))
  return config


def _llama3_rope(config: ModelConfig, factors: np.ndarray, path) -> Rope:
  """Llama 3's scaling from the divisors a GGUF file keeps in its place.

  The blend's lengths are not in the file: those of all Llama 3 models are
  tried, and must give the same divisors.
  """
  rope = Rope(
    theta=config.rope.theta, kind="llama3", factor=float(factors.max())
  )
  fields: Mapping = {
    "theta": rope.theta,
    "factor": rope.factor,
    "low_freq": rope.low_freq,
    "high_freq": rope.high_freq,
    "original_length": rope.original_length,
    "length": jnp.ones(1, jnp.int32),
  }
  plain = np.asarray(frequencies(config.head_size, kind="default", **fields))
  scaled = np.asarray(frequencies(config.head_size, kind="llama3", **fields))
  if not np.allclose(plain[0] / scaled[0], factors, rtol=1e-3):
    raise ValueError(
      f"{path}: its rope_freqs are not Llama 3's scaling.\n"
      "Take the model's safetensors folder instead."
    )
  return rope
