import numpy as np
import pytest

from alignjax.data.bias import FEATURES, MIN_APART, MIN_ROWS, Table, features
from alignjax.data.preferences import Judged, Preference
from alignjax.statistics.intervals import Share

NONE = dict.fromkeys(FEATURES[2:], 0.0)


@pytest.mark.parametrize(
  "text, found",
  [
    ("Plain text, 3 - 2 = 1.", []),
    ("Two:\n- one\n- two", ["list"]),
    ("1. one\n 2) two", ["list"]),
    ("• one", ["list"]),
    ("1.5 litres\n-5 degrees", []),
    ("## Title\ntext", ["heading"]),
    ("#tag and # sign", []),
    ("```py\nx = 1\n```", ["code block"]),
    ("inline `x`", []),
    ("So **bold** it is", ["bold"]),
    ("2 ** 3 ** 4, __init__", []),
    ("Perhaps so.", ["hedge"]),
    ("I’m not sure.", ["hedge"]),
    ("unlikely mighty", []),
    ("I can’t do that.", ["refusal"]),
    ("I cannot, and why? \n", ["refusal", "asks back"]),
    (
      "As an AI I think so. What do you need?",
      ["hedge", "refusal", "asks back"],
    ),
    ("", []),
  ],
)
def test_features_by_hand(text, found):
  words, characters, *has = features(text)
  assert (words, characters) == (len(text.split()), len(text))
  assert dict(zip(FEATURES[2:], has)) == NONE | dict.fromkeys(found, 1.0)


def pair(number, first, second, label=1.0):
  sides = tuple(({"role": "assistant", "content": t},) for t in (first, second))
  prompt = ({"role": "user", "content": str(number)},)
  return Preference(prompt, sides, label, 0.0, 1.0, f"f:{number}", {})


def section(items, paired=True):
  table = Table(paired)
  for i, item in enumerate(items):
    table.add(item, i.to_bytes(4, "big"))
  return table.section()


def test_shares_of_pairs_by_hand():
  found = section(
    [
      pair(0, "a b c", "a"),
      pair(1, "a", "- b c", 0.2),  # the second is preferred
      pair(2, "a b", "a c"),
      pair(3, "a", "b c d e", 1.0),
      pair(4, "- a", "a", 0.5),  # nobody knows
    ]
  )
  assert (found.n, found.first, found.soft) == (5, Share(3, 4), 2)
  of = {f.name: f for f in found.features}
  assert of["words"].preferred == pytest.approx((3 + 3 + 2 + 1) / 4)
  assert of["words"].other == pytest.approx((1 + 1 + 2 + 4) / 4)
  assert of["words"].apart == Share(2, 3)
  assert of["list"][1:] == (0.25, 0.0, Share(1, 1))
  assert of["bold"].apart == Share(0, 0)
  assert found.model is None  # too few
  assert section([]) is None


def synthetic(n, slope, seed=0):
  rng = np.random.default_rng(seed)
  for i in range(n):
    a, b = rng.integers(1, 60, 2)
    wins = rng.random() < 1 / (1 + np.exp(-slope * (a - b)))
    texts = " ".join("w" * a), " ".join("w" * b)
    yield pair(i, *(texts if wins else texts[::-1]))


def test_a_length_bias_of_known_size_is_found():
  found = section(synthetic(2000, 0.05)).model
  terms = {t.name: t for t in found.terms}
  assert set(terms) == {"first", "words"} and found.ridge == 0
  low, high = (x / found.scale for x in terms["words"].interval())
  assert low < 0.05 < high and high - low < 0.02
  # Chosen stands first in every row, and has no advantage from it.
  low, high = terms["first"].interval()
  assert low < 0 < high
  assert found.accuracy == found.by_length and found.accuracy.n == 2000
  assert 0.7 < found.accuracy.hits / 2000 < 0.85


def test_what_is_said_first_goes_by_the_name_of_the_row_alone():
  items = list(synthetic(100, 0.1))
  moved = [i._replace(origin=f"/else/where/{i.origin}") for i in items]
  assert section(items) == section(moved)
  turned = [
    i._replace(sides=i.sides[::-1], label=1 - i.label, origin=i.origin)
    for i in items
  ]
  renamed = section([i._replace(origin=f"g{i.origin}") for i in items]).model
  # Other sides go first, and rows are told right as before.
  assert renamed.terms != section(items).model.terms
  assert renamed.accuracy == section(items).model.accuracy
  # The mirror image: the same slopes, the other constant.
  a, b = section(items).model, section(turned).model
  assert a.terms[1].coefficient == pytest.approx(b.terms[1].coefficient)
  assert a.terms[0].coefficient == pytest.approx(-b.terms[0].coefficient)


def test_judged_answers():
  def judged(i, text, label):
    turns = ({"role": "assistant", "content": text},)
    return Judged((), turns, label, 1.0, f"f:{i}", {})

  rows = [
    judged(i, "- a\n- b" if i % 3 else "a b", i % 2 == 0) for i in range(60)
  ]
  found = section(rows, paired=False)
  assert (found.n, found.first, found.soft) == (60, Share(30, 60), 0)
  of = {f.name: f for f in found.features}
  assert of["list"][1:3] == pytest.approx((2 / 3, 2 / 3))
  assert of["list"].apart == Share(0, 0)
  assert {t.name for t in found.model.terms} == {"constant", "words", "list"}
  low, high = found.model.terms[2].interval()
  assert low < 0 < high
  # Where nothing tells them apart, half of them are told right, not fewer.
  # (2 · (i % 5) + i % 2 < 5: the folds of prompts have one label each.)
  alike = [judged(i, "a", 2 * (i % 5) + i % 2 < 5) for i in range(60)]
  assert section(alike, paired=False).model.accuracy == Share(30, 60)
  assert section([judged(i, "a", True) for i in range(60)], False).model is None


def test_small_sets_and_rare_features_have_no_coefficient():
  items = list(synthetic(MIN_ROWS, 0.1))
  assert section(items).model is not None
  assert section(items[1:]).model is None
  for rare in (MIN_APART - 1, MIN_APART):
    marked = [
      pair(i, "**a** b", "a b") if i < rare else item
      for i, item in enumerate(items)
    ]
    names = {t.name for t in section(marked).model.terms}
    assert ("bold" in names) == (rare == MIN_APART)


def test_only_what_the_assistant_says_counts():
  turns = [("assistant", "a b"), ("user", "- c ?"), ("assistant", "d")]
  side = tuple({"role": r, "content": c} for r, c in turns)
  item = pair(0, "x", "y")._replace(sides=(side, side[:1]))
  of = {f.name: f for f in section([item]).features}
  assert (of["words"].preferred, of["list"].preferred) == (3, 0)
