"""Agreement against published examples, and what is said of each rater."""

import math
import sys

import numpy as np
import pytest
from feedback_studies import join, query, study

from alignjax.feedback import agreement, assign, export, raters, report, votes
from alignjax.feedback.choices import Vote
from alignjax.feedback.judgements import Judgement, by_pair, judgements
from alignjax.statistics.intervals import Share

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D:
# 12 units, 4 observers, values 1 to 5; 0 is missing.
OBSERVERS = (
  "123321412000",
  "123322412503",
  "033323422510",
  "123324412510",
)
# Fleiss 1971, "Measuring nominal scale agreement among many raters", table 1:
# 30 patients, 6 psychiatrists, 5 diagnoses.
PATIENTS = (
  "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 "
  "03300 10050 02031 00501 30012 51000 02040 10203 00006 01050 02013 20040 "
  "10041 05010 40002 02040 10500 00006"
)


def judgement(pair, rater, choice, **changes):
  given = dict(
    pair=pair,
    rater=rater,
    repeat=False,
    flipped=False,
    choice=choice,
    seconds=10.0,
    gold=None,
    item=False,
    longer=0.0,
    models=("", ""),
    labels=(),
  )
  return Judgement(**given | changes)


def test_alpha_of_the_published_example():
  units = [[int(x) for x in u if x != "0"] for u in zip(*OBSERVERS)]
  table = agreement.counts(units, (1, 2, 3, 4, 5))
  assert table[1].tolist() == [0, 3, 1, 0, 0]
  assert agreement.alpha(table, "nominal") == pytest.approx(0.743, abs=5e-4)
  assert agreement.alpha(table, "ordinal") == pytest.approx(0.815, abs=5e-4)
  # A value between others that nobody used changes nothing.
  wide = np.insert(table, 2, 0, axis=1)
  for level in ("nominal", "ordinal"):
    same = pytest.approx(agreement.alpha(table, level), abs=1e-12)
    assert agreement.alpha(wide, level) == same


def test_kappa_of_the_published_example():
  table = np.array([[int(x) for x in row] for row in PATIENTS.split()])
  assert table.sum(0).tolist() == [26, 26, 30, 55, 43]
  assert agreement.fleiss(table) == pytest.approx(0.430, abs=5e-4)
  with pytest.raises(ValueError, match="have 6 to 7 votes"):
    agreement.fleiss(table + (np.arange(30) == 0)[:, None] * [1, 0, 0, 0, 0])


def test_agreement_where_there_is_none_to_tell():
  one = agreement.counts([["a"], ["b"]], agreement.WINNERS)
  same = agreement.counts([["a", "a"], ["a", "a"]], agreement.WINNERS)
  for table in (one, same):
    assert agreement.alpha(table, "nominal") is None
  assert agreement.fleiss(same) is None
  assert agreement.fleiss(one[:0]) is None
  found = agreement.agreement([judgement(1, 1, "a")], 2, seed=0)
  assert found[:4] == (None, None, None, None)


def test_agreement_by_hand():
  """Pair 1: a, a much. Pair 2: b, tie. Pair 3: both bad twice. Pair 4: one."""
  said = {1: ("a", "a_much"), 2: ("b", "tie"), 3: ("both_bad",) * 2, 4: ("a",)}
  found = [
    judgement(p, r, choice)
    for p, choices in said.items()
    for r, choice in enumerate(choices)
  ]
  found += [judgement(1, 0, "b", repeat=True), judgement(9, 1, "b", item=True)]
  got = agreement.agreement(found, 2, seed=0)
  assert got.raw.mean == pytest.approx(2 / 3) and got.raw.n == 3
  # P̄ = 2/3, P̄e = (2/6)² + (1/6)² + (1/6)² + (2/6)² = 10/36.
  assert got.fleiss.mean == pytest.approx((2 / 3 - 10 / 36) / (26 / 36))
  # α of 6 votes: 1 − 5 · (2 − 0)/(36 − 4 − 1 − 1 − 4): one pair disagrees.
  assert got.nominal.mean == pytest.approx(1 - 5 * 2 / 26)
  assert got.both_bad == 2 and got.ordinal.n == 2
  assert got.nominal.low <= got.nominal.mean <= got.nominal.high
  plain = agreement.agreement(found, 2, seed=0, spread=False)
  assert plain.nominal.mean == got.nominal.mean
  assert report.estimate(plain.nominal) == f"{plain.nominal.mean:.3f}"


def test_what_has_no_interval_says_so():
  alike = [judgement(p, r, "ab"[p % 2]) for p in range(5) for r in range(3)]
  got = agreement.agreement(alike, 3, seed=0)
  said = "1.000 [no interval: all pairs are alike]"
  assert report.estimate(got.nominal) == report.estimate(got.fleiss) == said


def test_without_the_package_of_alpha_the_rest_is_told(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "krippendorff", None)
  store, _ = study(tmp_path / "s.db", 2)
  for rater in join(store, "ann", "bob"):
    while shown := assign.next_task(store, rater):
      votes.vote(store, rater, shown.task, Vote("left"))
  found = report.report(store)
  assert found.agreement.nominal is None and found.agreement.raw.n == 2
  assert any(found.agreement.missing in str(x) for x in report.tables(found))
  export.export(store, tmp_path / "x.jsonl", rule="votes", ties="keep")
  card = (tmp_path / "x.jsonl.card.md").read_text("utf-8")
  assert agreement.MISSING in card


def test_alpha_of_random_votes_is_zero():
  draw = np.random.default_rng(0)
  table = draw.multinomial(3, (0.4, 0.3, 0.2, 0.1), 4000)
  for level in ("nominal", "ordinal"):
    assert abs(agreement.alpha(table, level)) < 0.03
  assert abs(agreement.fleiss(table)) < 0.03


def test_a_judgement_says_who_wins():
  much = judgement(1, 1, "b_much", flipped=True)
  assert (much.winner, much.step, much.left) == ("b", 2, True)
  assert judgement(1, 1, "a", flipped=True).left is False
  assert judgement(1, 1, "a").left is True
  tie, bad = judgement(1, 1, "tie"), judgement(1, 1, "both_bad")
  assert (tie.winner, tie.step, tie.left) == ("tie", 0, None)
  assert (bad.winner, bad.step, bad.left) == ("both_bad", None, None)


def test_numbers_of_a_rater_by_hand():
  mine = [
    judgement(1, 1, "a", gold="a", longer=1.0, seconds=2.0),
    judgement(2, 1, "b", gold="a", longer=1.0, seconds=4.0),
    judgement(3, 1, "b", flipped=True, longer=-1.0, seconds=9.0),
    judgement(4, 1, "tie", gold="tie"),
    judgement(5, 1, "both_bad"),
    judgement(1, 1, "b", repeat=True),
    judgement(2, 1, "b_much", repeat=True),
  ]
  others = [judgement(2, 2, "b"), judgement(3, 2, "a"), judgement(3, 3, "b")]
  got = raters.numbers(mine, by_pair(mine + others), seed=0)
  assert got.votes == 7 and got.seconds == 10.0
  assert got.left == Share(2, 3)  # pairs 1 and 3
  assert (got.ties, got.both_bad) == (Share(1, 5), Share(1, 5))
  assert got.gold == Share(2, 3)
  assert got.itself == Share(1, 2)
  assert got.others.mean == pytest.approx(2 / 3) and got.others.n == 3
  assert got.longer == Share(1, 3)
  assert got.length is None  # too few


def test_flags_say_rule_and_numbers():
  mine, n = [], 60
  for rater in (1, 2, 3, 4):
    for pair in range(n):
      right = "ab"[pair % 2]
      choice, seconds = right, 30.0
      if rater == 4:  # always left, and quick
        choice, seconds = "a", 3.0
      mine.append(
        judgement(pair, rater, choice, gold=right, seconds=seconds, longer=0.5)
      )
  got = raters.flags(raters.all_numbers(mine, seed=0))
  assert not got[1] and not got[2] and not got[3]
  said = {f.rule: f.said for f in got[4]}
  assert said.keys() == {"side", "gold", "others", "fast"}
  # Answers b are longer by the same always: as a side it would look the same.
  assert "left 100.0% of 60" in said["side"]
  assert "50.0% of 60" in said["gold"]
  assert "3.0 s a vote" in said["fast"]


def test_few_votes_have_no_flags():
  mine = [judgement(pair, 1, "a") for pair in range(raters.LEAST - 1)]
  assert raters.flags(raters.all_numbers(mine, seed=0)) == {1: []}
  for n, flagged in ((raters.FEW - 1, False), (raters.FEW, True)):
    wrong = [judgement(pair, 1, "a", gold="b") for pair in range(n)]
    got = raters.flags(raters.all_numbers(wrong, seed=0))[1]
    assert [f.rule for f in got] == ["gold"] * flagged


def test_who_never_decides_is_flagged():
  mine = [
    judgement(pair, rater, "ab"[pair % 2] if rater < 4 else choice)
    for rater, choice in (
      (1, ""),
      (2, ""),
      (3, ""),
      (4, "tie"),
      (5, "both_bad"),
    )
    for pair in range(60)
  ]
  got = raters.flags(raters.all_numbers(mine, seed=0))
  undecided = {
    k: [f for f in v if f.rule == "undecided"] for k, v in got.items()
  }
  assert [k for k, v in undecided.items() if v] == [4, 5]
  assert "100.0% of 60" in undecided[4][0].said


def test_votes_of_a_study_are_read_as_they_were_given(tmp_path):
  store, clock = study(tmp_path / "s.db", 8, gold={3}, gold_every=3)
  (ann,) = join(store, "ann")
  want = []
  for choice in ("left", "right_much", "tie", "both_bad", "left_much"):
    shown = assign.next_task(store, ann)
    clock.at += 7
    votes.vote(store, ann, shown.task, Vote(choice, (("left", "untrue"),)))
    want.append((choice, shown.flipped))
  got = judgements(store)
  assert len(got) == 5 and sum(v.item for v in got) == 1
  assert {v.seconds for v in got} == {7.0}
  assert all(v.longer == pytest.approx(math.log2(10 / 6)) for v in got)
  sides = [v.left for v in got if v.decided]
  assert sorted(sides) == [False, True, True]
  assert all(v.labels == (("ba"[not v.flipped], "untrue"),) for v in got)


def test_a_report_counts_and_tells(tmp_path):
  store, _ = study(tmp_path / "s.db", 3)
  ann, bob = join(store, "ann", "bob")
  for rater in (ann, bob):
    for k in range(3):
      task = assign.next_task(store, rater).task
      if rater is bob and k == 2:
        votes.skip(store, rater, task, "unclear")
      else:
        votes.vote(store, rater, task, Vote("left"))
  got = report.report(store)
  assert got.counts[:8] == (3, 0, 2, 3, 5, 6, 5, 0)
  assert got.counts.skips == {"unclear": 1}
  assert [(r.rater.name, r.numbers.votes, r.skips) for r in got.raters] == [
    ("ann", 3, 0),
    ("bob", 2, 1),
  ]
  (model,) = got.models
  a = sum(v.winner == "a" for v in judgements(store))
  assert model[:6] == ("m-one", "m-two", a, 0, 5 - a, 0)
  plain = report.record(got)
  assert plain["agreement"]["raw"]["n"] == 2
  assert "key" not in plain["raters"][0]["rater"]
  assert plain["raters"][0]["numbers"]["left"]["hits"] == 3
  store.add_rater("eve")
  from rich.console import Console

  console = Console(width=200, record=True)
  for part in report.tables(report.report(store, spread=False)):
    console.print(part)
  said = console.export_text()
  assert "m-one against m-two" in said and "eve" in said
  assert query(store, "SELECT count(*) FROM votes") == [(5,)]
