"""A language model: a config and pure functions over its parameter tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from alignjax.models import heads, lora
from alignjax.models.config import ModelConfig
from alignjax.models.layers import Attend, Constrain, unconstrained
from alignjax.models.lora import Lora
from alignjax.models.transformer import REMAT, Transformer
from alignjax.ops.attention import attend
from alignjax.ops.completions import end_of
from alignjax.ops.divergence import jsd
from alignjax.ops.noise import neftune as noise_of
from alignjax.ops.readout import logits_of, readout
from alignjax.types import Batch

Params = dict
DTYPES = ("float32", "bfloat16", "float16", "float64")

# Statistics that are not of `ops.readout`.
_NOT_READ_OUT = ("score", "hidden", "jsd", "value")


class Teacher(NamedTuple):
  """What the statistic "jsd" is of: another model, `ops.divergence.jsd`'s β.

  Its parameters stand beside the student's own, under "teacher".
  """

  lm: "LM"
  beta: float


@dataclass(frozen=True)
class LM:
  """Functions of one decoder; parameters are always an argument.

  dtype: of activations and of the weights as they are used; norms, softmax and
    statistics are float32 whatever it is.
  remat: "none" keeps all activations, "full" none, "dots" the outputs of
    attention and of matrix products with weights.
  chunk: tokens of a row whose logits exist at one time.
  constrain: (array, activation name) → array, from `sharding`.
  attend: attention; that of `ops.attention`, or a kernel from `kernels`.
  lora: the adapters of parameters that hold a subtree "lora"; parameters
    without it are the base alone.
  teacher: whom the statistic "jsd" is of.
  values: whether parameters hold "value_head" [1, D], 0 at first, by which the
    statistic "value" is read.
  critic: a model with one scalar head and parameters of its own, under
    "critic", which says "value" instead.
  parts: of a row of a batch, which the documents have to themselves.
  """

  config: ModelConfig
  dtype: str = "float32"
  remat: str = "dots"
  chunk: int = 32
  constrain: Constrain = unconstrained
  attend: Attend = attend
  lora: Lora | None = None
  teacher: Teacher | None = None
  values: bool = False
  critic: "LM | None" = None
  parts: int = 1

  def __post_init__(self):
    if self.remat not in REMAT:
      raise ValueError(
        f"remat = {self.remat!r} is unknown; one of {', '.join(REMAT)}."
      )
    if self.dtype not in DTYPES:
      raise ValueError(
        f"dtype = {self.dtype!r} is unknown; one of {', '.join(DTYPES)}."
      )
    if self.chunk < 1:
      raise ValueError(f"chunk = {self.chunk}; it must be at least 1.")

  @property
  def module(self) -> Transformer:
    put = self.constrain
    return Transformer(self.config, self.remat, put, self.attend, keep=False)

  def init(self, key: jax.Array) -> Params:
    """Random float32 parameters."""
    one = jnp.zeros((1, 1), jnp.int32)
    params = self.module.init(key, one, one, one, None)["params"]
    return self.complete(jax.random.fold_in(key, 1), params)

  def complete(self, key: jax.Array, params: Params) -> Params:
    """Parameters of a base model, with scalar heads and adapters it lacks."""
    c = self.config
    one, two = jax.random.split(key)
    if c.scores and "score_head" not in params:
      params = {k: x for k, x in params.items() if k != "head" or c.own_head}
      params["score_head"] = heads.init(one, c.width, c.scores)
    if self.values and "value_head" not in params:
      params = params | {"value_head": jnp.zeros((1, c.width))}
    if self.critic is not None and "critic" not in params:
      own = self.critic.init(jax.random.fold_in(key, 2))
      params = params | {"critic": own}
    if self.lora is not None and "lora" not in params:
      params = params | {"lora": lora.init(two, params, self.lora)}
    return params

  def shapes(self) -> Params:
    """The parameter tree as `jax.ShapeDtypeStruct`s; nothing is allocated."""
    return jax.eval_shape(self.init, jax.random.key(0))

  def cast(self, params: Params) -> Params:
    """Weights in `dtype`, norm scales as they are."""

    def one(path, x):
      return x if path[-1].key == "scale" else x.astype(self.dtype)

    return jax.tree_util.tree_map_with_path(one, params)

  def variables(self, weights: Params) -> dict[str, Params]:
    """Weights as the module takes them."""
    found = {"params": lora.without(weights)}
    if "lora" in weights:
      if self.lora is None:
        raise ValueError("These parameters have adapters; LM(lora=…) has none.")
      found["lora"] = lora.scaled(weights["lora"], self.lora)
    return found

  def hidden(
    self,
    params: Params,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    documents: Int[Array, "B L"],
    noise: Float[Array, "B L D"] | None = None,
    parents: Int[Array, "B L"] | None = None,
  ) -> Float[Array, "B L D"]:
    """Final hidden states, after the last norm; noise is on the embeddings."""
    place = tokens, positions, documents
    x, _ = self.module.apply(
      self.variables(self.cast(params)), *place, None, noise, parents
    )
    return x

  def read(
    self,
    params: Params,
    batch: Batch,
    noise: Float[Array, "B L D"] | None,
  ) -> Float[Array, "B L D"]:
    """`hidden` of a batch, whose parts do not see each other."""
    B, L = batch.tokens.shape

    def apart(x):
      shape = B * self.parts, L // self.parts
      return None if x is None else x.reshape(*shape, *x.shape[2:])

    given = batch.tokens, batch.positions, batch.documents, noise, batch.parents
    return self.hidden(params, *map(apart, given)).reshape(B, L, -1)

  def extend(
    self,
    weights: Params,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    documents: Int[Array, "B L"],
    past: tuple | None,
  ) -> tuple[Float[Array, "B L D"], tuple]:
    """Hidden states of new tokens, and their keys and values.

    weights: parameters after `cast`, so that a decoding loop casts them once.
    past: None, or (keys and values of earlier tokens, as this returns them,
    their positions [B, C], their documents [B, C], -1 in free slots).
    """
    decoding = past is not None and tokens.shape[1] == 1
    put = partial(self.constrain, decoding=True) if decoding else self.constrain
    module = Transformer(self.config, "none", put, self.attend, keep=True)
    return module.apply(
      self.variables(weights), tokens, positions, documents, past
    )

  def head(self, params: Params) -> Float[Array, "V D"]:
    """The readout matrix, in `dtype`."""
    if self.config.scores and not self.config.tied:
      raise ValueError(
        "A reward model keeps no output head, so it has scores alone;\n"
        "its losses may need nothing but 'score'."
      )
    head = params["embed" if self.config.tied else "head"]
    return self.constrain(head.astype(self.dtype), "table")

  def stats(
    self,
    params: Params,
    batch: Batch,
    needs: Sequence[str],
    keys: Key[Array, "B"] | None = None,
    *,
    neftune: float = 0.0,
    temperature: float = 1.0,
    slopes: Mapping[str, Float[Array, "B T"]] | None = None,
  ) -> dict[str, Float[Array, "B ..."]]:
    """Statistics of a batch: one forward pass, for all losses.

    Those of `ops.readout` are of trained tokens [B, T], and so is "jsd", whose
    teacher has said its part in the field "teacher/hidden" [B, T, E]; "hidden"
    is the last states [B, T, D] that a batch's targets are predicted from.
    "score" is of completions, [B, S], or [B, S, k] of k heads, to be masked by
    `batch.ends`.

    "value" [B, T] is what is expected of the state that a target is predicted
    from, by the value head.

    keys: one a row, of the noise on its embeddings; None: there is none.
    neftune: α of that noise (`ops.noise`).
    temperature: what logits are divided by, as they were when tokens were
      sampled.
    slopes: of `ops.readout.readout`.
    """
    noise = None
    if keys is not None and neftune:
      noise = noise_of(
        keys, batch.documents, width=self.config.width, alpha=neftune
      )
    x = self.read(params, batch, noise)
    out = {}
    if "score" in needs:
      out["score"] = heads.scores(params, self.config, x, batch.ends)
    x = jnp.take_along_axis(x, batch.where[:, :, None], axis=1)
    if "hidden" in needs:
      out["hidden"] = x
    if "value" in needs:
      out["value"] = self.value(params, batch, x)
    if "jsd" in needs:
      known = self.teacher.lm
      out["jsd"] = jsd(
        x,
        self.head(params),
        batch.fields["teacher/hidden"],
        known.head(params["teacher"]),
        beta=self.teacher.beta,
        chunk=self.chunk,
        student_softcap=self.config.final_softcap,
        teacher_softcap=known.config.final_softcap,
        end=end_of(batch),
        constrain=self.constrain,
      )
    of_tokens = [n for n in needs if n not in _NOT_READ_OUT]
    if not of_tokens:
      return out
    return out | readout(
      x,
      self.head(params),
      batch.targets,
      needs=of_tokens,
      chunk=self.chunk,
      softcap=self.config.final_softcap,
      temperature=temperature,
      end=end_of(batch),
      slopes=slopes,
      constrain=self.constrain,
    )

  def value(
    self, params: Params, batch: Batch, hidden: Float[Array, "B T D"]
  ) -> Float[Array, "B T"]:
    """Values of the states that targets are predicted from.

    hidden: the model's own states there, which a critic does not look at.
    """
    if self.critic is not None:
      found = self.critic.stats(params["critic"], batch, ("value",))
      return found["value"]
    if self.values:
      return heads.score(hidden, params["value_head"])
    if self.config.scores != 1:
      raise ValueError(
        "The statistic 'value' needs a critic, a value head (LM.values), or a "
        "model with one scalar head."
      )
    c = self.config
    return heads.score(hidden, params["score_head"], c.score_mean, c.score_std)

  def logits(
    self, params: Params, ids: Int[Array | np.ndarray, "B L"]
  ) -> Float[Array, "B L V"]:
    """All logits of whole rows of one document each; to look at, not to train.

    The only place that makes a [B, L, V] array.
    """
    ids = jnp.asarray(ids)
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    x = self.hidden(params, ids, positions, jnp.ones_like(ids))
    return logits_of(x, self.head(params), self.config.final_softcap)
