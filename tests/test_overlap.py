import json
import math
from pathlib import Path

import numpy as np
import pytest

from alignjax.evals.overlap import bleu, bleu_counts, bleu_of, rouge_l

FILE = Path(__file__).parent / "fixtures" / "overlap.json"
GOLDEN = json.loads(FILE.read_text("utf-8"))
ITEMS = GOLDEN["items"]
CORPORA = GOLDEN["corpora"]


def texts(items):
  found = [ITEMS[k] for k in items]
  return [x["output"] for x in found], [x["references"] for x in found]


@pytest.mark.parametrize("name", CORPORA)
def test_bleu_is_that_of_sacrebleu(name):
  golden = CORPORA[name]
  score, signature = bleu(*texts(golden["items"]))
  assert score == pytest.approx(golden["bleu"], abs=1e-9)

  def said(text):  # of whatever release
    return text.rpartition("|version:")[0]

  assert said(signature) == said(golden["signature"])


def test_bleu_by_hand():
  """5 of 6 words, 2 of 5 bigrams, 1 of 4 trigrams, 0 of 3, which is 1/2 of 3.

  Both have six words: no brevity penalty.
  """
  score, signature = bleu(["a b c d x f"], [["a b c y d f"]])
  wanted = (5 / 6 * 2 / 5 * 1 / 4 * 1 / 6) ** (1 / 4)
  assert score == pytest.approx(100 * wanted)
  assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp")


def test_bleu_punishes_what_is_too_short():
  score, _ = bleu(["a b c d"], [["a b c d e f"]])
  assert score == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_bleu_is_of_the_corpus_and_no_mean():
  outputs, references = texts(CORPORA["all"]["items"])
  each = [bleu([o], [r])[0] for o, r in zip(outputs, references)]
  assert abs(np.mean(each) - bleu(outputs, references)[0]) > 1


@pytest.mark.parametrize("name", CORPORA)
def test_counts_give_the_same_bleu(name):
  """Of whatever items are drawn, those drawn twice among them."""
  everything = bleu_counts(*texts(range(len(ITEMS))))
  golden = CORPORA[name]
  drawn = everything[golden["items"]].sum(0)
  assert bleu_of(drawn) == pytest.approx(golden["bleu"], abs=1e-9)


def test_counts_by_hand():
  found = bleu_counts(["a b c a", "x"], [["a b d", "a b c d e f"], ["y z"]])
  # Lengths: 3 and 6 tokens are 1 and 2 away from 4. One `a` of two counts.
  assert found.tolist() == [
    [4, 3, 3, 2, 1, 0, 4, 3, 2, 1],
    [1, 2, 0, 0, 0, 0, 1, 0, 0, 0],
  ]


@pytest.mark.parametrize("item", ITEMS, ids=range(len(ITEMS)))
def test_rouge_l_is_that_of_rouge_score(item):
  found = rouge_l(item["output"], item["references"])
  assert found == pytest.approx(item["rouge_l"], abs=1e-12)


def test_rouge_l_by_hand():
  # the cat sat: 3 of 5 and of 4 words.
  found = rouge_l("The cat then sat down.", ["the CAT sat, up", "no"])
  assert found == pytest.approx(2 * 3 / (5 + 4))
  assert rouge_l("…", ["—"]) == 0.0  # no word on either side


def test_rouge_l_has_the_length_of_the_plain_recursion():
  draw = np.random.default_rng(0)
  for _ in range(50):
    a, b = (list(draw.choice(list("abcd"), draw.integers(1, 90))) for _ in "ab")
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
      for j, y in enumerate(b):
        longest = max(table[i, j + 1], table[i + 1, j])
        table[i + 1, j + 1] = table[i, j] + 1 if x == y else longest
    wanted = 2 * table[-1, -1] / (len(a) + len(b))
    assert rouge_l(" ".join(a), [" ".join(b)]) == pytest.approx(wanted)
    assert rouge_l(" ".join(b), [" ".join(a)]) == pytest.approx(wanted)


@pytest.mark.parametrize(
  "outputs, references, message",
  (
    ([], [], "0 outputs"),
    (["a"], [["a"], ["b"]], "1 outputs and the references of 2"),
    (["a", "b"], [["a"], []], "output 1 are \\[\\]"),
    (["a"], ["a"], "output 0 are 'a'; give a list"),
  ),
)
def test_wrong_references_are_refused(outputs, references, message):
  for function in (bleu, bleu_counts):
    with pytest.raises(ValueError, match=message):
      function(outputs, references)


def test_rouge_l_refuses_a_text_for_a_list():
  with pytest.raises(ValueError, match="give a list"):
    rouge_l("a", "a")
