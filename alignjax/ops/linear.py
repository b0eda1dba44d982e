"""Gradients that are known before the place they are taken at."""

from collections.abc import Callable, Sequence

import jax


def slopes(total: Callable, at):
  """The gradient of a linear function, which is the same everywhere; or None.

  total: a tree of arrays → a scalar. at: a tree of such arrays. It is asked of
  the gradient's program whether any of it is reached from `at`; so a function
  that is linear in a way that its program does not show is taken for one that
  is not.
  """
  gradient = jax.grad(total)
  program = jax.make_jaxpr(gradient)(at).jaxpr
  if any(reached(program, [True] * len(program.invars))):
    return None
  return gradient(at)


def reached(program, inputs: Sequence[bool]) -> list[bool]:
  """Which results of a jaxpr are made from any of the marked inputs."""
  marked = {id(x) for x, is_in in zip(program.invars, inputs) if is_in}
  for step in program.eqns:
    given = [id(x) in marked for x in step.invars]
    if step.primitive.name in ("jit", "pjit"):
      made = reached(step.params["jaxpr"].jaxpr, given)
    else:
      made = [any(given)] * len(step.outvars)
    marked |= {id(x) for x, is_out in zip(step.outvars, made) if is_out}
  return [id(x) in marked for x in program.outvars]
