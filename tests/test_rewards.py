"""Rewards by rule."""

import pytest

from alignjax import rewards


def of(function, texts, rows=None, **options):
  rows = rows or [{}] * len(texts)
  return function([()] * len(texts), texts, rows, **options)


def test_the_suite_is_scored_by_its_own_metric():
  row = {"metric": "exact_match", "answers": ["blue"]}
  assert of(rewards.suite, ["Blue.", "red"], [row, row]) == [1.0, 0.0]
  with pytest.raises(ValueError, match="has no 'metric'.*it has completion"):
    of(rewards.suite, ["blue"], [{"completion": "blue"}])


def test_an_answer_by_one_metric():
  rows = [{"completion": "7"}, {"answers": ["8", "eight"]}]
  texts = ["It is 7", "eight"]
  found = of(rewards.answer, texts, rows, metric="contains")
  assert found == [1.0, 1.0]


def test_gsm8k_reads_the_marked_number():
  rows = [{"completion": "3 · 400 = 1200\n#### 1,200"}] * 4
  texts = ["so #### 1200", "#### 12\n#### 1200.0", "1200", "#### 1201"]
  assert of(rewards.gsm8k, texts, rows) == [1.0, 1.0, 0.0, 0.0]
  with pytest.raises(ValueError, match="does not end with `#### NUMBER`"):
    of(rewards.gsm8k, ["#### 1"], [{"completion": "one"}])


def test_length_falls_on_both_sides_of_its_band():
  texts = ["", "a", "a b", "a b c", "a b c d e f"]
  found = of(rewards.length, texts, low=2, high=3)
  assert found == [0.0, 0.5, 1.0, 1.0, 0.5]
  with pytest.raises(ValueError, match="1 ≤ low ≤ high"):
    of(rewards.length, texts, low=3, high=2)


def test_patterns_and_json():
  assert of(rewards.matches, ["ab", "ba"], pattern="^a") == [1.0, 0.0]
  assert of(rewards.valid_json, ['{"a": 1}', "{a: 1}"]) == [1.0, 0.0]
  with pytest.raises(ValueError, match="pattern = '\\('"):
    of(rewards.matches, ["a"], pattern="(")
