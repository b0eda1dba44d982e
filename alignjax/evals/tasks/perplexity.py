"""How likely texts are: perplexity a word and a byte, nats a token."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from alignjax.data.sources import read
from alignjax.evals import files
from alignjax.evals.items import Item, Line, Task
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

MOST = 700.0  # nats a word, about where exp is no number of 64 bits


def task(path: str, *, split: str, key: str, limit: int) -> Task:
  """Every token of every text, in windows of the model's length.

  path: a file, a folder … of rows. key: of a row's text. limit: rows, 0 for
    all.

  nats_per_token and the corpus numbers word_perplexity = exp(−Σ log p / words),
  byte_perplexity, bits_per_byte: words are what white space separates, bytes
  those of UTF-8, so that models of other vocabularies compare.
  """
  items = []
  for row, origin in read(path, split=split, limit=limit or None):
    text = row.get(key)
    if not isinstance(text, str) or not text.strip():
      raise ValueError(
        f"{origin} has no text under {key!r}; it has {', '.join(row)}."
      )
    number = len(items)
    items.append(Item(f"text-{number}", "", (text,), fields={"origin": origin}))
  if not items:
    raise ValueError(f"{path} ({split}) has no row.")
  about = {
    "source": files.identity(path),
    "split": split,
    "shots": 0,
    "normalisation": "words, bytes, tokens",
    "limit": limit,
  }
  main = {"nats_per_token": "down"}
  return Task("texts", items, _score, about, main, totals=_totals)


def _score(line: Line, output: Mapping) -> dict[str, float]:
  return {"nats_per_token": -output["logps"][0] / output["tokens"][0]}


def _totals(lines: Sequence[Line], seed: int) -> dict[str, Estimate]:
  texts = [line["choices"][0] for line in lines]
  nats = -np.array([line["output"]["logps"][0] for line in lines])
  words = np.array([len(text.split()) for text in texts])
  size = np.array([len(text.encode()) for text in texts])

  def estimate(statistic):
    return intervals.bootstrap(statistic, len(lines), seed=seed)

  found = {
    "byte_perplexity": estimate(
      lambda at: np.exp(nats[at].sum() / size[at].sum())
    ),
    "bits_per_byte": estimate(
      lambda at: nats[at].sum() / size[at].sum() / math.log(2)
    ),
  }
  # Text without spaces has words that nothing can be likely of.
  if (nats / words).max() < MOST:
    found["word_perplexity"] = estimate(
      lambda at: np.exp(nats[at].sum() / words[at].sum())
    )
  return found
