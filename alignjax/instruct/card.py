"""A data card: what a file holds and where from, as Markdown.

Its YAML block has what cards of Hugging Face data sets say (license, language,
size_categories, configs), so that `datasets` and `alignjax.data.cards` read it;
a JSON block at the end has all the numbers. The same mapping gives the same
bytes: there is no date, host or folder in it.
https://huggingface.co/docs/hub/datasets-cards
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from alignjax.instruct.counts import UNTOLD
from alignjax.instruct.language import UNDECIDED

SHOWN = 50  # entries of a table; the JSON block has all
MENTIONED = 0.01  # of the rows, for a language to be the set's
# The hub's names of licences that data often has; others are `other`.
_LICENCES = frozenset(
  """apache-2.0 mit bsd-2-clause bsd-3-clause cc cc0-1.0 cc-by-2.0 cc-by-3.0
  cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
  cc-by-nd-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nc-nd-4.0 gpl-2.0 gpl-3.0
  lgpl-3.0 agpl-3.0 mpl-2.0 odbl odc-by pddl cdla-permissive-2.0 unlicense
  wtfpl gfdl openrail""".split()
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_SIZES += ((1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def card(numbers: Mapping) -> str:
  """Markdown of the numbers of a file (`counts.Counts.numbers` and more).

  Needs name, rows and files; each table that is there is shown.
  """
  bad = sum(numbers.get("bad", {}).values())
  parts = [
    front_matter(numbers),
    f"# {_plain(numbers['name'])}\n",
    f"{numbers['rows']:,} rows, {bad:,} of them cannot be read.\n"
    if bad
    else f"{numbers['rows']:,} rows.\n",
    *_files(numbers["files"]),
  ]
  for title, key in (
    ("Kinds of rows", "kinds"),
    ("Formats", "formats"),
    ("Turns by role", "roles"),
    ("Languages", "languages"),
    ("Clusters", "clusters"),
    ("How rows were made", "made"),
    ("Sources", "sources"),
    ("Licences", "licences"),
    ("Rows that cannot be read", "bad"),
    ("Findings", "findings"),
  ):
    parts += _table(title, numbers.get(key, {}))
  parts += _lengths(numbers.get("lengths", {}))
  block = json.dumps(numbers, indent=1, ensure_ascii=False, sort_keys=True)
  # A name may hold a fence; in JSON it can be written without one.
  block = block.replace("`", "\\u0060")
  parts.append(f"## Numbers\n\n```json\n{block}\n```\n")
  return "\n".join(parts)


def front_matter(numbers: Mapping) -> str:
  """The YAML block, its texts as JSON has them."""
  licences = [k for k in numbers.get("licences", {}) if k != UNTOLD]
  known = sorted({k for k in map(licence_name, licences) if k in _LICENCES})
  others = sorted(k for k in licences if licence_name(k) not in _LICENCES)
  names = known + ["other"] * bool(others)
  spoken = numbers.get("languages", {})
  few = MENTIONED * sum(spoken.values())
  languages = [
    k for k, n in spoken.items() if k not in (UNDECIDED, "other") and n >= few
  ]
  lines = ["---"]
  if names:
    lines += _entry("license", names if len(names) > 1 else names[0])
  if others:
    lines += _entry("license_name", ", ".join(others))
  if languages:
    lines += _entry("language", languages)
  lines += _entry("size_categories", [size_category(numbers["rows"])])
  names = [file["name"] for file in numbers["files"]]
  if names:
    lines += ["configs:", "- config_name: default", "  data_files:"]
    lines += [f"  - {_quoted(name)}" for name in names]
  return "\n".join([*lines, "---", ""])


def licence_name(licence: str) -> str:
  """A licence as the hub writes it: `Apache 2.0` is `apache-2.0`."""
  words = re.split(r"[\s_-]+", licence.strip().lower())
  beside = ("license", "licence", "version", "international", "the")
  return "-".join(word for word in words if word not in beside)


def size_category(rows: int) -> str:
  """The hub's name for so many rows."""
  return next((name for n, name in _SIZES if rows < n), "n>10M")


def _entry(key: str, value: str | Sequence[str]) -> list[str]:
  if isinstance(value, str):
    return [f"{key}: {_quoted(value)}"]
  return [f"{key}:", *(f"- {_quoted(one)}" for one in value)]


def _quoted(text: str) -> str:
  """A JSON string, without the three characters that end a line of YAML."""
  made = json.dumps(text, ensure_ascii=False)
  return re.sub("[\x85\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", made)


def _plain(text: object) -> str:
  """A text that is one cell of a table, and no Markdown."""
  one = " ".join(str(text).split())
  return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", one)


def _files(files: Sequence[Mapping]) -> Iterator[str]:
  yield "## Files\n"
  yield "| file | bytes | sha256 |\n| --- | ---: | --- |"
  for file in files:
    name = _plain(file["name"])
    yield f"| {name} | {file['bytes']:,} | {file['sha256']} |"
  yield ""


def _table(title: str, counts: Mapping[str, int]) -> Iterator[str]:
  if not counts:
    return
  yield f"## {title}\n\n| | n | share |\n| --- | ---: | ---: |"
  total = sum(counts.values())
  for name, n in list(counts.items())[:SHOWN]:
    yield f"| {_plain(name)} | {n:,} | {n / total:.1%} |"
  if len(counts) > SHOWN:
    rest = sum(list(counts.values())[SHOWN:])
    more = len(counts) - SHOWN
    yield f"| {more:,} others | {rest:,} | {rest / total:.1%} |"
  yield ""


def _lengths(lengths: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
  if not lengths:
    return
  names = list(next(iter(lengths.values())))
  yield f"## Lengths\n\n| | {' | '.join(names)} |"
  yield f"| --- |{' ---: |' * len(names)}"
  for what, values in lengths.items():
    cells = " | ".join(f"{values[name]:,}" for name in names)
    yield f"| {what} | {cells} |"
  yield ""
