"""Pairs to compare, from answers of our own models."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from alignjax.data import turns
from alignjax.data.bad import BadRow
from alignjax.feedback.assign import side
from alignjax.feedback.pairs import read_row as pairs_of
from alignjax.generate import Completion
from alignjax.log.records import Lines, line, read_metrics, replace_file

# (prompts, number of the first one) → samples of each.
Answers = Callable[[Sequence[tuple[dict, ...]], int], list[list[Completion]]]


class Sampled(NamedTuple):
  """What became of the prompts: rows written now, those that were there.

  left_out: pairs left out in this run by reason, as bad rows have them. Runs
  that went before are not in it.
  """

  written: int
  there: int
  left_out: Counter[str]


def sample(
  asked: Sequence[tuple[dict, ...]],
  answers: Mapping[str, Answers],
  out: str | Path,
  *,
  batch: int,
  seed: int,
  about: Mapping,
  say: Callable[[str], None],
) -> Sampled:
  """Writes pairs of answers to each prompt, as `pairs` reads them.

  answers: by name of a model; of two models a pair has one answer of each, of
  one two answers of its own, so that it gives twice as many samples. Which one
  is a goes by a hash of seed and prompt. batch: prompts that are asked
  together. about: what made the answers; it stands in every row. say: called
  with lines of progress.

  A file that is there already is continued: batches with a row behind them are
  not asked again, and the last one gives what it gave. Raises ValueError where
  its rows were made otherwise.
  """
  out, names = Path(out), list(answers)
  about = json.loads(json.dumps({**about, "prompts": _digest(asked)}))
  number = {_digest(p): i for i, p in enumerate(asked)}
  had = _had(out, about)
  done = max((number[i.rpartition("-")[0]] for i in had), default=0) // batch
  left_out: Counter[str] = Counter()
  written = 0
  lines = Lines(out, patient=False)
  try:
    for at in range(done * batch, len(asked), batch):
      part = asked[at : at + batch]
      said = [answers[name](part, at) for name in names]
      rows = []
      for k, prompt in enumerate(part):
        # Of one model every second sample is the other answer.
        one, *other = (several[k] for several in said)
        one, other = (one, other[0]) if other else (one[::2], one[1::2])
        for j, two in enumerate(zip(one, other)):
          row = _row(prompt, j, two, (names[0], names[-1]), seed, about)
          try:
            pairs_of(row, row["id"])
          except BadRow as e:  # both say the same, nothing, or what is no text
            left_out[e.kind] += 1
            continue
          rows += [row] * (row["id"] not in had)
      lines.append(rows)
      written += len(rows)
      say(f"{at + len(part)} of {len(asked)} prompts")
  finally:
    lines.close()
  return Sampled(written, len(had), left_out)


def _had(out: Path, about: Mapping) -> set[str]:
  """Ids of rows that are there; a last line that was cut short is removed."""
  if not out.exists():
    return set()
  rows = read_metrics(out)
  for number, row in enumerate(rows, 1):
    made = row.get("made")
    if not isinstance(made, dict) or "id" not in row:
      raise ValueError(
        f"{out}:{number} was not made by feedback sample; give another --out"
      )
    for key, value in about.items():
      if made.get(key) != value:
        raise ValueError(
          f"{out}:{number} was made with {key} = {str(made.get(key))[:80]}, "
          f"not {str(value)[:80]}\ngo on with the options it was begun with, "
          "or give another --out"
        )
  replace_file(out, "".join(map(line, rows)))
  return {row["id"] for row in rows}


def _row(
  prompt: tuple[dict, ...],
  number: int,
  two: Sequence[Completion],
  names: Sequence[str],
  seed: int,
  about: Mapping,
) -> dict:
  id = f"{_digest(prompt)}-{number}"
  first = int(side(seed, number, id))  # which of the two is a
  both = [(name, c) for name, c in zip(names, two)]
  a, b = both[first], both[1 - first]
  said = {
    key: [turns.message("assistant", c.text)]
    for key, (_, c) in (("a", a), ("b", b))
  }
  return {
    "id": id,
    "prompt": prompt,
    **said,
    "models": {"a": a[0], "b": b[0]},
    "made": {
      "stopped": {"a": a[1].stopped, "b": b[1].stopped},
      "tokens": {"a": len(a[1].tokens), "b": len(b[1].tokens)},
      **about,
    },
  }


def _digest(value: Sequence) -> str:
  """16 hexadecimal digits that stand for a prompt, or for many."""
  return sha256(json.dumps(value).encode()).hexdigest()[:16]
