"""How the tensors of a Hugging Face file and our parameter tree correspond.

One table, read in both directions: it is data, so that what loads a tensor
cannot differ from what exports it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alignjax.models.config import ModelConfig


class Tensor(NamedTuple):
  """One tensor of a file, and the leaves of ours it holds.

  `tensor.reshape(split).transpose(order)` is the leaf `paths[0]`, or, where a
  file fuses several leaves into one tensor, their stack along axis 0.

  layer: index in the leaf's stack of layers, None where there is no stack.
  """

  name: str
  shape: tuple[int, ...]
  split: tuple[int, ...]
  order: tuple[int, ...]
  paths: tuple[str, ...]
  layer: int | None

  @property
  def size(self) -> int:
    """Numbers in it."""
    return math.prod(self.shape)

  def unpack(self, tensor: np.ndarray) -> list[np.ndarray]:
    """A file's tensor as views, one for each of `paths`."""
    view = tensor.reshape(self.split).transpose(self.order)
    return [view] if len(self.paths) == 1 else list(view)

  def pack(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
    """The inverse of `unpack`: leaves (one layer of each) → contiguous."""
    view = leaves[0] if len(self.paths) == 1 else np.stack(leaves)
    back = view.transpose(np.argsort(self.order)).reshape(self.shape)
    return np.ascontiguousarray(back)


class Piece(NamedTuple):
  """Where one layer of a leaf is found: which part of which tensor."""

  tensor: Tensor
  part: int


class Leaf(NamedTuple):
  """A parameter of ours: its shape, and its layers in order of the stack."""

  shape: tuple[int, ...]
  stacked: bool
  pieces: tuple[Piece, ...]


# Our modules → those of a layer in a Hugging Face file.
LLAMA = {
  "attention/query": "self_attn.q_proj",
  "attention/key": "self_attn.k_proj",
  "attention/value": "self_attn.v_proj",
  "attention/out": "self_attn.o_proj",
  "attention/query_norm": "self_attn.q_norm",
  "attention/key_norm": "self_attn.k_norm",
  "mlp/gate": "mlp.gate_proj",
  "mlp/up": "mlp.up_proj",
  "mlp/down": "mlp.down_proj",
}
LLAMA_NORMS = {
  "pre": {
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
  },
  "post": {
    "attention_post_norm": "post_attention_layernorm",
    "mlp_post_norm": "post_feedforward_layernorm",
  },
  "both": {
    "attention_norm": "input_layernorm",
    "attention_post_norm": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp_post_norm": "post_feedforward_layernorm",
  },
}
GPT2 = {
  "attention/fused": "attn.c_attn",
  "attention/out": "attn.c_proj",
  "mlp/up": "mlp.c_fc",
  "mlp/down": "mlp.c_proj",
  "attention_norm": "ln_1",
  "mlp_norm": "ln_2",
}
NEOX = {
  "attention/fused": "attention.query_key_value",
  "attention/out": "attention.dense",
  "mlp/up": "mlp.dense_h_to_4h",
  "mlp/down": "mlp.dense_4h_to_h",
  "attention_norm": "input_layernorm",
  "mlp_norm": "post_attention_layernorm",
}
# What stands before the layers' names, and around the layers.
STEMS = {"gpt2": "transformer.", "gpt_neox": "gpt_neox."}
AROUND = {
  "gpt2": ("wte", "h", "ln_f", "lm_head"),
  "gpt_neox": ("embed_in", "layers", "final_layer_norm", "embed_out"),
}
QKV = ("attention/query", "attention/key", "attention/value")


def stem(config: ModelConfig) -> str:
  """The prefix of a family's names, which files of base models leave out."""
  return STEMS.get(config.family, "model.")


def _modules(config: ModelConfig) -> dict[str, str]:
  if config.family == "gpt2":
    return GPT2
  if config.family == "gpt_neox":
    return NEOX
  return LLAMA | LLAMA_NORMS[config.norm_place]


def _linear(config: ModelConfig, module: str):
  """(inputs, outputs, fused axis of outputs or None, has a bias)."""
  c = config
  D, H, K, N, F = c.width, c.heads, c.kv_heads, c.head_size, c.hidden
  neox = c.family == "gpt_neox"
  return {
    "attention/query": ((D,), (H, N), None, c.qkv_bias),
    "attention/key": ((D,), (K, N), None, c.qkv_bias),
    "attention/value": ((D,), (K, N), None, c.qkv_bias),
    # GPT-2 puts all queries before all keys; GPT-NeoX goes head by head.
    "attention/fused": (
      (D,),
      (H, 3, N) if neox else (3, H, N),
      1 if neox else 0,
      c.qkv_bias,
    ),
    "attention/out": ((H, N), (D,), None, c.out_bias),
    "mlp/gate": ((D,), (F,), None, c.mlp_bias),
    "mlp/up": ((D,), (F,), None, c.mlp_bias),
    "mlp/down": ((F,), (D,), None, c.mlp_bias),
  }[module]


def _layer(config: ModelConfig, layer: int, prefix: str) -> list[Tensor]:
  """The tensors of one layer, whose names start with `prefix`."""
  c = config
  place, index = c.place(layer)
  place = "/".join(place)
  norms = {
    "attention/query_norm": (c.heads, c.head_size),
    "attention/key_norm": (c.kv_heads, c.head_size),
  }
  out = []

  def add(name, shape, split, order, modules, leaf):
    paths = tuple(f"{place}/{m}/{leaf}" for m in modules)
    out.append(Tensor(prefix + name, shape, split, order, paths, index))

  for module, name in _modules(c).items():
    if module == "mlp/gate" and not c.gated:
      continue
    if module.endswith("norm"):
      inner = module in norms
      if inner and c.qk_norm == "none":
        continue
      split = norms[module] if inner else (c.width,)
      split = split[-1:] if c.qk_norm == "head" else split
      shape = (math.prod(split),)
      order = tuple(range(len(split)))
      add(f"{name}.weight", shape, split, order, [module], "scale")
      if c.norm == "layer":
        add(f"{name}.bias", shape, split, order, [module], "bias")
      continue
    inputs, outputs, fused, bias = _linear(c, module)
    modules = QKV if module == "attention/fused" else [module]
    sizes = math.prod(outputs), math.prod(inputs)
    first, second = outputs, inputs
    if c.family == "gpt2":  # its Conv1D keeps [in, out], all others [out, in]
      sizes, first, second = sizes[::-1], inputs, outputs
    axes = list(range(len(first + second)))
    order = (
      axes if c.family == "gpt2" else axes[len(first) :] + axes[: len(first)]
    )
    bias_order = list(range(len(outputs)))
    if fused is not None:
      order = _to_front(order, len(inputs) + fused)
      bias_order = _to_front(bias_order, fused)
    split = first + second
    add(f"{name}.weight", sizes, split, tuple(order), modules, "kernel")
    if bias:
      shape = (math.prod(outputs),)
      add(f"{name}.bias", shape, outputs, tuple(bias_order), modules, "bias")
  return out


def _to_front(order: list[int], at: int) -> list[int]:
  return [order[at], *order[:at], *order[at + 1 :]]


def tensors(config: ModelConfig) -> tuple[Tensor, ...]:
  """The table: every tensor a file of this model has, in file order."""
  c = config
  V, D = c.vocab, c.width
  embed, layers, norm, head = AROUND.get(
    c.family, ("embed_tokens", "layers", "norm", "lm_head")
  )
  out = []

  def plain(name, path, *shape):
    order = tuple(range(len(shape)))
    out.append(Tensor(name, shape, shape, order, (path,), None))

  plain(f"{stem(c)}{embed}.weight", "embed", V, D)
  if c.rope is None:
    plain(f"{stem(c)}wpe.weight", "positions", c.max_length, D)
  for i in range(c.depth):
    out += _layer(c, i, f"{stem(c)}{layers}.{i}.")
  plain(f"{stem(c)}{norm}.weight", "final_norm/scale", D)
  if c.norm == "layer":
    plain(f"{stem(c)}{norm}.bias", "final_norm/bias", D)
  if c.own_head:
    plain(f"{head}.weight", "head", V, D)
  if c.scores:
    plain("score.weight", "score_head", c.scores, D)
  return tuple(out)


def head_names(config: ModelConfig) -> tuple[str, str]:
  """Names of (embedding, output head) in a file."""
  embed, _, _, head = AROUND.get(
    config.family, ("embed_tokens", "", "", "lm_head")
  )
  return f"{stem(config)}{embed}.weight", f"{head}.weight"


def leaves(config: ModelConfig) -> dict[str, Leaf]:
  """The same table, by our paths."""
  found: dict[str, list[Piece]] = {}
  for tensor in tensors(config):
    for part, path in enumerate(tensor.paths):
      found.setdefault(path, []).append(Piece(tensor, part))
  out = {}
  for path, pieces in found.items():
    pieces.sort(key=lambda piece: piece.tensor.layer or 0)
    tensor = pieces[0].tensor
    shape = tuple(tensor.split[i] for i in tensor.order)
    shape = shape[1:] if len(tensor.paths) > 1 else shape
    stacked = tensor.layer is not None
    shape = (len(pieces), *shape) if stacked else shape
    out[path] = Leaf(shape, stacked, tuple(pieces))
  return out
