"""How far outputs overlap with references: corpus BLEU and ROUGE-L.

These are the numbers that papers print. BLEU is sacreBLEU's own (Post 2018,
https://aclanthology.org/W18-6319), of a whole set and never a mean over items,
and comes with the signature that says how it was made.
"""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from sacrebleu.metrics import BLEU

from alignjax.metrics import common_subsequence

ORDERS = 4  # of n-grams
_WORD = re.compile(r"[a-z0-9]+")


def bleu(
  outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, str]:
  """Corpus BLEU (Papineni et al. 2002), 0 to 100, and sacreBLEU's signature.

  references: of each output one or more, as many as there are; texts as people
    read them, not tokenised. The signature says `nrefs:var` where their number
    differs.

  Raises ValueError where there is no output, or an output without references.
  """
  _check(outputs, references)
  most = max(map(len, references))
  # A stream is the k-th reference of each item, None where it has fewer.
  streams = [
    [refs[k] if k < len(refs) else None for refs in references]
    for k in range(most)
  ]
  metric = BLEU()
  score = metric.corpus_score(outputs, streams).score
  return score, metric.get_signature().format()


def bleu_counts(
  outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> Int[np.ndarray, "items 10"]:
  """What corpus BLEU is made of, for each item; `bleu_of` takes sums of rows.

  Tokens of the output, tokens of the reference closest in length, matching
  1- to 4-grams, all 1- to 4-grams of the output.

  Raises ValueError as `bleu`.
  """
  _check(outputs, references)
  # The order has no part in counts, and sacreBLEU wants it for one sentence.
  metric = BLEU(effective_order=True)
  rows = []
  for output, refs in zip(outputs, references):
    found = metric.sentence_score(output, list(refs))
    rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
  return np.array(rows, np.int64)


def bleu_of(counts: Int[np.ndarray, "10"]) -> float:
  """Corpus BLEU, as `bleu` has it, of counts summed over items.

  A bootstrap over items sums the rows it has drawn: nothing is tokenised again.
  """
  output, reference, *grams = (int(x) for x in counts)
  return BLEU.compute_bleu(
    grams[:ORDERS], grams[ORDERS:], output, reference, smooth_method="exp"
  ).score


def rouge_l(output: str, references: Sequence[str]) -> float:
  """F1 of the longest common subsequence of words, 0 to 1 (Lin 2004).

  As Google's package rouge-score has it (rougeL, without stemmer): lower case,
  words are runs of a-z and 0-9, the best of the references counts. Letters
  outside of ASCII part words and are lost, as they are there. That makes
  numbers comparable with those in print, and is no measure of other languages:
  the metric `rouge_l` of `alignjax.metrics`, which rewards use, has words of
  Unicode and refuses an empty gold, so it is kept apart.

  Raises ValueError without a reference.
  """
  _check([output], [references])
  ours = _WORD.findall(output.lower())
  return max(_f1(ours, _WORD.findall(text.lower())) for text in references)


def _f1(ours: list[str], gold: list[str]) -> float:
  common = common_subsequence(ours, gold)
  return 2 * common / (len(ours) + len(gold)) if common else 0.0


def _check(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> None:
  if not outputs or len(outputs) != len(references):
    raise ValueError(
      f"{len(outputs)} outputs and the references of {len(references)}; give "
      "at least one output, and a list of references for each."
    )
  for k, refs in enumerate(references):
    if isinstance(refs, str) or not refs:
      raise ValueError(
        f"references of output {k} are {refs!r}; give a list of at least one "
        "text."
      )
