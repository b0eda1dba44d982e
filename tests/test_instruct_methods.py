"""Self-instruct, and what methods share: runs, and what is left out."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from scripted_writers import parted, tools, unasked

from alignjax.data import formats
from alignjax.instruct.methods import (
  ai_feedback,
  best_of,
  self_instruct,
)
from alignjax.instruct.run import run
from alignjax.instruct.writers import Reply

SEEDS = [
  ("Say whether the review is good or bad.", "Fine food.", "good", True),
  ("Tell if the number is even or odd.", "4", "even", True),
  ("Name the colour of a ripe lemon.", "", "Yellow", False),
  ("Put the sentence into the past.", "I go.", "I went.", False),
]


@pytest.fixture
def seeds(tmp_path):
  file = tmp_path / "seeds.jsonl"
  rows = [
    {
      "instruction": text,
      "instances": [{"input": given, "output": answer}],
      "is_classification": kind,
    }
    for text, given, answer, kind in SEEDS
  ]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


TASKS = """\
1. Count the vowels of the given word.
2. Count the vowels of the given word.
3. Draw a picture of a house.
4. Short one.
5. - nothing at all here
6. Decide if the animal is a bird or a fish.
7. Explain why the sky looks blue at noon.
8. List three uses of an old newspaper.
"""


def teacher(request):
  """What a good model would say."""
  text = request.turns[-1]["content"]
  if text.startswith("Write 8 other"):
    return TASKS
  if "fixed answers" in text:
    return "Yes" if "bird or a fish" in text else "No."
  if "vowels" in text:
    return "Input: banana\nAnswer: 3"
  if "bird or" in text:
    return "Answer: fish\nInput: salmon"
  if "sky" in text:
    return "Input: None\nAnswer: Blue light is scattered most."
  return Reply("Input: None\nAnswer: It can wrap", True, 5, 4)


OPTIONS = dict(
  rows=10,
  rounds=1,
  prompts=1,
  shown=4,
  machine=1,
  more=8,
  examples=2,
  likeness=0.7,
)


def test_self_instruct(tmp_path, seeds):
  t = tools(tmp_path, teacher)
  rows, left = parted(self_instruct.make(t, seeds=seeds, **OPTIONS))
  assert [
    (row["instruction"], row["input"], row["output"]) for row in rows
  ] == [
    ("Count the vowels of the given word.", "banana", "3"),
    ("Decide if the animal is a bird or a fish.", "salmon", "fish"),
    (
      "Explain why the sky looks blue at noon.",
      "",
      "Blue light is scattered most.",
    ),
  ]
  assert [row["made"]["branch"] for row in rows] == [
    "input first",
    "answer first",
    "input first",
  ]
  assert [one.reason.split(" (")[0] for one in left] == [
    "instruction like an earlier one",
    "instruction about what is no text",
    "instruction of less than 3 or more than 150 words",
    "instruction that begins with punctuation",
    "answer cut at the limit of tokens",
  ]
  for row in rows:
    assert len(formats.example(row, "x:1").messages) == 2


def test_what_is_shown_are_turns_of_seeds(tmp_path, seeds):
  seen = []

  def say(request):
    seen.append(request)
    return teacher(request)

  parted(self_instruct.make(tools(tmp_path, say), seeds=seeds, **OPTIONS))
  first = seen[0].turns
  assert [t["role"] for t in first] == ["user", "assistant", "user"]
  numbers = re.findall(r"^(\d)\. (.+)$", first[1]["content"], re.M)
  assert sorted(text for _, text in numbers) == sorted(s[0] for s in SEEDS)
  (classified,) = [
    r for r in seen if "bird or" in r.turns[-1]["content"] and len(r.turns) == 5
  ]
  # The answer first, so that inputs are not all of one class.
  assert classified.turns[1]["content"].startswith("Answer: ")


def test_a_later_round_shows_what_the_model_wrote(tmp_path, seeds):
  seen = []

  def say(request):
    seen.append(request.turns)
    return teacher(request)

  options = OPTIONS | dict(rounds=2)
  parted(self_instruct.make(tools(tmp_path, say), seeds=seeds, **options))
  asked = [t for t in seen if t[-1]["content"].startswith("Write 8 other")]
  written = [x for x in TASKS.splitlines() if "vowels" in x or "sky" in x]
  written += [x for x in TASKS.splitlines() if "bird" in x or "newsp" in x]
  assert len(asked) == 2
  shown = asked[1][1]["content"]
  assert sum(x.split(". ", 1)[1] in shown for x in {*written[1:]}) == 1


def test_a_run_that_was_killed_ends_with_the_same_bytes(tmp_path, seeds):
  def make(t):
    return self_instruct.make(t, seeds=seeds, **OPTIONS)

  def go(folder, say):
    folder.mkdir(exist_ok=True)
    prices = {"writer": (1.0, 2.0), "judge": (0.0, 0.0)}
    return run(
      make,
      tools(folder, say),
      folder,
      about={"seed": 0, "method": {"name": "m", "seeds": seeds, "rows": 3}},
      prices=prices,
      show=lambda text: None,
    )

  whole = go(tmp_path / "whole", teacher)
  calls = []

  def dies(request):
    calls.append(request)
    if len(calls) == 7:
      raise KeyboardInterrupt
    return teacher(request)

  with pytest.raises(KeyboardInterrupt):
    go(tmp_path / "again", dies)
  assert not (tmp_path / "again" / "rows.jsonl").exists()
  found = go(tmp_path / "again", teacher)
  for name in ("rows.jsonl", "rejected.jsonl"):
    first, second = (tmp_path / x / name for x in ("whole", "again"))
    assert first.read_bytes() == second.read_bytes()
  assert found["rows"] == whole["rows"] == 3
  used = found["used"]["writer"]
  assert used["new"] == used["requests"] - 6
  # 5 tokens read at 1 and 4 written at 2, of a million each
  assert used["cost"] == pytest.approx(used["requests"] * 13e-6)
  assert sum(found["rejected"].values()) == 5
  digest = hashlib.sha256(Path(seeds).read_bytes()).hexdigest()
  assert found["files"] == {"seeds": digest[:16]}
  row = json.loads((tmp_path / "again/rows.jsonl").read_text().split("\n")[0])
  assert row["made"]["by"] == {"by": "r"} and row["made"]["round"] == 0


def test_a_folder_of_another_config_is_refused(tmp_path):
  def go(**config):
    return run(
      lambda t: iter([{"id": "1"}]),
      tools(tmp_path, teacher),
      tmp_path,
      about={"seed": 0, "method": {"name": "m", "rows": 1}, **config},
      prices={"writer": (0.0, 0.0), "judge": (0.0, 0.0)},
      show=lambda text: None,
    )

  go()
  rows = (tmp_path / "rows.jsonl").read_bytes()
  go(method={"name": "m", "rows": 2})  # more of the same
  assert json.loads(rows)["made"] == {"by": {"by": "r"}}  # it said nothing
  with pytest.raises(ValueError, match="made with seed = 0, now 1"):
    go(seed=1)
  with pytest.raises(ValueError, match="method.name = 'm', now 'n'"):
    go(method={"name": "n", "rows": 1})
  assert (tmp_path / "rows.jsonl").read_bytes() == rows


@pytest.mark.parametrize(
  "changes, message",
  (
    (dict(shown=5), "shown = 5 of 4 seeds"),
    (dict(machine=4), "machine = 4"),
    (dict(likeness=0.0), "likeness"),
    (dict(examples=3), "of the seeds 2 are"),
    (dict(examples=-1), "examples = -1"),
    (dict(rounds=0), "rounds = 0.\nLegal: 1 or more"),
    (dict(prompts=0), "prompts = 0"),
    (dict(rows=0), "rows = 0"),
    (dict(seeds=""), "seeds is empty"),
  ),
)
def test_settings_that_cannot_be_are_refused(seeds, changes, message):
  with pytest.raises(ValueError, match=message):
    parted(
      self_instruct.make(unasked(), **dict(seeds=seeds) | OPTIONS | changes)
    )


@pytest.mark.parametrize(
  "said, parts",
  (
    ("Input: a\nOutput: b", ("a", "b")),
    ("Input: a\nAnswer: run\nOutput: 5\nend", ("a", "run\nOutput: 5\nend")),
    ("Input: a\nOutput: one\nOutput: two", ("a", "one")),
    ("Input: a\nAnswer: do\nTask: this", ("a", "do\nTask: this")),
    ("Input: a\nAnswer: b\nTask: T\nInput: c\nAnswer: d", ("a", "b")),
    ("Answer: b\nInput: a\nTask: T\nAnswer: d\nInput: c", ("a", "b")),
  ),
)
def test_an_answer_is_whole(said, parts):
  found = self_instruct._parts(said)
  assert (found["Input"], found["Answer"]) == parts


@pytest.mark.parametrize(
  "row, reason",
  (
    (dict(input="", output="  "), "no answer"),
    (dict(input="", output="None."), "no answer"),
    (dict(input="a b", output="A B"), "repeats"),
    (dict(input="", output="Do it."), "repeats"),
    (dict(input="w " * 301, output="x"), "more than 300"),
    (dict(input="", output="tofu and rice " * 9), "repeats itself"),
    (dict(input="", output="tofu and rice " * 3), "^$"),
    (dict(input="a", output="b"), "^$"),
  ),
)
def test_instances_that_are_no_rows(row, reason):
  made = {"instruction": "do it.", **row}
  assert re.search(reason, self_instruct.instance_unfit(made, False))


def test_what_has_no_answer_is_kept_as_it_was_said(tmp_path, seeds):
  def say(request):
    said = teacher(request)
    return "Just so." if "sky" in request.turns[-1]["content"][:30] else said

  t = tools(tmp_path, say)
  _, left = parted(self_instruct.make(t, seeds=seeds, **OPTIONS))
  (one,) = [x for x in left if "sky" in x.about.get("instruction", "")]
  assert one.reason == "no answer" and one.about["said"] == "Just so."


REFUSED = Reply("", False, 0, 0, "refused by the server")


def test_what_is_refused_is_left_out(tmp_path, seeds):
  file = tmp_path / "one.jsonl"
  row = {"prompt": "p", "licence": "CC0", "cluster": "math"}
  file.write_text(json.dumps(row) + "\n")
  options = dict(prompts=str(file), split="train", limit=0)
  best = options | dict(n=2, reward="scripted_writers.longer", least=0.0)
  fed = options | dict(principles="", agree=True)
  t = tools(tmp_path, lambda request: REFUSED, lambda request: "[[1]]")
  for made in (
    best_of.make(t, **best),
    ai_feedback.make(t, **fed),
    self_instruct.make(t, seeds=seeds, **OPTIONS),
  ):
    rows, left = parted(made)
    assert not rows and [x.reason for x in left] == ["refused by the server"]

  def say(request):
    return "xy"[request.draw]

  t = tools(tmp_path, say, lambda request: REFUSED, name="j")
  _, left = parted(ai_feedback.make(t, **fed))
  assert [x.reason for x in left] == ["refused by the server"]
  # A comparison that is too long for a judge stops nothing, either.
  said = iter(["[[1]]", "[[2]]"])
  t = tools(tmp_path, say, lambda request: next(said), name="k")

  def check(requests):
    if any("y" in r.turns[-1]["content"].split() for r in requests):
      raise ValueError("too long")

  t.judge.writer = t.judge.writer._replace(check=check)
  _, left = parted(ai_feedback.make(t, **fed))
  assert [x.reason for x in left] == ["a comparison that the judge cannot read"]
  assert left[0].about["said"] == "too long"
  t.judge.writer = t.judge.writer._replace(check=lambda requests: None)
  # And a row has the rights and the cluster of its prompt.
  for made in (best_of.make(t, **best), ai_feedback.make(t, **fed)):
    (row,), _ = parted(made)
    assert row["licence"] == "CC0" and row["cluster"] == "math"
