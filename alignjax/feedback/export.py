"""Votes as rows of preferences to train on, and a card that says of what."""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from alignjax.feedback import card
from alignjax.feedback.assign import GOLD
from alignjax.feedback.judgements import Judgement, judgements
from alignjax.feedback.report import report
from alignjax.feedback.store import Store
from alignjax.log.records import line, replace_file

RULES = ("majority", "soft", "votes")
TIES = ("drop", "keep")


class Exported(NamedTuple):
  """What was written: rows, ties among them, and pairs left out by reason.

  raters: those whose votes stand in a row.
  """

  rows: int
  ties: int
  left_out: dict[str, int]
  raters: int


class Side(NamedTuple):
  """A row's worth of a pair: which answer is preferred, how surely.

  better: "a", "b" or "tie". label: probability that the row's first side, a of
  a tie, is preferred. weight: votes that it stands for.
  """

  better: str
  label: float
  weight: int


def export(
  store: Store,
  out: str | Path,
  *,
  rule: str,
  ties: str,
  least: int = 1,
  without: Sequence[str] = (),
) -> Exported:
  """Writes rows that `alignjax.data.preferences` reads, and OUT.card.md.

  Counted are first votes on pairs that are no gold items. rule:

  - "majority": a pair is a row where more than half of its votes, both bad left
    out, say the same: an answer, or a tie. It is left out otherwise.
  - "soft": the row's label is the share of votes for its first answer, ties
    half, both bad left out; a tie where that is a half.
  - "votes": each answer that somebody chose is a row, its weight the votes for
    it; votes for a tie are a tie of their own.

  A pair that more than half of its votes find bad on both sides is left out
  under each rule: no vote for "both bad" is ever a preference. ties: "drop", or
  "keep" as rows with label 0.5. least: votes that a pair must have. without:
  names of raters whose votes do not count.

  Both files are whole or as they were. Raises ValueError for unknown rules and
  names, and where no row is left.
  """
  out = Path(out)
  _check(out, rule, ties, least)
  with store.read() as db:
    found, numbers = judgements(store), report(store)
    names = {row.rater.name: row.rater.id for row in numbers.raters}
    if unknown := [n for n in without if n not in names]:
      raise ValueError(
        f"no rater {unknown[0]!r}; there are: {', '.join(names) or 'none'}"
      )
    gone = {names[n] for n in without}
    texts = db.execute(
      f"SELECT id, {GOLD}, sha256, prompt, a, b, fields FROM pairs p "
      "ORDER BY position"
    ).fetchall()
    database = sha256(db.serialize()).hexdigest()
  votes: dict[int, list[Judgement]] = {}
  for one in found:
    if one.rater not in gone and not one.repeat:
      votes.setdefault(one.pair, []).append(one)
  pseudonyms = {r.rater.id: f"rater-{r.rater.id}" for r in numbers.raters}
  rows, left = [], Counter()
  for id, item, digest, *said in texts:
    sides, why = [], ["gold items"]
    if not item:
      sides, why = _sides(votes.get(id, []), rule, ties, least)
    left.update(why)
    rows += [
      _row(digest, said, side, votes[id], rule, pseudonyms) for side in sides
    ]
  kept = sum(row["label"] == 0.5 for row in rows)
  people = {r for row in rows for r in row["made"]["raters"]}
  made = Exported(len(rows), kept, dict(left), len(people))
  if not rows:
    reasons = ", ".join(f"{n} {why}" for why, n in left.items())
    raise ValueError(
      f"no row is left of {len(texts)} pairs: {reasons}\n"
      "wait for more votes, keep ties (--ties keep), or take --rule soft"
    )
  text = "".join(map(line, rows))
  digests = {
    out.name: sha256(text.encode()).hexdigest(),
    store.path.name: database,
    "its pairs": _pairs_digest(digest for _, _, digest, *_ in texts),
  }
  how = {"rule": rule, "ties": ties, "least": least, "without": without}
  said = card.card(numbers, made, digests, how, pseudonyms, out.name)
  replace_file(out, text)
  replace_file(f"{out}.card.md", said)
  return made


def _check(out: Path, rule: str, ties: str, least: int) -> None:
  for name, value, legal in (("rule", rule, RULES), ("ties", ties, TIES)):
    if value not in legal:
      raise ValueError(f"{name} = {value!r}; legal: {', '.join(legal)}")
  if least < 1:
    raise ValueError(f"least = {least}; a pair needs 1 vote or more")
  if out.suffix != ".jsonl":
    raise ValueError(f"{out} must end with .jsonl, as rows are JSON lines")


def _sides(
  votes: Sequence[Judgement], rule: str, ties: str, least: int
) -> tuple[list[Side], list[str]]:
  """The rows that a pair is worth, and why some are left out."""
  if len(votes) < least:
    return [], ["with too few votes"]
  n, half = Counter(v.winner for v in votes), len(votes) / 2
  if n["both_bad"] > half:
    return [], ["both bad"]
  if rule == "votes":
    made = [Side(k, 1.0, n[k]) for k in ("a", "b") if n[k]]
    made += [Side("tie", 0.5, n["tie"])] if n["tie"] else []
  elif rule == "majority":
    said = (len(votes) - n["both_bad"]) / 2
    best = next((k for k in ("a", "b", "tie") if n[k] > said), None)
    if best is None:
      return [], ["no majority"]
    made = [Side(best, 0.5 if best == "tie" else 1.0, 1)]
  else:
    share = (n["a"] + n["tie"] / 2) / (len(votes) - n["both_bad"])
    best = "tie" if share == 0.5 else "a" if share > 0.5 else "b"
    made = [Side(best, max(share, 1 - share), 1)]
  kept = [s for s in made if s.better != "tie" or ties == "keep"]
  why = ["ties"] * (len(made) > len(kept))
  # Under "votes" a pair may have nothing but votes for both bad.
  return kept, why or ["both bad"] * (not made)


def _row(
  digest: str,
  said: Sequence[str],
  side: Side,
  votes: Sequence[Judgement],
  rule: str,
  pseudonyms: dict[int, str],
) -> dict:
  """A pair as a row; `made` says of which votes."""
  prompt, a, b, fields = map(json.loads, said)
  first, second = ("b", "a") if side.better == "b" else ("a", "b")
  texts, models = {"a": a, "b": b}, dict(zip("ab", votes[0].models))
  steps = [v.step for v in votes if v.step is not None]
  towards = 1 if first == "b" else -1
  each = {v.rater: v.winner for v in votes}
  made = {
    "by": "alignjax feedback",
    "pair": digest,
    "rule": rule,
    "votes": dict(Counter(v.winner for v in votes)),
    # From -2 (rejected is much better) to 2, the mean of all votes.
    "strength": round(towards * sum(steps) / len(steps), 4),
    "raters": {pseudonyms[r]: _seen(w, first) for r, w in each.items()},
    "models": {"chosen": models[first], "rejected": models[second]},
    "labels": {
      name: dict(Counter(x for v in votes for s, x in v.labels if s == key))
      for name, key in (("chosen", first), ("rejected", second))
    },
    "source": fields,
  }
  end = f"-{side.better}" if rule == "votes" else ""
  return {
    "id": digest[:16] + end,
    "prompt": prompt,
    "chosen": texts[first],
    "rejected": texts[second],
    "label": side.label,
    **({"weight": side.weight} if side.weight != 1 else {}),
    "made": made,
  }


def _seen(winner: str, first: str) -> str:
  if winner in ("a", "b"):
    return "chosen" if winner == first else "rejected"
  return winner


def _pairs_digest(digests) -> str:
  return sha256("\n".join(digests).encode()).hexdigest()
