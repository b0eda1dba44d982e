"""The data card of an export: what its rows are, of whom, and what is not.

Raters are numbers in it; their names and tokens are not written.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from alignjax.feedback.raters import Numbers
from alignjax.feedback.report import Report, Row, estimate, share
from alignjax.feedback.simulate import PREFIX
from alignjax.log.provenance import environment

_RULES = {
  "majority": "A row is a pair where more than half of the votes that are not "
  "for both bad choose the same answer; `label` is 1. A tie is one where more "
  "than half say so.",
  "soft": "A row is a pair; `label` is the share of votes for `chosen`, a tie "
  "half a vote, both bad none. A share of a half is a tie.",
  "votes": "A row is an answer that somebody chose, `weight` the number of "
  "votes for it. Votes for a tie are a tie of their own.",
}
_TIES = {"drop": "Ties are left out.", "keep": "Ties are kept, `label` 0.5."}


def card(
  found: Report,
  made,
  digests: Mapping[str, str],
  how: Mapping,
  pseudonyms: Mapping[int, str],
  name: str,
) -> str:
  """The card as Markdown.

  made: `export.Exported`. digests: sha256 by what it is of. how: the export's
  rules. pseudonyms: of raters, by number. name: its title.
  """
  c, k = found.counts, found.settings.overlap
  played = sum(r.rater.name.startswith(PREFIX) for r in found.raters)
  voters = [r for r in found.raters if r.numbers.votes]
  lines = [
    f"# {name}",
    "",
    f"{made.rows:,} preferences, {made.ties:,} of them ties, from comparisons "
    f"by {made.raters:,} raters. Each saw a prompt and two answers side by "
    "side, the sides drawn by a seeded hash, and did not see what answered.",
    "",
  ]
  if played:
    lines += [
      f"**{played:,} of the raters were played by `alignjax feedback "
      "simulate`: these are no judgements of people.**",
      "",
    ]
  env = environment()
  versions = {
    "written": datetime.now(UTC).isoformat(timespec="seconds"),
    "alignjax": env["packages"].get("alignjax", "?"),
    "commit": env.get("commit", "?") + (" (changed)" * bool(env.get("dirty"))),
  }
  lines += [*(f"- {key}: {value}" for key, value in versions.items())]
  lines += [*(f"- sha256 of {key}: `{v}`" for key, v in digests.items()), ""]
  lines += ["## Rows", "", _RULES[how["rule"]] + " " + _TIES[how["ties"]], ""]
  lines += [
    "`made` holds the votes of a row's pair, by rater, their mean strength "
    "(from -2 to 2, 2: `chosen` is much better), what answered, and labels.",
    "",
  ]
  lines += _left_out(found, made, how, pseudonyms)
  lines += [
    "## Study",
    "",
    f"- {c.pairs:,} pairs, {c.gold:,} of them gold items; {c.finished:,} with "
    f"all {k} votes, {c.begun:,} with one or more",
    f"- {c.votes:,} votes, {c.repeats:,} of them repeats",
    f"- choices: {_listed(c.choices)}",
    f"- labels: {_listed(c.labels)}",
    f"- skips: {_listed(c.skips)}",
    "- settings: "
    + ", ".join(f"{k} {v}" for k, v in found.settings._asdict().items()),
    "",
  ]
  lines += _agreement(found)
  lines += _raters(voters, pseudonyms)
  return "\n".join(lines)


def _left_out(found: Report, made, how: Mapping, pseudonyms) -> list[str]:
  lines = ["## Left out", ""]
  for why, n in sorted(made.left_out.items()):
    lines.append(f"- {n:,} pairs: {why}")
  lines.append(f"- a pair needs {how['least']} votes or more")
  lines.append("- second votes on a pair (repeats), and comments")
  by_name = {r.rater.name: r for r in found.raters}
  for name in how["without"]:
    row = by_name[name]
    lines.append(
      f"- all {row.numbers.votes:,} votes of {pseudonyms[row.rater.id]}, by "
      "choice of who exported (flagged: "
      f"{', '.join(f.rule for f in row.flags) or 'for nothing'})"
    )
  if not how["without"]:
    lines.append("- no rater: those that are flagged below are in the rows")
  return [*lines, ""]


def _agreement(found: Report) -> list[str]:
  a = found.agreement
  lines = [
    "## Agreement",
    "",
    "Of first votes of all raters on pairs that are no gold items, those left "
    "out of the rows among them, with 95 % intervals (resampled pairs).",
    "",
    "| | value | pairs |",
    "| --- | --- | --- |",
  ]
  for label, e in (
    ("Krippendorff's α, who wins", a.nominal),
    ("Krippendorff's α, five steps", a.ordinal),
    (f"Fleiss' κ, pairs with {a.raters} votes", a.fleiss),
  ):
    lines.append(f"| {label} | {estimate(e)} | {e.n if e else 0:,} |")
  lines += [
    *(["", a.missing + "."] if a.missing else []),
    "",
    f"Two votes on a pair say the same of who wins: {estimate(a.raw)}. "
    f"Votes for both bad are no step of the five; left out there: "
    f"{a.both_bad:,}.",
    "",
  ]
  for m in found.models:
    lines.append(
      f"{m.first} against {m.second}: {m.wins:,} wins, {m.ties:,} ties, "
      f"{m.losses:,} losses, {m.both_bad:,} both bad; {estimate(m.share)}."
    )
  return [*lines, ""]


def _raters(voters: Sequence[Row], pseudonyms: Mapping[int, str]) -> list[str]:
  heads = (
    "rater",
    "votes",
    "skips",
    "seconds (median)",
    "left",
    "ties",
    "both bad",
    "known answers",
    "repeats as before",
    "agrees with others",
    "longer",
    "flags",
  )
  lines = ["## Raters", "", "| " + " | ".join(heads) + " |"]
  lines.append("| " + " | ".join(["---"] * len(heads)) + " |")
  for row in voters:
    cells = [pseudonyms[row.rater.id], *_cells(row.numbers, row.skips)]
    cells.append(", ".join(f.rule for f in row.flags) or "–")
    lines.append("| " + " | ".join(cells) + " |")
  lines += ["", "Shares with 95 % intervals. A flag is a reason to look:", ""]
  for row in voters:
    for flag in row.flags:
      lines.append(f"- {pseudonyms[row.rater.id]}, {flag.rule}: {flag.said}")
  return [*lines, ""]


def _cells(n: Numbers, skips: int) -> list[str]:
  return [
    f"{n.votes:,}",
    f"{skips:,}",
    f"{n.seconds:.1f}",
    share(n.left),
    share(n.ties),
    share(n.both_bad),
    share(n.gold),
    share(n.itself),
    estimate(n.others),
    share(n.longer),
  ]


def _listed(n: Mapping[str, int]) -> str:
  said = (f"{v:,} {k.replace('_', ' ')}" for k, v in n.items())
  return ", ".join(said) or "none"
