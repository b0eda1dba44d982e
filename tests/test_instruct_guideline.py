"""Instances by a guideline, of a writer that is told what to say."""

import re

import pytest
from scripted_writers import parted, tools, unasked

from alignjax.instruct.methods import (
  guideline,
)
from alignjax.instruct.writers import Reply

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


def test_what_has_no_form_is_kept_as_it_was_said(tmp_path):
  file = tmp_path / "tone.md"
  file.write_text(GUIDELINE)
  options = dict(rows=9, rounds=1, prompts=1, examples=2, likeness=0.7)
  t = tools(tmp_path, lambda request: "Here is one.")
  _, left = parted(guideline.make(t, guideline=str(file), **options))
  assert left[0].about["said"] == "Here is one."
