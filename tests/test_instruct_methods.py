"""Methods over a writer that is told what to say: rows, what is left out."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from alignjax.data import formats, preferences
from alignjax.instruct import prompts
from alignjax.instruct.made import Left, Tools
from alignjax.instruct.methods import (
  ai_feedback,
  best_of,
  guideline,
  self_instruct,
)
from alignjax.instruct.run import run
from alignjax.instruct.writers import Ask, Reply, Writer


def tools(tmp_path, say, judge=None, seed=0, name="r", **about):
  """say: request → text, or a Reply. about: what else is known of the judge."""

  def ask(say, name, about):
    def answer(requests, keep):
      for i, request in enumerate(requests):
        said = say(request)
        done = said if isinstance(said, Reply) else Reply(said, False, 5, 4)
        keep({i: done})

    return Ask(Writer({"by": name, **about}, answer, 0), tmp_path / name)

  judged = ask(judge, f"{name}.judge", about) if judge else None
  return Tools(ask(say, name, {}), judged, seed)


def unasked():
  """Tools whose weights may not be read yet."""

  def read():
    raise AssertionError("weights were read before settings were checked")

  ask = Ask(read, Path("nowhere"))
  return Tools(ask, ask, 0)


def parted(made):
  rows, left = [], []
  for one in made:
    (left if isinstance(one, Left) else rows).append(one)
  return rows, left


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


GUIDELINE = """\
# Tone
Say whether the e-mail is polite or rude.
## Rules
- Thanks are polite.
## Checks
labels: [polite, rude]
## Positive examples
Input: Thank you kindly.
Output: polite

Input: Give it here.
Output: rude
## Negative examples
Input: Hello there.
Output: friendly
Because: friendly is no label.
"""


def test_instances_by_a_guideline(tmp_path):
  file = tmp_path / "tone.md"
  file.write_text(GUIDELINE)
  said = iter(
    (
      "Input: Would you be so kind as to wait?\nOutput: polite",
      "Input: Get out of my way!\nOutput: rude",
      "Input: Fine.\nOutput: neutral",
      "Input: Thank you kindly.\nOutput: polite",
      "Polite.",
      "Input: None\nOutput: rude",
      Reply("Input: Much obliged for\nOutput: pol", True, 1, 1),
      "Input: Hurry up, I said now!\nOutput: rude",
      "Input: Many thanks in advance, dear all.\nOutput: polite",
      "Input: Might I have a word?\nOutput: polite",
    )
  )
  seen = []

  def say(request):
    seen.append(request)
    return next(said)

  options = dict(rows=9, rounds=2, prompts=5, examples=2, likeness=0.7)
  made = guideline.make(tools(tmp_path, say), guideline=str(file), **options)
  rows, left = parted(made)
  assert [row["output"] for row in rows] == ["polite", "rude", "rude", "polite"]
  assert rows[0]["instruction"] == "Say whether the e-mail is polite or rude."
  assert rows[0]["cluster"] == "Tone"
  assert rows[0]["made"]["guideline"] == "tone.md"
  assert [one.reason for one in left] == [
    'check labels: ["polite", "rude"]',
    "like an earlier one (ROUGE-L ≥ 0.7)",
    "not in the form of the examples",
    "no input",
    "cut at the limit of tokens",
    "another label than asked for",
  ]
  first = seen[0].turns
  assert "Thanks are polite." in first[0]["content"]
  assert "Wrong, because friendly is no label." in first[0]["content"]
  labels = [re.search(r"is (\w+)\.$", r.turns[-1]["content"])[1] for r in seen]
  assert labels == 5 * ["polite", "rude"]


@pytest.mark.parametrize(
  "changes, message",
  (
    (dict(rows=0), "rows = 0"),
    (dict(rounds=0), "rounds = 0"),
    (dict(prompts=0), "prompts = 0"),
    (dict(examples=0), "examples = 0"),
    (dict(likeness=-1.0), "likeness = -1.0"),
    (dict(guideline=""), "guideline = '' is no file"),
    (dict(guideline="none.md"), "guideline = 'none.md' is no file"),
  ),
)
def test_a_guideline_that_cannot_be_is_refused(tmp_path, changes, message):
  file = tmp_path / "tone.md"
  file.write_text(GUIDELINE)
  options = dict(rows=9, rounds=1, prompts=1, examples=2, likeness=0.7)
  options |= dict(guideline=str(file)) | changes
  with pytest.raises(ValueError, match=message):
    parted(guideline.make(unasked(), **options))


def test_what_has_no_form_is_kept_with_its_reason(tmp_path, seeds):
  file = tmp_path / "tone.md"
  file.write_text(GUIDELINE)
  options = dict(rows=9, rounds=1, prompts=1, examples=2, likeness=0.7)
  t = tools(tmp_path, lambda request: "Here is one.", name="a")
  _, left = parted(guideline.make(t, guideline=str(file), **options))
  assert left[0].about["said"] == "Here is one."

  def say(request):
    said = teacher(request)
    return "Just so." if "sky" in request.turns[-1]["content"][:30] else said

  t = tools(tmp_path, say, name="b")
  _, left = parted(self_instruct.make(t, seeds=seeds, **OPTIONS))
  (one,) = [x for x in left if "sky" in x.about.get("instruction", "")]
  assert one.reason == "no answer" and one.about["said"] == "Just so."


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


REFUSED = Reply("", False, 0, 0, "refused by the server")


def test_what_is_refused_is_left_out(tmp_path, seeds):
  file = tmp_path / "one.jsonl"
  row = {"prompt": "p", "licence": "CC0", "cluster": "math"}
  file.write_text(json.dumps(row) + "\n")
  options = dict(prompts=str(file), split="train", limit=0)
  best = options | dict(n=2, reward=f"{__name__}.longer", least=0.0)
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


def longer(turns, texts, rows):
  """A reward: words of an answer."""
  return [float(len(text.split())) for text in texts]


def test_the_best_of_several(tmp_path, asked):
  answers = {
    "Count to three.": ["one", "one two three", "one two"],
    "Name a bird.": ["", Reply("a very long story of", True, 1, 1), "Wren"],
    "And you?": ["", "", " "],
  }

  def say(request):
    return answers[request.turns[-1]["content"]][request.draw]

  options = dict(prompts=asked, split="train", limit=0, n=3)
  options |= dict(reward=f"{__name__}.longer", least=1.0)
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
  options |= dict(reward=f"{__name__}.longer") | changes
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
