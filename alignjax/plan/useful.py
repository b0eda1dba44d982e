"""FLOPs that a pass over a batch cannot do without."""

import re
from collections.abc import Mapping

from ml_collections import ConfigDict

from alignjax import optim
from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM
from alignjax.ops.readout import STATS
from alignjax.types import Batch


def useful(
  config: ConfigDict,
  lm: LM,
  batch: Batch,
  needs: tuple[str, ...],
  trained: Mapping | None,
  prompt: int,
) -> float:
  """Products of matrices over all devices, none of them made twice.

  Forward, 2 for each weight and token and 4 for each head unit and pair of
  tokens that see one another; backward as much for activations, and again for
  weights that are trained (Kaplan et al. 2020, table 1, with attention).

  trained: their shapes; None for a forward pass.
  """
  learnt = optim.flatten_dict(trained or {}, sep="/")
  reads = any(n in STATS for n in needs)
  total = 0.0
  for path, x in optim.flatten_dict(lm.shapes(), sep="/").items():
    tokens = _tokens(path, lm, batch, reads)
    times = 1 if trained is None else 2 + (path in learnt)
    total += 2.0 * x.size * tokens * times
  scored = lm.critic.config if lm.critic is not None else None
  met = _met(config, batch, prompt)
  pairs = sum(_attention(c, *met) for c in (lm.config, scored) if c)
  return total + pairs * (1 if trained is None else 3)


def _tokens(path: str, lm: LM, batch: Batch, reads: bool) -> int:
  """How many tokens a weight multiplies."""
  rows, places = batch.tokens.size, batch.targets.size
  if path.startswith("teacher/"):
    return 0
  if re.search(r"(kernel|lora/.*)$", path):
    return rows
  whole = "embed" if lm.config.tied else "head"
  return places if path == whole and reads else 0


def _met(config: ConfigDict, batch: Batch, prompt: int):
  """(rows of the batch, documents of a row: (length, how many))."""
  rows, length = batch.tokens.shape
  if batch.parents is not None:  # two answers to a prompt that stands once
    side = (length + prompt) // 2
    return rows, [(side, 2), (prompt, -1)]
  if config.data.get("packing", 0) and not config.rollout:
    most = config.data.max_length
    return rows, [(most, length // most)]
  return rows, [(length, 1)]


def _attention(c: ModelConfig, rows: int, documents) -> float:
  """Scores and what is summed by them, of every layer."""
  pairs = 0
  for window in c.windows:
    pairs += sum(n * _seen(length, window) for length, n in documents)
  return 4.0 * c.heads * c.head_size * rows * pairs


def _seen(length: int, window: int) -> int:
  """Pairs of a token and one before it, or itself."""
  w = min(window or length, length)
  return w * (w + 1) // 2 + (length - w) * w
