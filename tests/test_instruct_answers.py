"""Prompts, the best of several answers, and answers that a model compares."""

import json
import re
from pathlib import Path

import pytest
from scripted_writers import parted, tools, unasked

from alignjax.data import formats, preferences
from alignjax.instruct import prompts
from alignjax.instruct.methods import ai_feedback, best_of
from alignjax.instruct.writers import Reply


@pytest.fixture
def asked(tmp_path):
  file = tmp_path / "prompts.jsonl"
  rows = [
    {"prompt": "Count to three.", "id": "p0"},
    {"prompt": "Name a bird.", "completion": "Wren", "id": "p1"},
    {"prompt": "Name a bird.", "chosen": "Wren", "rejected": "Cow"},
    {"messages": [
      {"role": "user", "content": "Hi"},
      {"role": "assistant", "content": "Hello"},
      {"role": "user", "content": "And you?"},
      {"role": "assistant", "content": "Well."},
    ]},
  ]  # fmt: skip
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


def test_prompts_of_rows_of_any_format_each_once(tmp_path, asked):
  found = prompts.read(asked, "train", 0)
  assert [p.id for p in found][:2] == ["p0", "p1"]
  copy = tmp_path / "copy.jsonl"
  copy.write_bytes(Path(asked).read_bytes())
  # Without an id the turns are told apart, wherever they stand.
  assert prompts.read(str(copy), "train", 0)[2].id == found[2].id
  assert [len(p.turns) for p in found] == [1, 1, 3]
  assert [p.id for p in prompts.read("suite", "train", 2)]
  assert len(prompts.read(asked, "train", 1)) == 1


@pytest.mark.parametrize(
  "second, message",
  (
    ({"prompt": "Other?", "id": "p0"}, "'p0' stands in .*:1 already"),
    ({"text": "No question."}, "no prompt in this row; its keys: text"),
    ({"prompt": "Other?", "id": 7}, "'7' stands in .*:2 already"),
  ),
)
def test_prompts_that_cannot_be_are_refused(tmp_path, second, message):
  file = tmp_path / "prompts.jsonl"
  rows = [{"prompt": "One?", "id": "p0"}, {"prompt": "Two?", "id": "7"}, second]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  with pytest.raises(ValueError, match=message):
    prompts.read(str(file), "train", 0)


@pytest.mark.parametrize("path, limit", (("", 0), ("suite", -1)))
def test_prompts_of_no_path_are_refused(path, limit):
  with pytest.raises(ValueError, match=f"prompts = '{path}', limit = {limit}"):
    prompts.read(path, "train", limit)


def test_the_best_of_several(tmp_path, asked):
  answers = {
    "Count to three.": ["one", "one two three", "one two"],
    "Name a bird.": ["", Reply("a very long story of", True, 1, 1), "Wren"],
    "And you?": ["", "", " "],
  }

  def say(request):
    return answers[request.turns[-1]["content"]][request.draw]

  options = dict(prompts=asked, split="train", limit=0, n=3)
  options |= dict(reward="scripted_writers.longer", least=1.0)
  rows, left = parted(best_of.make(tools(tmp_path, say), **options))
  assert [row["messages"][-1]["content"] for row in rows] == [
    "one two three",
    "Wren",
  ]
  assert rows[0]["score"] == 3 and rows[0]["made"]["mean"] == 2
  assert [one.reason for one in left] == [
    "no answer that is whole and has a score"
  ]
  for row in rows:
    formats.example(row, "x:1")
  options["least"] = 2.0
  rows, left = parted(best_of.make(tools(tmp_path, say), **options))
  assert len(rows) == 1 and left[0].reason == "no answer scores 2 or more"


def all_alike(turns, texts, rows):
  return [1.0 for _ in texts]


def too_few(turns, texts, rows):
  return [1.0]


def unsure(turns, texts, rows):
  return [None, float("inf"), 0.5]


@pytest.mark.parametrize("rule, best", ((all_alike, "z"), (unsure, "m")))
def test_the_first_of_equals_and_only_numbers(tmp_path, rule, best):
  file = tmp_path / "one.jsonl"
  file.write_text('{"prompt": "p"}\n')
  t = tools(tmp_path, lambda request: "zam"[request.draw])
  options = dict(prompts=str(file), split="train", limit=0, n=3, least=0.0)
  reward = f"{__name__}.{rule.__name__}"
  rows, _ = parted(best_of.make(t, reward=reward, **options))
  assert rows[0]["messages"][-1]["content"] == best


@pytest.mark.parametrize(
  "changes, message",
  (
    (dict(n=1), "n = 1"),
    (dict(reward="nowhere"), "is no folder of a reward"),
    (dict(reward=""), "reward = '' is no folder"),
    (dict(reward="alignjax.rewards.length"), "missing .* argument: 'low'"),
    (dict(reward="broken_rule.score"), "No module named 'not_there'"),
    (dict(least=float("nan")), "least = nan"),
  ),
)
def test_a_best_that_cannot_be_is_refused(
  tmp_path, asked, monkeypatch, changes, message
):
  options = dict(prompts=asked, split="train", limit=0, n=2, least=0.0)
  options |= dict(reward="scripted_writers.longer") | changes
  (tmp_path / "broken_rule.py").write_text("import not_there\n")
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(ValueError, match=message):
    parted(best_of.make(unasked(), **options))


def test_a_rule_that_gives_too_few_scores_is_refused(tmp_path, asked):
  options = dict(prompts=asked, split="train", limit=0, n=2, least=0.0)
  options |= dict(reward=f"{__name__}.too_few")
  with pytest.raises(ValueError, match="gives 1 scores for 6 answers"):
    parted(best_of.make(tools(tmp_path, lambda request: "x"), **options))


def test_ai_feedback_asks_both_orders(tmp_path, asked):
  answers = {
    "Count to three.": ["one two three", "one"],
    "Name a bird.": ["Wren", "Swan"],
    "And you?": ["same", " same"],
  }

  def say(request):
    return answers[request.turns[-1]["content"]][request.draw]

  seen = []

  def judge(request):
    """The longer answer; of two that are as long, the first."""
    text = request.turns[-1]["content"]
    seen.append(text)
    _, a, b = re.findall(r"--- begin \w+ ---\n(.*?)\n--- end", text, re.S)
    return "[[2]]" if len(b) > len(a) else "[[1]]"

  options = dict(prompts=asked, split="train", limit=0, principles="")
  t = tools(tmp_path, say, judge)
  rows, left = parted(ai_feedback.make(t, **options, agree=True))
  assert len(seen) == 4 and len(rows) == 1
  assert rows[0]["chosen"] == "one two three" and rows[0]["label"] == 1.0
  assert rows[0]["made"]["first"] == [1.0, 0.0]
  assert [one.reason for one in left] == [
    "both answers are the same",
    "verdict changes with the order",
  ]
  (one,) = preferences.read_row(rows[0], "x:1")
  assert one.label == 1.0
  rules = ai_feedback.read_principles(ai_feedback.PRINCIPLES)
  assert len(rules) == 10 and all(r.startswith("Prefer") for r in rules)
  assert rows[0]["made"]["principle"] in rules


@pytest.mark.parametrize(
  "verdicts, agree, label",
  (
    (("[[1]]", "[[2]]"), True, 1.0),
    (("[[1]]", "[[tie]]"), True, None),
    (("[[1]]", "[[tie]]"), False, 0.75),
    (("[[tie]]", "[[2]]"), False, 0.75),
    (("[[2]]", "[[tie]]"), False, 0.75),
    (("[[1]]", "[[1]]"), False, None),
    (("[[tie]]", "[[tie]]"), False, None),
    (("[[1]]", "well"), False, None),
  ),
)
def test_labels_of_two_verdicts(tmp_path, verdicts, agree, label):
  file = tmp_path / "one.jsonl"
  file.write_text('{"prompt": "p"}\n')
  said = iter(verdicts)
  t = tools(tmp_path, lambda r: "ab"[r.draw], lambda r: next(said))
  options = dict(prompts=str(file), split="train", limit=0, principles="")
  rows, left = parted(ai_feedback.make(t, **options, agree=agree))
  assert [row["label"] for row in rows] == ([label] if label else [])
  assert len(left) == (label is None)
  if rows:
    assert rows[0]["chosen"] == ("b" if verdicts[0] == "[[2]]" else "a")


@pytest.mark.parametrize(
  "sure, agree, label",
  (
    (("0.8", "0.3"), True, 0.75),
    (("0.8", "0.6"), True, None),
    (("0.8", "0.6"), False, 0.6),
    (("0.2", "0.9"), True, 0.85),
    (("0.5", "0.5"), False, None),
    (("0.123457", "0.123457"), False, None),  # p + 1 - p is not always 1
  ),
)
def test_labels_of_two_probabilities(tmp_path, sure, agree, label):
  file = tmp_path / "one.jsonl"
  file.write_text('{"prompt": "p"}\n')
  said, asked = iter(sure), []

  def judge(request):
    asked.append(request.turns[-1]["content"])
    return next(said)

  t = tools(tmp_path, lambda r: "ab"[r.draw], judge, choices=["1", "2"])
  options = dict(prompts=str(file), split="train", limit=0, principles="")
  rows, left = parted(ai_feedback.make(t, **options, agree=agree))
  assert [row["label"] for row in rows] == pytest.approx(
    [label] if label else []
  )
  assert len(left) == (label is None)
  assert all(x.endswith("Say its number alone.") for x in asked)
  if rows:
    assert rows[0]["chosen"] == ("b" if sure[0] == "0.2" else "a")


def test_principles_as_lists_are_written(tmp_path):
  file = tmp_path / "p.md"
  file.write_text("1. Be kind.\n2. Be brief\nand short.\n\nNot this.\n")
  found = ai_feedback.read_principles(file)
  assert found == ["Be kind.", "Be brief and short."]
  file.write_text("# P\n- Be kind:\n  - in words\n* Be brief.\n# More\n")
  found = ai_feedback.read_principles(file)
  assert found == ["Be kind: - in words", "Be brief."]
  file.write_text("- Prefer what does not say {prompt}.\n")
  with pytest.raises(ValueError, match="{prompt} in .* would be replaced"):
    ai_feedback.read_principles(file)


def test_ai_feedback_needs_a_judge_and_principles(tmp_path, asked):
  options = dict(prompts=asked, split="train", limit=0, agree=True)
  with pytest.raises(ValueError, match="nobody compares"):
    t = tools(tmp_path, lambda r: "x")
    parted(ai_feedback.make(t, principles="", **options))
  with pytest.raises(ValueError, match="principles = 'none.md' is no file"):
    parted(ai_feedback.make(unasked(), principles="none.md", **options))
  file = tmp_path / "none.md"
  file.write_text("Be good.")
  with pytest.raises(ValueError, match="has no principle"):
    t = tools(tmp_path, lambda r: "x", lambda r: "y")
    parted(ai_feedback.make(t, principles=str(file), **options))
