"""Annotation guidelines: a Markdown file that people work by, read.

  # Tone of e-mails
  Say whether the e-mail is polite, neutral or rude.
  ## Rules
  - A request without thanks is neutral.
  ## Checks
  labels: [polite, neutral, rude]
  ## Positive examples
  Input: …
  Output: polite
  Because: …
  ## Negative examples
  Input: …
  Output: friendly
  Because: friendly is none of the labels.

The parts that Super-NaturalInstructions gives a task (Wang et al. 2022,
https://arxiv.org/abs/2204.07705, section 3): definition, examples of both
kinds with explanations. Rules are for the model that reads them, checks (YAML)
for what it writes.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from alignjax.instruct import parsing

SECTIONS = ("rules", "checks", "positive examples", "negative examples")


class Instance(NamedTuple):
  """input: "" where the task needs none. because: "" where it is not said."""

  input: str
  output: str
  because: str


class Guideline(NamedTuple):
  """task: what is asked for. rules: as they stand. checks: name → value."""

  title: str
  task: str
  rules: str
  checks: dict
  positive: tuple[Instance, ...]
  negative: tuple[Instance, ...]


def read(path: Path) -> Guideline:
  """The guideline of a file.

  Raises ValueError, with the line, for a part that is missing or unknown.
  """
  text = path.read_text("utf-8")
  # Within a fence a # is of the text.
  bare = re.sub(r"(?s)```.*?```", lambda m: m[0].replace("#", "-"), text)
  heads = [*re.finditer(r"^(#{1,2}) +(.+?) *$", bare, re.M)]
  if not heads or len(heads[0][1]) != 1 or bare[: heads[0].start()].strip():
    raise ValueError(
      f"{path} does not begin with a title; what stands before is not read.\n"
      "Write `# Title`, what is asked for, and sections: "
      f"{', '.join('## ' + name.capitalize() for name in SECTIONS)}."
    )
  ends = [*(h.start() for h in heads[1:]), len(text)]
  found: dict[str, str] = {}
  for head, end in zip(heads[1:], ends[1:]):
    name, line = head[2].casefold(), text.count("\n", 0, head.start()) + 1
    if name not in SECTIONS or name in found:
      wrong = "twice" if name in found else "unknown"
      raise ValueError(
        f"{path}:{line}: section {head[2]!r} is {wrong}.\n"
        f"Legal, once each: {', '.join(SECTIONS)}."
      )
    found[name] = text[head.end() : end].strip()
  task = text[heads[0].end() : ends[0]].strip()
  positive = _examples(found.get("positive examples", ""), path)
  if not task or not positive:
    lacks = "a sentence on what is asked for" if not task else "an example"
    raise ValueError(
      f"{path} lacks {lacks}.\nWrite it below the title; examples stand under "
      "`## Positive examples`, each as Input: …, Output: …"
    )
  checks = _checks(found.get("checks", ""), path)
  made = Guideline(
    heads[0][2],
    " ".join(task.split()),
    found.get("rules", ""),
    checks,
    positive,
    _examples(found.get("negative examples", ""), path),
  )
  for one in positive:
    if reason := fault(made, one.input, one.output):
      raise ValueError(
        f"{path}: the positive example {one.output[:60]!r} breaks a check: "
        f"{reason}.\nMend the example, or the check."
      )
  return made


def _examples(text: str, path: Path) -> tuple[Instance, ...]:
  parts = re.split(r"^(?=Input *:)", text, flags=re.M)
  found = []
  for part in filter(str.strip, parts):
    read = parsing.parts(part, ("Input", "Output", "Because"))
    if not {"Input", "Output"} <= read.keys():
      raise ValueError(
        f"{path}: an example without Input: or Output: {part.strip()[:60]!r}."
        "\nEach begins with Input: (None where there is none), then Output:."
      )
    given = "" if read["Input"].casefold() == "none" else read["Input"]
    found.append(Instance(given, read["Output"], read.get("Because", "")))
  return tuple(found)


def fault(guideline: Guideline, given: str, output: str) -> str:
  """The first check that an instance fails, in words; "" for none."""
  for name, value in guideline.checks.items():
    if not _CHECKS[name][1](value, given.strip(), output.strip()):
      return f"{name}: {json.dumps(value, ensure_ascii=False)}"
  return ""


def _parses(text: str) -> bool:
  try:
    json.loads(text)
  except (ValueError, RecursionError):
    return False
  return True


def _size(text: str) -> int:
  return len(text.split())


def _has(parts: list, text: str) -> list[bool]:
  return [part.casefold() in text.casefold() for part in parts]


_Check = Callable[..., bool]
# Name → type, and whether (value, input, output) keeps it.
_CHECKS: Mapping[str, tuple[type, _Check]] = {
  "labels": (list, lambda v, i, o: o in v),
  "min_words": (int, lambda v, i, o: _size(o) >= v),
  "max_words": (int, lambda v, i, o: _size(o) <= v),
  "input_min_words": (int, lambda v, i, o: _size(i) >= v),
  "input_max_words": (int, lambda v, i, o: _size(i) <= v),
  "pattern": (str, lambda v, i, o: re.fullmatch(v, o, re.S) is not None),
  "contains": (list, lambda v, i, o: all(_has(v, o))),
  "avoids": (list, lambda v, i, o: not any(_has(v, o))),
  "json": (bool, lambda v, i, o: _parses(o) == v),
  "from_input": (bool, lambda v, i, o: (o.casefold() in i.casefold()) == v),
}


def _checks(text: str, path: Path) -> dict:
  text = re.sub(r"^```\w*$", "", text, flags=re.M)
  try:
    found = yaml.safe_load(text) or {}
  except yaml.YAMLError as error:
    raise ValueError(f"{path}: checks are no YAML: {error}.") from None
  if not isinstance(found, dict):
    raise ValueError(
      f"{path}: checks are {type(found).__name__}, not `name: value` lines.\n"
      f"Legal: {', '.join(_CHECKS)}."
    )
  for name, value in found.items():
    kind = _CHECKS[name][0] if name in _CHECKS else None
    if kind is None or type(value) is not kind:
      wants = (
        f"is {type(value).__name__}, wants {kind.__name__}" if kind else ""
      )
      raise ValueError(
        f"{path}: check {name!r} {wants or 'is unknown'}.\n"
        f"Legal: {', '.join(_CHECKS)}."
      )
    for one in value if kind is list else ():
      if not isinstance(one, str):  # YAML's yes is true
        raise ValueError(
          f"{path}: check {name!r} has {one!r}, which is no text.\n"
          "Put it in quotes, as it is to be written."
        )
  if "pattern" in found:
    try:
      re.compile(found["pattern"])
    except re.error as error:
      raise ValueError(
        f"{path}: pattern {found['pattern']!r} is none: {error}."
      ) from None
  return found
