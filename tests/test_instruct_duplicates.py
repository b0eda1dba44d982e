import random

import pytest

from alignjax.instruct.duplicates import (
  RECALL,
  Exact,
  Near,
  bands,
  jaccard,
  normal,
  shingles,
)


def test_case_width_and_white_space_are_nothing():
  assert normal(" Ａ\tﬁne\n\nDAY ") == "a fine day"
  assert normal("2+2") != normal("2-2")


def test_the_first_place_is_told():
  seen = Exact()
  assert seen.first(["a b", "c"], "f:1") == ""
  assert seen.first(["A  b", "C "], "f:2") == "f:1"
  assert seen.first(["a", "b c"], "f:3") == ""  # the border is another
  assert seen.first(["a b", "c", ""], "f:4") == ""


def test_shingles_by_hand():
  six = shingles(list("abcdef"))
  assert six == {tuple("abcde"), tuple("bcdef")}
  assert shingles(list("aba")) == {("a",), ("b",)}  # fewer than five
  assert shingles([]) == set()
  # Of {abcde, bcdef} and {bcdef, cdefg} one of three is shared.
  assert jaccard(six, shingles(list("bcdefg"))) == pytest.approx(1 / 3)
  assert jaccard(set(), set()) == 0.0


def test_bands_keep_the_recall():
  assert bands(0.8) == (21, 6)
  for threshold in (0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
    b, r = bands(threshold)
    assert b * r <= 128 and b > 1
    assert 1 - (1 - threshold**r) ** b >= RECALL
    wider = 128 // (r + 1)
    if wider > 1:  # longer bands would not
      assert 1 - (1 - threshold ** (r + 1)) ** wider < RECALL


def said(n, start=0):
  return " ".join(f"w{k}" for k in range(start, start + n))


def test_the_index_that_is_told_is_exact():
  """24 words have 20 shingles; with 4 more, 20 of 24 are shared."""
  near = Near(0.8)
  assert near.nearest(said(24), "f:1") is None
  assert near.nearest(said(28), "f:2") == ("f:1", 20 / 24)
  # 29 words: 20 of 25, which is the threshold itself.
  assert near.nearest(said(29), "f:3") == ("f:1", 20 / 25)
  assert near.nearest(said(30), "f:4") is None  # 20 of 26
  # f:4 is kept: 25 shingles of 31 words' 27 were 26 of 27.
  assert near.nearest(said(31), "f:5") == ("f:4", 26 / 27)


def test_short_texts_go_by_word_and_empty_ones_by_nothing():
  near = Near(0.6)
  assert near.nearest("one two three", "a") is None
  assert near.nearest("Three, two one!", "b") == ("a", 1.0)
  assert near.nearest("one two four four", "c") is None  # 2 of 4
  for origin in "de":
    assert near.nearest("?! …", origin) is None


def test_equal_texts_alone_at_one():
  near = Near(1.0)
  assert near.nearest(said(40), "a") is None
  assert near.nearest(said(41), "b") is None
  assert near.nearest(said(40).upper(), "c") == ("a", 1.0)


def changed(words, n, draw, vocabulary):
  words = list(words)
  for at in draw.sample(range(len(words)), n):
    words[at] = draw.choice(vocabulary)
  return words


def drawn(seed, families=60):
  """Families of texts that differ in none to twelve words, shuffled."""
  draw = random.Random(seed)
  vocabulary = [f"v{k}" for k in range(500)]
  texts = []
  for _ in range(families):
    base = draw.choices(vocabulary, k=draw.randint(40, 160))
    texts.append(base)
    for _ in range(5):
      texts.append(changed(base, draw.randint(0, 12), draw, vocabulary))
  draw.shuffle(texts)
  return texts


def brute(texts, threshold):
  """(who, whom, index) by comparing with every text that is kept."""
  kept, found = {}, {}
  for k, words in enumerate(texts):
    own = shingles(words)
    best = max(
      ((jaccard(own, other), -at) for at, other in kept.items()),
      default=(0.0, 0),
    )
    if best[0] >= threshold:
      found[str(k)] = str(-best[1]), best[0]
    else:
      kept[k] = own
  return found


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_what_is_found_is_what_comparing_all_finds(threshold):
  hits = total = 0
  for seed in range(3):
    texts = drawn(seed)
    near, found = Near(threshold, seed=seed), {}
    for k, words in enumerate(texts):
      if other := near.nearest(" ".join(words), str(k)):
        found[str(k)] = other
    for k, (other, index) in found.items():
      pair = shingles(texts[int(k)]), shingles(texts[int(other)])
      assert index == jaccard(*pair) >= threshold  # exact, whoever it is
    expected = brute(texts, threshold)
    assert len(expected) > 50
    hits += sum(found.get(k) == pair for k, pair in expected.items())
    total += len(expected)
  assert hits >= RECALL * total


def test_nothing_near_is_left_among_what_is_kept():
  texts = drawn(7, families=30)
  near = Near(0.7)
  kept = [
    shingles(words)
    for k, words in enumerate(texts)
    if near.nearest(" ".join(words), str(k)) is None
  ]
  for k, one in enumerate(kept):
    assert all(jaccard(one, other) < 0.7 for other in kept[:k])


def test_a_run_is_the_same_again():
  texts = [" ".join(words) for words in drawn(3, families=20)]

  def run(seed):
    near = Near(0.6, seed=seed)
    return [near.nearest(text, str(k)) for k, text in enumerate(texts)]

  assert run(4) == run(4)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_that_is_none(threshold):
  with pytest.raises(ValueError, match="above 0, at most 1"):
    Near(threshold)
  with pytest.raises(ValueError, match="32 bits"):
    Near(0.8, seed=-1)
