"""What a decoder is: one record of plain values for every family."""

import dataclasses
import math
from dataclasses import dataclass

NORMS = ("rms", "rms_plus_one", "layer")
NORM_PLACES = ("pre", "post", "both")
ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu")
QK_NORMS = ("none", "head", "full")
ROPE_KINDS = ("default", "linear", "dynamic", "llama3")


@dataclass(frozen=True)
class Rope:
  """Rotary position embedding (Su et al. 2021), and how it is stretched.

  theta: base of the frequencies.
  fraction: part of the head that is rotated (GPT-NeoX: 0.25).
  kind: "default", "linear" (positions divided by `factor`), "dynamic" (NTK:
    the base grows once a row is longer than `original_length`), or "llama3"
    (low frequencies divided by `factor`, blended between the two lengths
    `original_length / high_freq` and `original_length / low_freq`).
  """

  theta: float = 10000.0
  fraction: float = 1.0
  kind: str = "default"
  factor: float = 1.0
  low_freq: float = 1.0
  high_freq: float = 4.0
  original_length: int = 8192


@dataclass(frozen=True)
class ModelConfig:
  """A decoder-only transformer; lengths in tokens.

  windows: attention window of each layer, 0 for none; length `depth`. A window
    w lets a token see itself and the w - 1 before it.
  rope: None for learned positions (GPT-2).
  local_rope: rotary embedding of windowed layers where it differs (Gemma 3).
  norm_place: norms before each branch, after it, or both (Gemma 2 and 3).
  parallel: attention and MLP read the same input (GPT-NeoX).
  query_scale: multiplies queries; 0 means 1/√head_size.
  scores: scalar heads of a reward model, which has no output head of its own.
  score_mean, score_std: of each head, what its scores are on reference
    completions; () where it was not calibrated. A score is read as
    (r − mean) / std.
  eos, bos, pad: token ids, -1 for none. pad may equal eos.
  """

  family: str
  vocab: int
  width: int
  depth: int
  heads: int
  kv_heads: int
  head_size: int
  hidden: int
  max_length: int
  norm: str = "rms"
  norm_eps: float = 1e-5
  norm_place: str = "pre"
  activation: str = "silu"
  gated: bool = True
  qkv_bias: bool = False
  out_bias: bool = False
  mlp_bias: bool = False
  qk_norm: str = "none"
  parallel: bool = False
  rope: Rope | None = Rope()
  local_rope: Rope | None = None
  windows: tuple[int, ...] = ()
  attention_softcap: float = 0.0
  final_softcap: float = 0.0
  query_scale: float = 0.0
  embed_scale: float = 1.0
  tied: bool = False
  scores: int = 0
  score_mean: tuple[float, ...] = ()
  score_std: tuple[float, ...] = ()
  bos: int = -1
  eos: tuple[int, ...] = ()
  pad: int = -1

  def __post_init__(self):
    if not self.windows:
      object.__setattr__(self, "windows", (0,) * self.depth)
    legal = {
      "norm": NORMS,
      "norm_place": NORM_PLACES,
      "activation": ACTIVATIONS,
      "qk_norm": QK_NORMS,
    }
    for name, values in legal.items():
      if getattr(self, name) not in values:
        raise ValueError(
          f"model {name} = {getattr(self, name)!r} is unknown; "
          f"one of {', '.join(values)}."
        )
    if self.heads % self.kv_heads:
      raise ValueError(
        f"{self.heads} query heads do not divide into {self.kv_heads} "
        "key/value heads; heads must be a multiple of kv_heads."
      )
    if len(self.windows) != self.depth:
      raise ValueError(
        f"{len(self.windows)} windows for {self.depth} layers; "
        "give one window a layer (0 = none)."
      )
    for rope in (self.rope, self.local_rope):
      if rope is not None and rope.kind not in ROPE_KINDS:
        raise ValueError(
          f"rope scaling {rope.kind!r} is not supported; "
          f"one of {', '.join(ROPE_KINDS)}."
        )
    self._check_calibration()

  def _check_calibration(self):
    for name in ("score_mean", "score_std"):
      values = getattr(self, name)
      if len(values) not in (0, self.scores):
        raise ValueError(
          f"{name} has {len(values)} numbers for {self.scores} scalar heads; "
          "give one a head, or none."
        )
      if not all(map(math.isfinite, values)):
        raise ValueError(f"{name} = {values}; they must be finite.")
    if len(self.score_mean) != len(self.score_std):
      raise ValueError("score_mean and score_std go together; give both.")
    if any(x <= 0 for x in self.score_std):
      raise ValueError(
        f"score_std = {self.score_std}; scores are divided by it, so it must "
        "be above 0."
      )

  @property
  def scale(self) -> float:
    """What queries are multiplied by."""
    return self.query_scale or 1.0 / math.sqrt(self.head_size)

  @property
  def own_head(self) -> bool:
    """Whether the output head is a parameter."""
    return not self.tied and not self.scores

  def uncalibrated(self) -> "ModelConfig":
    """Its scores as the heads say them."""
    return self.replace(score_mean=(), score_std=())

  @property
  def period(self) -> int:
    """Length of the shortest layer pattern that repeats."""
    for p in range(1, self.depth + 1):
      if all(w == self.windows[i % p] for i, w in enumerate(self.windows)):
        return p
    return self.depth

  def place(self, layer: int) -> tuple[tuple[str, ...], int | None]:
    """Where a layer's parameters stand: (path, index in the stack).

    Layers of whole periods are stacked under `layers/<block>`; what remains is
    `tail_<block>`, without a stack (index None).
    """
    whole = self.depth // self.period * self.period
    if layer < whole:
      return ("layers", str(layer % self.period)), layer // self.period
    return (f"tail_{layer - whole}",), None

  def replace(self, **changes) -> "ModelConfig":
    """A changed copy; another depth needs new windows only where some are."""
    if "depth" in changes and not any(self.windows):
      changes.setdefault("windows", ())
    return dataclasses.replace(self, **changes)
