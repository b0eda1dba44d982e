"""Which of several texts a model finds likeliest, and by what measure."""

from collections.abc import Mapping, Sequence

import numpy as np

from alignjax.evals.items import Line

# What Σ log p of a choice is divided by before choices are compared.
NORMALISATIONS = ("raw", "tokens", "bytes")


def chosen(line: Line, output: Mapping, normalisation: str) -> int:
  """The number of the likeliest choice, the first of equals.

  "raw" compares Σ log p, "tokens" and "bytes" the mean over a choice's tokens
  or over the bytes of its text, without the space ahead (`acc_bytes` of
  lm-evaluation-harness).
  """
  logps = np.asarray(output["logps"], float)
  if normalisation == "tokens":
    logps = logps / np.asarray(output["tokens"])
  elif normalisation == "bytes":
    logps = logps / [len(x.strip().encode()) for x in line["choices"]]
  return int(logps.argmax())


def check(where: str, value: str, legal: Sequence[str]) -> None:
  """Raises ValueError where an option is none of the legal ones."""
  if value not in legal:
    raise ValueError(
      f"{where} = {value!r} is unknown; one of {', '.join(legal)}."
    )


def softmax(logps: Sequence[float]) -> np.ndarray:
  """Probabilities of the choices among themselves."""
  x = np.asarray(logps, float)
  p = np.exp(x - x.max())
  return p / p.sum()
