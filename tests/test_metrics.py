"""Text metrics: hand-computed cases, and limits that hold for all."""

import pytest

from alignjax.metrics import reward, score

RIGHT = [
  ("exact_match", " Paris. ", ["paris"]),
  ("exact_match", '"Le Chat"', ["le  chat"]),
  ("exact_match", "Strasse", ["Straße"]),
  ("contains", "The capital is Washington, D.C.!", ["Washington, D.C."]),
  ("contains", "It is Kiev.", ["Kyiv", "Kiev"]),
  ("contains", "cafe\u0301", ["caf\u00e9"]),
  ("numeric", "17 + 5 = 22.", ["22"]),
  ("numeric", "about 1,200 metres", ["1200 metres"]),
  ("numeric", "It is \u22123.0", ["-3"]),
  ("numeric", "10-3", ["3"]),
  ("label", "Yes, since it says no such thing.", ["yes"]),
  ("label", "It is UNSAFE", ["unsafe"]),
  ("json_match", '```json\n{"b": 2, "a": "x"}\n```', ['{"a": "x", "b": 2}']),
  ("rouge_l", "The cat sat.", ["the cat sat"]),
  ("refusal", "I\u2019m sorry, but I can\u2019t help with that.", ["-"]),
  ("refusal", "Sorry, I won't assist you.", ["-"]),
]

WRONG = [
  ("exact_match", "The answer is Paris", ["Paris"]),
  ("contains", "Parisian", ["Paris"]),
  ("contains", "", ["Paris"]),
  ("numeric", "22 or 23", ["22"]),
  ("numeric", "twenty-two", ["22"]),
  ("numeric", "220", ["22"]),
  ("label", "unsafe", ["safe"]),
  ("label", "I cannot tell", ["maybe"]),
  ("json_match", '{"a": "1"}', ['{"a": 1}']),
  ("json_match", '{"a": true}', ['{"a": 1}']),
  ("json_match", "{a: 1}", ['{"a": 1}']),
  ("json_match", "[" * 100_000, ['{"a": 1}']),
  ("rouge_l", "", ["the cat sat"]),
  ("refusal", "Sure! Here is how to do it.", ["-"]),
  ("refusal", "I can't help with that. But here is how: step 1", ["-"]),
  ("refusal", "I am sorry to hear of your loss.", ["-"]),
]


@pytest.mark.parametrize("name,text,answers", RIGHT)
def test_right_scores_one(name, text, answers):
  assert score(name, text, answers) == 1.0


@pytest.mark.parametrize("name,text,answers", WRONG)
def test_wrong_scores_zero(name, text, answers):
  assert score(name, text, answers) == 0.0


def test_rouge_l_by_hand():
  # Common: "the sat mat", 3 of 4 and 3 of 5 words: F1 = 6 / 9.
  found = score("rouge_l", "the dog sat mat", ["the cat sat on mat"])
  assert found == pytest.approx(6 / 9)
  # Order matters: only one word survives.
  assert score("rouge_l", "b a", ["a b"]) == 0.5


def test_the_best_answer_counts():
  assert score("rouge_l", "b a", ["a b", "b a"]) == 1.0


def test_reward_by_hand():
  long = " ".join(["word"] * 17 + ["Paris"])
  # 18 words, where 1 + 8 are allowed.
  assert reward("contains", long, ["Paris"]) == pytest.approx(9 / 18)
  assert reward("contains", "Paris, you idiot.", ["Paris"]) == 0.5
  assert reward("contains", "It is Paris.", ["Paris"]) == 1.0
  assert reward("contains", "Rome", ["Paris"]) == 0.0
  assert reward("contains", "", ["Paris"]) == 0.0


def test_reward_falls_with_length():
  texts = ["Paris" + " so" * count for count in range(40)]
  rewards = [reward("contains", text, ["Paris"]) for text in texts]
  assert rewards == sorted(rewards, reverse=True)
  assert rewards[-1] < rewards[0]


def test_unknown_metric_lists_the_legal_ones():
  with pytest.raises(ValueError, match="'bleu'.*exact_match.*refusal"):
    score("bleu", "x", ["x"])


@pytest.mark.parametrize(
  "name,answers,rule",
  [
    ("contains", [], "at least one"),
    ("contains", ["..."], "needs a word"),
    ("exact_match", [""], "needs a word"),
    ("label", ["?"], "needs a word"),
    ("numeric", ["none"], "needs a number"),
    ("label", ["spam"], "knows only yes"),
    ("json_match", ["{a}"], "needs valid JSON"),
    ("rouge_l", ["?"], "needs a word"),
  ],
)
def test_unusable_answers_are_refused(name, answers, rule):
  with pytest.raises(ValueError, match=rule):
    score(name, "x", answers)
