"""How far a student's next-token distributions are from a teacher's."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alignjax.ops.attention import at_least_float32
from alignjax.ops.chunks import by_chunks
from alignjax.ops.readout import logits_of


def kl(a: Float[Array, "*b V"], b: Float[Array, "*b V"]) -> Float[Array, "*b"]:
  """KL(A ‖ B) = Σ A (log A − log B) of log-probabilities a, b, in nats."""
  return (jnp.exp(a) * (a - b)).sum(-1)


def generalized_jsd(
  student: Float[Array, "*b V"], teacher: Float[Array, "*b V"], *, beta: float
) -> Float[Array, "*b"]:
  """β·KL(T ‖ M) + (1 − β)·KL(S ‖ M), M = βT + (1 − β)S, of logits, in nats.

  GKD (Agarwal et al. 2023, equation 1). By convention β = 0 is its limit after
  division by β, KL(T ‖ S), the usual distillation, and β = 1 is KL(S ‖ T).

  Raises:
    ValueError: β is not in [0, 1].
  """
  if not 0 <= beta <= 1:
    raise ValueError(
      f"beta = {beta}; it must be in [0, 1]: 0 is KL(teacher ‖ student), 1 is "
      "KL(student ‖ teacher)."
    )
  s = jax.nn.log_softmax(at_least_float32(student))
  t = jax.nn.log_softmax(at_least_float32(teacher))
  if beta == 0:
    return kl(t, s)
  if beta == 1:
    return kl(s, t)
  m = jnp.logaddexp(t + math.log(beta), s + math.log1p(-beta))
  return beta * kl(t, m) + (1 - beta) * kl(s, m)


def jsd(
  student: Float[Array, "B T D"],
  student_head: Float[Array, "V D"],
  teacher: Float[Array, "B T E"],
  teacher_head: Float[Array, "W E"],
  *,
  beta: float,
  chunk: int,
  student_softcap: float,
  teacher_softcap: float,
  end: Int[Array, ""] | None = None,
  constrain: Callable[[jax.Array, str], jax.Array],
) -> Float[Array, "B T"]:
  """`generalized_jsd` of each token, without a [B, T, V] array.

  student, teacher: last hidden states where tokens are predicted. T is walked
  `chunk` tokens at a time, up to `end`, as `ops.readout` does; gradients are of
  the student alone.

  Raises:
    ValueError: the heads have not the same vocabulary.
  """
  if student_head.shape[0] != teacher_head.shape[0]:
    raise ValueError(
      f"The student's vocabulary has {student_head.shape[0]} tokens, the "
      f"teacher's {teacher_head.shape[0]}.\nDistillation compares them token "
      "by token: student and teacher need one tokenizer."
    )

  def one(head, known_head, hidden, known):
    head = constrain(head, "head")
    hidden, known = constrain(hidden, "read"), constrain(known, "read")
    s = constrain(logits_of(hidden, head, student_softcap), "logits")
    t = constrain(logits_of(known, known_head, teacher_softcap), "logits")
    return {"jsd": generalized_jsd(s, t, beta=beta)}

  head = constrain(student_head, "head")
  given = head, teacher_head, student, teacher
  return by_chunks(one, *given, chunk=chunk, end=end)["jsd"]
