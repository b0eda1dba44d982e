"""What models write, taken apart; what is new; guidelines as they are read."""

import pytest

from alignjax.instruct import guidelines, parsing
from alignjax.instruct.novelty import Pool


@pytest.mark.parametrize(
  "text, cut, items",
  (
    ("1. One.\n2. Two.", False, ["One.", "Two."]),
    ("Sure:\n\n9) Nine is\nlong.\n10) Ten", False, ["Nine is long.", "Ten"]),
    ("1. One.\n2. Tw", True, ["One."]),
    ("1. **One**: it.\n\nThat is all.", False, ["One: it."]),
    ("Task 3: Three", False, ["Three"]),
    ("1. Add\n3.5 pounds.\n2. At\n3:30", False, ["Add 3.5 pounds.", "At 3:30"]),
    ("1.**Bold** one.\n2.", False, ["Bold one.", ""]),
    ("No list.", False, []),
    ("1. One", True, []),
    ("", False, []),
  ),
)
def test_numbered(text, cut, items):
  assert parsing.numbered(text, cut) == items


def test_parts_are_what_stands_after_their_names():
  text = "Sure.\n**Input:** a\nb\noutput: c\nInput: again"
  names = ("Input", "Output", "Because")
  assert parsing.parts(text, names) == {"Input": "a\nb", "Output": "c"}
  assert parsing.parts("Output: ```py\nx = 1\n```", names) == {
    "Output": "x = 1"
  }
  # A name within a line is no part.
  assert parsing.parts("Input: see Output: x", names) == {
    "Input": "see Output: x"
  }


@pytest.mark.parametrize(
  "text, said",
  (("Yes.", True), (" **No**, it", False), ("Maybe", None), ("not", None)),
)
def test_yes(text, said):
  assert parsing.yes(text) is said


def test_likeness_is_rouge_l():
  pool = Pool(["Write a short poem about rain", "Add two numbers"])
  # LCS "write a poem about" of 6 and 5 words: 2·4 / 11.
  assert pool.likeness("Write a poem about snow") == pytest.approx(8 / 11)
  assert pool.likeness("ADD two numbers!") == 1
  assert pool.likeness("entirely other words") == 0
  assert Pool().likeness("a") == 0


GUIDELINE = """\
# Tone

Say whether the e-mail is polite
or rude.

## Rules
- Thanks are polite.

## Checks
labels: [polite, rude]
input_min_words: 2

## Positive examples
Input: Thank you kindly.
Output: polite
Because: it thanks.

Input: Give it
  here.
Output: rude

## Negative examples
Input: Hello there.
Output: friendly
Because: friendly is no label.
"""


def read(tmp_path, text):
  file = tmp_path / "tone.md"
  file.write_text(text)
  return guidelines.read(file)


def test_a_guideline_is_read(tmp_path):
  found = read(tmp_path, GUIDELINE)
  assert found.title == "Tone"
  assert found.task == "Say whether the e-mail is polite or rude."
  assert found.rules == "- Thanks are polite."
  assert found.checks == {"labels": ["polite", "rude"], "input_min_words": 2}
  assert found.positive[0] == ("Thank you kindly.", "polite", "it thanks.")
  assert found.positive[1] == ("Give it\n  here.", "rude", "")
  assert found.negative[0].because == "friendly is no label."


def test_what_stands_in_a_fence_is_no_heading(tmp_path):
  text = GUIDELINE.replace(
    "Input: Thank you kindly.", "Input: ```py\n# Thank you\n## Checks\n```"
  )
  assert read(tmp_path, text).positive[0].input == "# Thank you\n## Checks"


@pytest.mark.parametrize(
  "old, new, message",
  (
    ("# Tone", "Tone", "does not begin with a title"),
    ("# Tone", "No names.\n# Tone", "does not begin with a title"),
    ("[polite, rude]", "[polite, no]", "'labels' has False.*\n.*quotes"),
    ("## Rules", "## Rulez", "tone.md:6: section 'Rulez' is unknown"),
    ("## Rules", "## Checks", "'Checks' is twice"),
    ("Say whether the e-mail is polite\nor rude.", "", "lacks a sentence"),
    ("## Positive", "## Negative", "is twice"),
    ("labels: [", "label: [", "check 'label' is unknown"),
    ("labels: [polite, rude]", "labels: polite", "is str, wants list"),
    ("labels: [polite, rude]", "pattern: '['", "pattern '\\[' is none"),
    ("labels: [polite, rude]", "- x", "checks are|no YAML"),
    ("Output: rude", "Output: blunt", "positive example 'blunt' breaks"),
    ("Output: rude", "Out: rude", "without Input: or Output:"),
  ),
)
def test_what_is_wrong_with_a_guideline_is_said(tmp_path, old, new, message):
  assert GUIDELINE.count(old) >= 1
  with pytest.raises(ValueError, match=message):
    read(tmp_path, GUIDELINE.replace(old, new, 1))


@pytest.mark.parametrize(
  "checks, output, kept",
  (
    ("max_words: 2", "one two", True),
    ("max_words: 2", "one two three", False),
    ("min_words: 2", "one", False),
    ("input_max_words: 1", "any", False),
    ("pattern: '\\d+ kg'", "12 kg", True),
    ("pattern: '\\d+ kg'", "12 kg.", False),
    ("contains: [kg, '12']", "12 KG", True),
    ("contains: [kg, '12']", "kg", False),
    ("avoids: [Sorry]", "so sorry", False),
    ("json: true", '{"a": 1}', True),
    ("json: true", "{a}", False),
    ("from_input: true", "two", True),
    ("from_input: true", "three", False),
  ),
)
def test_checks(tmp_path, checks, output, kept):
  made = read(tmp_path, "# T\nDo.\n## Positive examples\nInput: x\nOutput: y\n")
  made = made._replace(checks=guidelines._checks(checks, tmp_path))
  assert (guidelines.fault(made, "one two", output) == "") is kept
