"""The pages of raters, without a browser and without JavaScript."""

import re

import pytest
from feedback_site import Seen, Visitor, action, serving, study, token_of
from feedback_studies import Clock, join, query, rows
from feedback_studies import study as clocked

from alignjax.feedback.choices import CHOICES, LABELS, REASONS


@pytest.fixture
def site(tmp_path):
  """A store of four pairs, its port, and Ada, who is logged in."""
  store = study(tmp_path / "s.db", rows(4))
  token = store.add_rater("Ada")
  with serving(store) as port:
    ada = Visitor(port)
    ada.login(token)
    yield store, port, ada
  store.close()


def kept(store):
  """(pair, choice towards a and b, comment) of all votes."""
  return query(
    store,
    "SELECT t.pair, v.choice, v.comment FROM votes v "
    "JOIN tasks t ON t.id = v.task ORDER BY t.id",
  )


def flipped(store, task=1):
  return query(store, "SELECT flipped FROM tasks WHERE id = ?", task)[0][0]


def test_a_vote_is_a_form(site):
  store, _, ada = site
  page = ada.get("/")
  assert page.status == 200
  assert "0 of 4 done" in page.text
  reply = ada.post(
    action(page),
    form=token_of(page),
    choice="left_much",
    label=["left untrue", "right harmful"],
    comment="  two\r\nlines ",
  )
  # Another page is fetched: to reload it sends nothing.
  assert (reply.status, reply.place) == (303, "/?said=saved")
  after = ada.get(reply.place)
  assert "Saved." in after.text and "1 of 4 done" in after.text
  ada.get(reply.place)
  b_left = flipped(store)
  assert kept(store) == [(1, "b_much" if b_left else "a_much", "two\nlines")]
  left, right = ("b", "a") if b_left else ("a", "b")
  assert sorted(query(store, "SELECT side, label FROM labels")) == sorted(
    [(left, "untrue"), (right, "harmful")]
  )


def test_the_form_has_all_there_is_to_say(site):
  _, _, ada = site
  page = Seen(ada.get("/").text)
  inputs = [a for tag, a in page.tags if tag == "input"]
  radios = [a for a in inputs if a.get("type") == "radio"]
  assert [a["value"] for a in radios] == list(CHOICES)
  assert all(a["name"] == "choice" and "required" in a for a in radios)
  boxes = [a["value"] for a in inputs if a.get("type") == "checkbox"]
  assert boxes == [f"{s} {x}" for s in ("left", "right") for x in LABELS]
  reasons = [a["value"] for tag, a in page.tags if tag == "option"]
  assert reasons == ["", *REASONS]
  # What has no text of its own has a label that names it.
  names = {a["for"] for tag, a in page.tags if tag == "label" and "for" in a}
  fields = ("textarea", "select", "progress")
  assert {a["id"] for tag, a in page.tags if tag in fields} <= names
  keys = [a["data-key"] for a in inputs if "data-key" in a]
  assert sorted(keys) == sorted("qweiop12345b")


def test_every_prompt_turn_is_shown_and_no_model_is_named(tmp_path):
  turns = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello to you"},
    {"role": "user", "content": "What is up?"},
  ]
  row = {"prompt": turns, "a": "The sky.", "b": "Nothing."}
  row["models"] = {"a": "model-alpha", "b": "model-beta"}
  row["secret"] = "a-field-of-the-row"
  store = study(tmp_path / "s.db", [row])
  with serving(store) as port:
    ada = Visitor(port)
    ada.login(store.add_rater("Ada"))
    page = ada.get("/")
  texts = [t.strip() for t in Seen(page.text).texts]
  said = [t for t in texts if t in {x["content"] for x in turns}]
  assert said == [x["content"] for x in turns]
  assert [t for t in texts if t in ("System", "User", "Assistant")] == [
    "System",
    "User",
    "Assistant",
    "User",
  ]
  for hidden in ("alpha", "beta", "a-field-of", "flipped"):
    assert hidden not in page.text


def test_a_second_submit_changes_nothing_and_the_back_button_replaces(site):
  store, _, ada = site
  page = ada.get("/")
  sent = dict(form=token_of(page), comment="")
  places = [
    ada.post(action(page), choice=choice, **sent).place
    for choice in ("left", "left", "both_bad")
  ]
  assert places == ["/?said=saved", "/?said=same", "/?said=changed"]
  assert kept(store) == [(1, "both_bad", "")]
  # Gone back to, the page has the vote, and says so.
  back = ada.get("/task/1")
  chosen = [a["value"] for tag, a in Seen(back.text).tags if "checked" in a]
  assert chosen == ["both_bad"]
  assert "You have voted on this pair" in back.text
  assert "<title>A pair you voted on" in back.text
  assert "Skip" not in back.text


def test_sides_stay_through_reloads_and_sessions(site):
  store, port, ada = site

  def sides(page):
    return re.findall(r'<div class="text" dir="auto">([^<]*)</div>', page.text)

  first = sides(ada.get("/"))
  assert len(first) == 3
  assert all(sides(ada.get("/")) == first for _ in range(3))
  again = Visitor(port)
  again.login(store.renew("Ada"))
  assert sides(again.get("/")) == first
  assert len(query(store, "SELECT 1 FROM tasks")) == 1


def test_skip_and_undo(site):
  store, _, ada = site
  page = ada.get("/")
  where, form = action(page), token_of(page)
  refused = ada.post(f"{where}/skip", form=form, reason="other", comment=" ")
  assert refused.status == 409 and "write it into the comment" in refused.text
  refused = ada.post(f"{where}/skip", form=form, reason="lazy")
  assert refused.status == 409 and "unfamiliar" in refused.text
  assert query(store, "SELECT 1 FROM skips") == []
  reply = ada.post(f"{where}/skip", form=form, reason="unclear", comment="eh")
  assert reply.place == "/?said=skipped"
  assert query(store, "SELECT task, reason, comment FROM skips") == [
    (1, "unclear", "eh")
  ]
  assert "1 of 4 done" in ada.get("/").text
  reply = ada.post("/undo", form=form, task=1)
  assert reply.place == "/task/1?said=undone"
  assert query(store, "SELECT 1 FROM skips") == []
  assert action(ada.get("/")) == "/task/1"
  assert ada.vote("tie").place == "/?said=saved"
  page = ada.get("/")
  assert '<input type="hidden" name="task" value="1">' in page.text
  assert ada.vote("tie").place == "/?said=saved"
  # Of two tasks the one that is named, once; not the one before.
  for task, place in (
    (2, "/task/2?said=undone"),
    (2, "/?said=nothing"),
    (1, "/task/1?said=undone"),
    (1, "/?said=nothing"),
    ("x", "/?said=nothing"),
    ("", "/?said=nothing"),
  ):
    assert ada.post("/undo", form=form, task=task).place == place
  assert kept(store) == []


def test_a_form_without_a_choice_and_with_others(site):
  store, _, ada = site
  page = ada.get("/")
  where, form = action(page), token_of(page)
  for fields, said in (
    ({}, "choose first"),
    ({"choice": "middle"}, "left_much"),
    ({"choice": "left", "label": "left silly"}, "unhelpful"),
    ({"choice": "left", "label": "left"}, "unhelpful"),
    ({"choice": "left", "label": "up untrue"}, "left or right"),
    ({"choice": "left", "comment": "x" * 4001}, "shorten it"),
    ({"choice": "left", "comment": "a\0b"}, "NUL"),
  ):
    reply = ada.post(where, form=form, **fields)
    assert reply.status == 409 and said in reply.text, (fields, reply.text)
  assert kept(store) == []


def test_all_pairs_then_thanks(site):
  store, _, ada = site
  for _ in range(4):
    assert ada.vote("right").place == "/?said=saved"
  page = ada.get("/?said=saved")
  assert "Thank you" in page.text and "4\npairs" in page.text
  assert len(kept(store)) == 4
  assert 'name="task" value="4"' in page.text
  reply = ada.post("/undo", form=token_of(page), task=4)
  assert reply.place == "/task/4?said=undone"


def test_said_is_one_of_ours(site):
  _, _, ada = site
  for said in ("saved<b>", "x", "", "__class__"):
    page = ada.ask("GET", f"/task/1?said={said}")
    assert page.status in (200, 303)
    assert "<b>" not in page.text
  ada.get("/")
  status = re.search('id="said">([^<]*)<', ada.get("/task/1?said=zz").text)
  assert status[1] == ""


def test_the_tasks_of_others_are_not_shown_or_voted_on(site):
  store, port, ada = site
  ada.get("/")
  bob = Visitor(port)
  bob.login(store.add_rater("Bob"))
  assert action(bob.get("/")) == "/task/2"
  assert bob.ask("GET", "/task/1").place == "/?said=gone"
  form = token_of(bob.get("/"))
  reply = bob.post("/task/1", form=form, choice="left")
  assert reply.status == 409 and "not yours" in reply.text
  assert bob.post("/task/1/skip", form=form, reason="unclear").status == 409
  assert kept(store) == []


def test_a_lease_that_ended_and_was_given_away(tmp_path):
  clock = Clock()
  store, _ = clocked(tmp_path / "s.db", 1, now=clock, overlap=1, lease=60)
  tokens = [store.add_rater(name) for name in ("Ada", "Bob")]
  with serving(store) as port:
    ada, bob = Visitor(port), Visitor(port)
    for visitor, token in zip((ada, bob), tokens):
      visitor.login(token)
    page = ada.get("/")
    assert "Nothing to rate" in bob.get("/").text
    clock.at += 61
    assert bob.vote("tie").place == "/?said=saved"
    late = ada.post(action(page), form=token_of(page), choice="left")
    assert late.status == 409 and "others have its places" in late.text
    assert 'href="/"' in late.text
    assert [x[1] for x in kept(store)] == ["tie"]


def test_raters_and_admins_have_pages_of_their_own(site):
  store, port, ada = site
  boss = Visitor(port)
  boss.login(store.add_rater("Boss", "admin"))
  assert boss.ask("GET", "/").place == "/admin"
  page = boss.get("/admin")
  assert page.status == 200
  assert ada.ask("GET", "/admin").status == 403
  assert boss.ask("GET", "/task/1").status == 403
  form = token_of(page)
  assert boss.post("/task/1", form=form, choice="left").status == 403
  assert boss.post("/undo", form=form).status == 403
  assert Visitor(port).ask("GET", "/admin").place == "/login"
  join(store, "Cleo")  # no page for joining, whatever is asked
  for path in ("/register", "/signup", "/raters", "/admin/raters"):
    assert ada.ask("GET", path).status == 404
    assert boss.post(path, form=form, name="x").status == 404


def test_static_files_are_kept_by_the_browser_and_pages_are_not(site):
  _, _, ada = site
  page = ada.get("/")
  assert page.headers["cache-control"] == "no-store"
  found = re.findall('(?:href|src)="(/static/[^"]+)"', page.text)
  assert len(found) == 3
  for path in found:
    assert re.search(r"\?v=[0-9a-f]{8}$", path)
    file = ada.ask("GET", path)
    assert file.status == 200
    assert file.headers["cache-control"] == "max-age=86400"
