"""What a rater can say, and how it is kept: towards a and b, not the sides."""

from typing import NamedTuple

from alignjax.data import turns

# As raters see them, and as they are kept where a is on the left.
CHOICES = ("left_much", "left", "tie", "right", "right_much", "both_bad")
KEPT = ("a_much", "a", "tie", "b", "b_much", "both_bad")
_OTHER = dict(zip(KEPT, ("b_much", "b", "tie", "a", "a_much", "both_bad")))
LABELS = ("harmful", "untrue", "unhelpful")
SIDES = ("left", "right")
REASONS = {
  "unclear": "the prompt is not clear",
  "unfamiliar": "I do not know enough about it",
  "upsetting": "I would rather not read it",
  "broken": "it is not shown as it should be",
  "other": "another reason, in the comment",
}
COMMENT = 4000  # characters, at most


class Vote(NamedTuple):
  """What a rater says of what they see.

  choice: of `CHOICES`. labels: (side, label), of `SIDES` and `LABELS`. comment:
  "" for none.
  """

  choice: str
  labels: tuple[tuple[str, str], ...] = ()
  comment: str = ""


def check(vote: Vote) -> Vote:
  """The same, tidied: labels in order and once, no white space around.

  Raises ValueError where there is no such choice or label, or where the comment
  is too long or no text.
  """
  if vote.choice not in CHOICES:
    raise ValueError(
      f"choice {vote.choice[:40]!r} is unknown; legal: {', '.join(CHOICES)}"
    )
  for side, label in vote.labels:
    if side not in SIDES or label not in LABELS:
      raise ValueError(
        f"label {(side[:40], label[:40])} is unknown; legal: "
        f"{' or '.join(SIDES)}, and {', '.join(LABELS)}"
      )
  labels = tuple(sorted(set(vote.labels)))
  return Vote(vote.choice, labels, check_comment(vote.comment))


def check_comment(comment: str) -> str:
  """A comment without white space around; ValueError where it is too long."""
  said = turns.text(comment, "comment", "vote").strip()
  # A form sends line ends as two characters.
  said = said.replace("\r\n", "\n")
  if len(said) > COMMENT:
    raise ValueError(
      f"the comment has {len(said):,} characters, {COMMENT:,} are kept; "
      "shorten it"
    )
  return said


def check_reason(reason: str, comment: str) -> None:
  """Raises ValueError where there is no such reason, or it says nothing."""
  if reason not in REASONS:
    raise ValueError(
      f"reason {reason[:40]!r} is unknown; legal: {', '.join(REASONS)}"
    )
  if reason == "other" and not comment:
    raise ValueError(
      "reason 'other' says nothing by itself; write it into the comment"
    )


def kept(vote: Vote, flipped: bool) -> tuple[str, tuple]:
  """(choice, labels) towards a and b. flipped: b is on the left."""
  choice = KEPT[CHOICES.index(vote.choice)]
  left, right = ("b", "a") if flipped else ("a", "b")
  labels = ((left if s == "left" else right, x) for s, x in vote.labels)
  return _OTHER[choice] if flipped else choice, tuple(sorted(labels))


def seen(choice: str, labels, comment: str, flipped: bool) -> Vote:
  """The vote that `kept` gives this choice and these labels."""
  choice = CHOICES[KEPT.index(_OTHER[choice] if flipped else choice)]
  left = "b" if flipped else "a"
  labels = (("left" if s == left else "right", x) for s, x in labels)
  return Vote(choice, tuple(sorted(labels)), comment)


def strength(choice: str) -> int | None:
  """-2 (a is much better) to 2 (b is); None for both bad, which is no step."""
  return None if choice == "both_bad" else KEPT.index(choice) - 2


def winner(choice: str) -> str | None:
  """Of a choice as it is kept: "a", "b" or "tie"; None for both bad."""
  return {"tie": "tie", "both_bad": None}.get(choice, choice[0])
