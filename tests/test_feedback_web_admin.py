"""The page with the numbers."""

import re

import pytest
from feedback_site import Seen, Visitor, serving, study
from feedback_studies import query, rows

from alignjax.feedback import report
from alignjax.feedback.simulate import Simulated, simulate


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """A played study with a rater who likes the left side, and its admin."""
  path = tmp_path_factory.mktemp("study") / "s.db"
  store = study(path, rows(60, gold=range(0, 60, 6)), gold_every=6, overlap=3)
  raters = [Simulated(tie=0.1, skip=0.03), Simulated(), Simulated(side=0.4)]
  simulate(store, raters, {i: (-1.0) ** i for i in range(1, 61)}, seed=0)
  token = store.add_rater("Boss", "admin")
  with serving(store) as port:
    boss = Visitor(port)
    boss.login(token)
    yield store, boss
  store.close()


def texts(page) -> str:
  return " ".join(" ".join(Seen(page.text).texts).split())


def test_it_says_what_the_report_says(site):
  store, boss = site
  found = report.report(store, spread=False)
  page = boss.get("/admin")
  assert page.status == 200
  said, c = texts(page), found.counts
  assert f"{c.places} of {c.wanted} places taken" in said
  assert f"Pairs with all votes {c.finished} of 50, by 3 raters each" in said
  assert f"Votes {c.votes} 0 of them repeats" in said
  assert "Gold items 10" in said and c.votes > 150
  a = found.agreement
  for name, value in (
    ("nominal which answer wins", a.nominal),
    ("ordinal five steps, without both bad", a.ordinal),
    ("κ which answer wins, of pairs with 3 votes", a.fleiss),
    ("Raw agreement two votes with the same winner", a.raw),
  ):
    assert f"{name} {value.mean:.3f}" in said, name
  # One row each, with speed and all shares; the admin is no rater.
  heads = "Rater Votes Seconds Left Ties Both bad Gold Itself Others Longer"
  assert f"{heads} Skips" in said
  for row in found.raters[:3]:
    n = row.numbers
    shares = (n.left, n.ties, n.both_bad, n.gold)
    cells = [*map(report.share, shares), "–"]
    cells += [report.estimate(n.others), report.share(n.longer)]
    cells = [str(n.votes), f"{n.seconds:.1f}", *cells, str(row.skips)]
    assert " ".join((row.rater.name, *cells)) in said
  assert found.raters[3].rater.name == "Boss"
  assert "Raters 3" in said
  for model in found.models:
    assert f"{model.first} {model.second} {model.wins}" in said


def test_flags_are_shown_and_nothing_is_dropped(site):
  store, boss = site
  found = report.report(store, spread=False)
  flags = [f for row in found.raters for f in row.flags]
  assert "side" in {flag.rule for flag in found.raters[2].flags}
  said = texts(boss.get("/admin"))
  for flag in flags:
    assert f"{flag.rule}: {flag.said}" in said
  with_one = sum(bool(row.flags) for row in found.raters)
  assert f"{with_one} with a flag" in said
  assert "flagged votes stay in every export" in said
  # The numbers above count all votes, theirs among them.
  (counted,) = query(store, "SELECT count(*) FROM votes")[0]
  assert f"Votes {counted} " in said


def test_intervals_and_a_page_that_is_left_open(site):
  _, boss = site
  plain = boss.get("/admin")
  assert "refresh" not in plain.headers
  row = r"nominal which answer wins (0\.[0-9]{3}) (\[-?0\.[0-9]{3}, 0)?"
  value, interval = re.search(row, texts(plain)).groups()
  assert interval is None
  again = boss.get("/admin?intervals=1")
  assert re.search(row, texts(again))[1] == value
  assert re.search(row, texts(again))[2]
  live = boss.get("/admin?live=1")
  assert live.headers["refresh"] == "30"
  assert "stop that" in texts(live)


def test_comments_and_skips_are_there_the_latest_first(site):
  store, boss = site
  skips = query(store, "SELECT reason FROM skips ORDER BY at DESC, task DESC")
  assert skips
  said = texts(boss.get("/admin"))
  found = re.findall(r"skip: ([a-z]+) [0-9-]{10} [0-9:]{5} UTC", said)
  assert found == [reason for (reason,) in skips]


def test_a_study_without_a_vote(tmp_path):
  store = study(tmp_path / "s.db", rows(2))
  with serving(store) as port:
    boss = Visitor(port)
    boss.login(store.add_rater("Boss", "admin"))
    for path in ("/admin", "/admin?intervals=1"):
      page = boss.get(path)
      assert page.status == 200
      assert "0 of 4 places taken" in texts(page)
      assert "None so far." in texts(page)
