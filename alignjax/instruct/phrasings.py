"""Template files: what they may say, read and checked before any row is.

A file is YAML. Of the data set: `name`, `cluster`, `source` (its paper),
`licence`, `rows` (who publishes rows of these fields), `fields` (those that are
read), `metric` (of `alignjax.metrics`) and `example`, a made-up row, of which
every phrasing must make one that scores 1. What is right is told by `answers`,
an expression for a text or several, or by `choices`, texts or an expression,
and `label`, an expression for the number (from 0) or the text of one of them.
`phrasings` is a list; each has `prompt` and `completion`, texts in Jinja, and
may have `answers` and a `metric` of its own: one that asks the other way round
(Wei et al. 2022, section 2.1) does.

Phrasings read the fields, `choices`, `answers` and `gold`, the first answer. A
prompt that reads what its completion is made of is refused. A null is none, and
false in an `if`; a row where it would be printed, or gone through, is left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from alignjax import metrics
from alignjax.evals.files import sha256
from alignjax.instruct import sandbox
from alignjax.instruct.sandbox import Compiled, LeftOut
from alignjax.instruct.template import (
  GIVEN,
  Phrasing,
  Template,
  values,
  word,
)

_TEXTS = ("name", "cluster", "source", "licence", "rows", "metric")
_REQUIRED = (*_TEXTS, "fields", "example", "phrasings")
_KEYS = (*_REQUIRED, "choices", "label", "answers")
_OF_PHRASING = ("prompt", "completion", "answers", "metric")


def shipped() -> dict[str, Path]:
  """The templates that come with the package, by name."""
  folder = Path(__file__).parent / "datasets"
  return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read(name: str) -> Template:
  """A template by the name of a shipped one, or from a file.

  Raises ValueError naming file, line and what is legal; FileNotFoundError.
  """
  known = shipped()
  file = known.get(name, Path(name))
  if not file.is_file():
    raise FileNotFoundError(
      f"{name!r} is no template that is shipped, and no file\n"
      f"shipped: {', '.join(known)}\n"
      "or write the path of a .yaml file of your own"
    )
  given = _parse(file)
  _check_keys(given.where, given.value, _REQUIRED, _KEYS)
  for key in _TEXTS:
    _text(given.at(key), given.value[key], key)
  if not re.fullmatch(r"[a-z0-9_]+", given.value["name"]):
    raise ValueError(
      f"{given.at('name')}: name = {given.value['name']!r} begins the ids of "
      "rows\nwrite small letters, digits and _"
    )
  made = _template(file, given)
  _check_metric(given.at("metric"), made.metric)
  _check_example(given, made)
  return made


class _Given(NamedTuple):
  """A mapping of the file, and the line of each of its keys."""

  file: Path
  line: int
  value: dict[str, Any]
  lines: dict[str, int]
  inner: dict[str, list["_Given"]]

  @property
  def where(self) -> str:
    return f"{self.file}:{self.line}"

  def at(self, key: str) -> str:
    return f"{self.file}:{self.lines.get(key, self.line)}"


def _parse(file: Path) -> _Given:
  try:
    loader = yaml.SafeLoader(file.read_text("utf-8"))
    try:
      node = loader.get_single_node()
      value = loader.construct_document(node) if node else None
    finally:
      loader.dispose()
  except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as e:
    mark = getattr(e, "problem_mark", None)
    where = f"{file}:{mark.line + 1}" if mark else f"{file}"
    raise ValueError(
      f"{where}: not YAML: {getattr(e, 'problem', None) or e}\n"
      "quote texts that hold ': ' or begin with {, [ or a quote"
    ) from e
  return _given(file, node, value, "the file")


def _given(file: Path, node, value: Any, what: str) -> _Given:
  line = node.start_mark.line + 1 if node else 1
  if not isinstance(value, dict):
    raise ValueError(
      f"{file}:{line}: {what} is {type(value).__name__}, it must be keys with "
      "values"
    )
  lines, inner = {}, {}
  for key, held in node.value:
    if key.value in lines:
      raise ValueError(
        f"{file}:{key.start_mark.line + 1}: {key.value!r} stands twice; "
        f"the first is in line {lines[key.value]}"
      )
    lines[key.value] = key.start_mark.line + 1
    if key.value == "phrasings" and isinstance(value["phrasings"], list):
      inner["phrasings"] = [
        _given(file, node, one, f"phrasing {k}")
        for k, (node, one) in enumerate(zip(held.value, value["phrasings"]))
      ]
  return _Given(file, line, value, lines, inner)


def _check_keys(where: str, value: Mapping, required, legal) -> None:
  unknown = [str(k) for k in value if k not in legal]
  lost = [k for k in required if k not in value]
  if unknown or lost:
    what = f"unknown key {unknown[0]!r}" if unknown else f"no key {lost[0]!r}"
    raise ValueError(f"{where}: {what}\nlegal: {', '.join(legal)}")


def _text(where: str, value: Any, key: str) -> str:
  if not isinstance(value, str) or not value.strip():
    raise ValueError(
      f"{where}: {key} = {value!r} must be a text; put it in quotes"
    )
  return value


def _check_metric(where: str, name: str) -> None:
  if name not in metrics.NAMES:
    raise ValueError(
      f"{where}: metric = {name!r}; legal: {', '.join(metrics.NAMES)}"
    )


def _template(file: Path, given: _Given) -> Template:
  value = given.value
  fields = value["fields"]
  listed = isinstance(fields, list) and all(isinstance(f, str) for f in fields)
  if not listed or not fields or len(set(fields)) < len(fields):
    raise ValueError(
      f"{given.at('fields')}: fields = {repr(fields)[:80]} must be a list of "
      "names, each once"
    )

  def expression(key: str, known) -> Compiled | None:
    if key not in value:
      return None
    where = given.at(key)
    source = _text(where, value[key], key)
    return Compiled(f"{where}: {key}", source, known, expression=True)

  choices = value.get("choices", [])
  if isinstance(choices, list):
    choices = tuple(_text(given.at("choices"), c, "a choice") for c in choices)
  else:
    choices = expression("choices", fields)
  label = expression("label", [*fields, "choices"])
  answers = expression("answers", [*fields, "choices"])
  if (label is None) == (answers is None) or (label and not choices):
    raise ValueError(
      f"{given.where}: what is right is told by choices with a label, or by "
      f"answers; there {'are both' if label and answers else 'is neither'}"
    )
  return Template(
    file,
    sha256([file]),
    *(value[k].strip() for k in ("name", "cluster", "source", "licence")),
    value["rows"].strip(),
    tuple(fields),
    value["example"],
    choices,
    label,
    answers,
    value["metric"],
    _phrasings(given, [f for f in fields if f not in GIVEN], label or answers),
  )


def _phrasings(given: _Given, fields, right: Compiled) -> tuple[Phrasing, ...]:
  """right: the expression that says what is right for the data set."""
  listed = given.inner.get("phrasings")
  if not listed:
    raise ValueError(
      f"{given.at('phrasings')}: phrasings must be a list, with one at least"
    )
  made, seen = [], {}
  for k, one in enumerate(listed):
    name = f"{one.where}: phrasing {k}"
    _check_keys(name, one.value, _OF_PHRASING[:2], _OF_PHRASING)
    for key in one.value:
      _text(one.at(key), one.value[key], f"{key} of phrasing {k}")
    known = [*fields, *GIVEN]
    parts = {
      key: Compiled(
        f"{one.at(key)}: phrasing {k}, {key}",
        one.value[key],
        known,
        expression=key == "answers",
      )
      for key in one.value
      if key != "metric"
    }
    if "metric" in one.value:
      _check_metric(one.at("metric"), one.value["metric"])
    metric = one.value.get("metric", given.value["metric"])
    phrasing = Phrasing(
      one.line,
      parts["prompt"],
      parts["completion"],
      parts.get("answers"),
      metric,
    )
    same = seen.setdefault((one.value["prompt"], one.value["completion"]), k)
    if same != k:
      raise ValueError(f"{name} is the same as phrasing {same}")
    _check_leak(phrasing, right)
    made.append(phrasing)
  return tuple(made)


def _check_leak(phrasing: Phrasing, right: Compiled) -> None:
  """Raises where a prompt reads a field that the completion is made of."""

  def reads(part: Compiled) -> set[str]:
    told = {"gold", "answers"} & part.reads
    own = {p for p in part.paths if p.split(".")[0] not in GIVEN}
    return own | (right.paths if told else set())

  known = reads(phrasing.completion) | reads(phrasing.answers or right)
  if told := sandbox.overlap(reads(phrasing.prompt), known):
    raise ValueError(
      f"{phrasing.prompt.what} reads {told!r}, which the completion is made of"
      "\na prompt must not tell its answer; ask by other fields"
    )


def _check_example(given: _Given, template: Template) -> None:
  """Raises where the example, or a field, is of no use to the phrasings."""
  where, example = given.at("example"), template.example
  if not isinstance(example, dict) or set(example) != set(template.fields):
    raise ValueError(
      f"{where}: the example must be a row with the fields "
      f"{', '.join(template.fields)}, no others"
    )
  parts = [p for x in template.phrasings for p in x[1:4] if p is not None]
  parts += [template.choices, template.label, template.answers]
  used = {n for p in parts if isinstance(p, Compiled) for n in p.reads}
  if idle := [name for name in template.fields if name not in used]:
    raise ValueError(
      f"{given.at('fields')}: nothing reads the field {idle[0]!r}; remove it"
    )
  bare = r"\{\{|\}\}|\{%|%\}|\{(?:" + "|".join(template.fields) + r")\}"
  for k, phrasing in enumerate(template.phrasings):
    try:
      row = word(template, k, values(template, example, where), where)
    except LeftOut as e:
      raise ValueError(
        f"{phrasing.prompt.what.removesuffix(', prompt')} makes no row of the "
        f"example ({where}): {e}\n"
        f"metric: {phrasing.metric}; give the phrasing answers, or a metric of "
        "its own, where it asks for something else"
      ) from e
    for key in ("prompt", "completion"):
      if left := re.search(bare, row[key]):
        raise ValueError(
          f"{getattr(phrasing, key).what}: {left[0]!r} is left in the text\n"
          "a field is written {{ name }}"
        )
