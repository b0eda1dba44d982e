"""FLAN's chains of thought (Chung et al. 2022) as rows: a reader.

  alignjax instruct convert --reader ecqa=alignjax.data.flan_cot.read ...

A line of the published TSV files has three columns without names or quotes: the
question, the answer, the rationale; `\\n` stands for the end of a line. Options
stand in the question, one a line, after a line `Options:`.
https://arxiv.org/abs/2210.11416
"""

from collections.abc import Iterator
from pathlib import Path

from alignjax.data import folders, lines
from alignjax.data.bad import BadRow
from alignjax.data.lines import Item

_OPTIONS = "\nOptions:\n"


def read(path: str, split: str) -> Iterator[Item]:
  """Rows of question, options, answer and rationale, in file order.

  options: a list of texts, empty where a question has none. path: a file, or a
    folder with the split in their names.
  """
  for file in folders.find(path, split):
    yield from _rows(file)


def _rows(file: Path) -> Iterator[Item]:
  for number, line in enumerate(lines.byte_lines(file), 1):
    origin = f"{file}:{number}"
    try:
      text = lines.decode(line, origin, first=number == 1).rstrip("\r\n")
      lines.check(text, origin)
      if text:
        yield _row(text, origin), origin
    except BadRow as e:
      yield e, origin


def _row(text: str, origin: str) -> dict:
  cells = [cell.replace("\\n", "\n").strip() for cell in text.split("\t")]
  if len(cells) != 3:
    raise BadRow(
      origin,
      "wrong columns",
      f"{len(cells)} columns, where question, answer and rationale are 3",
      text,
    )
  question, answer, rationale = cells
  # The last line of a question may be the mark itself.
  question, mark, listed = f"{question}\n".partition(_OPTIONS)
  options = [
    line.strip().removeprefix("-").strip() for line in listed.split("\n")
  ]
  return {
    "question": question.strip(),
    "options": [option for option in options if option] if mark else [],
    "answer": answer,
    "rationale": rationale,
  }
