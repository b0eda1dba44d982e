"""Which findings are errors and which are warnings, why, and what to do.

An error is what training refuses, what would void a result, or what must not be
published; a warning is for somebody to look at.
"""

from typing import NamedTuple

from alignjax.data.bad import BadRow


class Finding(NamedTuple):
  """What is wrong with a row: `origin` is its file and line.

  severity: "error" or "warning". Personal data is shown masked.
  """

  origin: str
  rule: str
  severity: str
  what: str
  remedy: str


class Rule(NamedTuple):
  """Severity, why it is one, and the remedy."""

  severity: str
  why: str
  remedy: str


_REMOVE = "remove it, or put a made-up one in its place (name@example.com)"
_NUMBER = "remove it, or put a made-up one in its place"
_LICENCE = "--licence of the file, or `licence` in each row"
RULES = {
  "no rows": Rule(
    "error", "there is nothing to train on", "write rows, or mend those there"
  ),
  "duplicate": Rule(
    "error",
    "it counts twice, and may stand on both sides of a split",
    "remove one of the two; a row that shall count twice has weight 2",
  ),
  "mixed kinds": Rule(
    "error",
    "an objective reads one kind of rows and stops at another",
    "put each kind into a file of its own",
  ),
  "contamination": Rule(
    "error",
    "what is measured on rows that were trained on says nothing",
    "remove the row from what is trained on",
  ),
  "e-mail address": Rule("error", "somebody may be written to", _REMOVE),
  "IBAN": Rule("error", "its check digits fit: an account", _NUMBER),
  "card number": Rule("error", "its check digit fits: a card", _NUMBER),
  "social security number": Rule(
    "error", "it is written as those that are issued", _NUMBER
  ),
  "telephone number": Rule(
    "warning", "it has no check digit and may be another number", _NUMBER
  ),
  "IP address": Rule(
    "warning", "it may be a machine's that is nobody's", _NUMBER
  ),
  "near duplicate": Rule(
    "warning",
    "rows that differ in a few words may be meant",
    "remove the one that says less, or keep both knowingly",
  ),
  "repeated prompt": Rule(
    "warning",
    "two answers to one prompt may be meant",
    "keep the better answer, or make them a pair of preferences",
  ),
  "contradiction": Rule(
    "warning",
    "two people may differ, and training draws both ways",
    "keep the right one, or make them one row with a label",
  ),
  "empty turn": Rule(
    "warning",
    "what a model said before is learned as well, and so is saying nothing",
    "write the turn, or end the row before it",
  ),
  "language": Rule(
    "warning",
    "commonest words tell a language, and a translation has two",
    "translate or remove the row, or name its language by --language",
  ),
  "too short": Rule(
    "warning",
    "a short answer may be the right one",
    "write more, or lower --min-words",
  ),
  "too long": Rule(
    "warning",
    "a long answer may be the right one",
    "shorten it, or raise --max-words",
  ),
  "too many tokens": Rule(
    "warning",
    "training cuts, splits or drops it, as it is told to",
    "shorten the row, or train with more tokens (data.max_length)",
  ),
  "no cluster": Rule(
    "warning",
    "other rows have one, and this one counts in none",
    "name its cluster, or remove the field from all",
  ),
  "small cluster": Rule(
    "warning",
    "few rows teach little of it and measure less",
    "write more rows of it, or join it with another (--min-cluster)",
  ),
  "unbalanced clusters": Rule(
    "warning",
    "the largest sets what is learned",
    "write more of the smallest, or mix by weight (--max-ratio)",
  ),
  "no licence": Rule("warning", "nobody may use what has none", _LICENCE),
  "no source": Rule(
    "warning",
    "what it is made from cannot be looked up",
    "--source of the file, or `source` in each row",
  ),
}


def finding(origin: str, rule: str, what: str) -> Finding:
  """What breaks one of `RULES`."""
  severity, _, remedy = RULES[rule]
  return Finding(origin, rule, severity, what, remedy)


def refused(bad: BadRow) -> Finding:
  """A row that cannot be read: an error of its own kind (`alignjax.data.bad`).

  Its last line is the remedy, where it has several.
  """
  *lines, last = bad.reason.split("\n")
  what, remedy = ("; ".join(lines), last) if lines else (last, "")
  return Finding(bad.origin, bad.kind, "error", what, remedy)
