"""Logistic fits with their 95 % intervals."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alignjax.statistics.intervals import Share, Z

RIDGE = 0.1
SINGULAR = 1e-6  # least eigenvalue; one row tells about 0.25
FOLDS = 5


class Term(NamedTuple):
  """A coefficient in log-odds, with its standard error."""

  name: str
  coefficient: float
  error: float

  def interval(self) -> tuple[float, float]:
    """95 % interval (Wald)."""
    half = Z * self.error
    return self.coefficient - half, self.coefficient + half


class Fit(NamedTuple):
  """A logistic fit.

  coefficients, errors: log-odds, and standard errors, of the columns of x.
  ridge: of the penalty ridge/2·|b|², 0.0 where none was needed.
  """

  coefficients: np.ndarray
  errors: np.ndarray
  ridge: float


def logistic(x: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n"]) -> Fit:
  """Maximum likelihood of P(y = 1) = σ(x·b), by Newton's method.

  y: 0 to 1, a probability counts as a part of a row of either kind. x: columns
    of order one, the constant among them where it is wanted.

  Where the Hessian is singular (a column is a sum of others, or tells all rows
  apart, so that the best b is not unique or infinite) a ridge of `RIDGE` is put
  on it, and errors are those of the penalised fit.
  """
  eye = np.eye(x.shape[1])
  for ridge in (0.0, RIDGE):
    b = np.zeros(x.shape[1])
    for _ in range(100):
      p = 0.5 * (1 + np.tanh(x @ b / 2))
      hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * eye
      if not ridge and np.linalg.eigvalsh(hessian)[0] < SINGULAR:
        break
      step = np.linalg.solve(hessian, x.T @ (y - p) - ridge * b)
      # Far from the optimum Newton's step is too long.
      b = b + step / max(1.0, np.abs(step).max() / 2)
      if np.abs(step).max() < 1e-8:
        errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
        return Fit(b, errors, ridge)
  raise FloatingPointError(f"no logistic fit to {len(x)} rows in 100 steps")


def held_out(
  x: Float[np.ndarray, "n k"],
  y: Float[np.ndarray, "n"],
  folds: Int[np.ndarray, "n"],
) -> Share:
  """How many y (0 or 1) are told right by fits to the other folds' rows.

  folds: 0 to `FOLDS` - 1, of each row. What lies on the border counts half.
  """
  hits, n = 0.0, 0
  for k in range(FOLDS):
    at = folds == k
    if at.all():  # nothing to fit to
      continue
    n += int(at.sum())
    score = x[at] @ logistic(x[~at], y[~at]).coefficients
    hits += np.sum(((score > 0) == (y[at] > 0.5))[score != 0])
    hits += np.sum(score == 0) / 2
  return Share(int(hits), n)
