"""The study's file: votes that stay, places that are kept, a log that grows."""

import json
import os
import random
import sqlite3
import stat
import threading

import pytest
from feedback_studies import (
  SETTINGS,
  Clock,
  join,
  query,
  read,
  rows,
  study,
)

from alignjax.data.bad import BadRow
from alignjax.feedback import assign, votes
from alignjax.feedback.choices import CHOICES, KEPT, Vote, kept, seen
from alignjax.feedback.pairs import pairs
from alignjax.feedback.store import Store, create


def counts(store):
  """(voted, leased) places of each pair that are not repeats."""
  return query(
    store,
    "SELECT pair, sum(state = 'voted'), sum(state = 'leased') FROM tasks "
    "WHERE repeat = 0 GROUP BY pair",
  )


def undo(store, rater):
  """Of the last vote, whichever that is."""
  return votes.undo(store, rater, votes.last(store, rater))


def replayed(store):
  """The votes that the log alone tells of: task → choice, labels, comment."""
  found = {}
  for kind, task, data in query(
    store, "SELECT kind, task, data FROM events ORDER BY id"
  ):
    data = json.loads(data)
    if kind in ("voted", "changed"):
      labels = sorted(map(tuple, data["labels"]))
      found[task] = data["choice"], labels, data["comment"]
    elif kind == "undone":
      found.pop(task, None)
  return found


def kept_votes(store):
  labels = {}
  for task, *label in query(store, "SELECT * FROM labels ORDER BY 1, 2, 3"):
    labels.setdefault(task, []).append(tuple(label))
  return {
    task: (choice, labels.get(task, []), comment)
    for task, choice, comment in query(
      store, "SELECT task, choice, comment FROM votes"
    )
  }


# Pairs.


def test_rows_are_read_as_pairs():
  turns = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
  ]
  one, two = read(
    [
      {"prompt": turns, "a": "Bye.", "b": "So soon?", "gold": "b", "topic": 1},
      {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
    ]
  )
  assert [m["role"] for m in one.prompt] == ["user", "assistant", "user"]
  assert one.gold == "b" and one.fields == {"topic": 1}
  assert two.a[0]["content"] == "4" and two.gold is None
  assert two.models == ("", "")


@pytest.mark.parametrize(
  "change, said",
  [
    ({"b": "Yes 0. "}, "a and b are the same"),
    ({"a": ""}, "empty completion"),
    ({"gold": "left"}, "legal: a, b, tie"),
    ({"models": "one"}, "models must be"),
    ({"prompt": [{"role": "assistant", "content": "x"}]}, "must be 'user'"),
    ({"id": "p1"}, "id 'p1' stands in pairs.jsonl:1"),
    (
      {"prompt": "Question 1?", "a": "No, not 1.", "b": "Yes 1."},
      "the same prompt and answers stand in pairs.jsonl:1",
    ),
  ],
)
def test_a_bad_row_is_named(change, said):
  first, second = rows(2)[::-1]
  with pytest.raises(BadRow) as e:
    read([first, {**second, **change}])
  assert said in str(e.value)
  assert str(e.value).startswith("pairs.jsonl:2: ")
  assert len(str(e.value).splitlines()) <= 5


def test_a_row_without_answers_is_told_what_is_legal():
  with pytest.raises(BadRow, match="needs a, b"):
    read([{"prompt": "Why?"}])
  with pytest.raises(BadRow, match="nothing to compare"):
    made = {"prompt": "Why?", "completion": "So.", "label": True, "scores": 1}
    read([made])
  left = []
  found = list(pairs([({"prompt": 1}, "f:1")], left.append))
  assert not found and left[0].origin == "f:1"


# The file.


def test_the_file_is_private_and_says_its_version(tmp_path):
  store, _ = study(tmp_path / "s.db")
  assert stat.S_IMODE(os.stat(store.path).st_mode) == 0o600
  assert query(store, "PRAGMA user_version") == [(1,)]
  assert query(store, "PRAGMA synchronous") == [(2,)]
  assert query(store, "PRAGMA foreign_keys") == [(1,)]
  assert query(store, "PRAGMA journal_mode") == [("wal",)]


def test_to_begin_again_changes_nothing(tmp_path):
  store, _ = study(tmp_path / "s.db", 4)
  before = query(store, "SELECT * FROM pairs")
  store.close()
  store, _ = study(tmp_path / "s.db", 4)
  assert query(store, "SELECT * FROM pairs") == before
  store.close()
  store, _ = study(tmp_path / "s.db", 6)
  assert query(store, "SELECT * FROM pairs")[:4] == before
  assert query(store, "SELECT data FROM events WHERE kind = 'pairs'") == [
    ('{"added": 4}',),
    ('{"added": 2}',),
  ]


def test_other_settings_are_refused_by_name(tmp_path):
  study(tmp_path / "s.db")[0].close()
  for name, value in (("seed", 123456789), ("overlap", 1), ("gold_every", 5)):
    with pytest.raises(
      ValueError, match=f"begun with {name} = .* not {value}\n"
    ):
      study(tmp_path / "s.db", **{name: value})
  with pytest.raises(ValueError, match="in .* already, with other"):
    create(tmp_path / "s.db", read(rows(4, gold={2})), SETTINGS)


def test_lease_and_a_larger_overlap_may_change(tmp_path):
  study(tmp_path / "s.db")[0].close()
  study(tmp_path / "s.db", lease=1200.0, overlap=3)[0].close()
  store = Store(tmp_path / "s.db")
  assert (store.settings.lease, store.settings.overlap) == (1200, 3)
  assert query(store, "SELECT data FROM events WHERE kind = 'settings'") == [
    ('{"lease": 1200.0, "overlap": 3}',)
  ]


@pytest.mark.parametrize(
  "setting",
  [
    {"overlap": 0},
    {"lease": 1},
    {"gold_every": 1},
    {"repeat_every": -2},
    {"seed": 2**63},
  ],
)
def test_settings_that_make_no_sense(tmp_path, setting):
  with pytest.raises(ValueError, match=f"{next(iter(setting))} = "):
    study(tmp_path / "s.db", **setting)
  assert not (tmp_path / "s.db").exists()


def test_bad_pairs_leave_no_file(tmp_path):
  with pytest.raises(BadRow):
    create(tmp_path / "s.db", pairs([({"prompt": 1}, "f:1")]), SETTINGS)
  with pytest.raises(ValueError, match="no pairs"):
    create(tmp_path / "s.db", [], SETTINGS)
  assert not list(tmp_path.iterdir())


def test_a_study_that_was_cut_short_is_begun(tmp_path):
  path = tmp_path / "new" / "s.db"  # a folder that is made
  path.parent.mkdir()
  path.touch()
  for _ in range(2):
    with pytest.raises(FileNotFoundError, match="begins one"):
      Store(path)
    sqlite3.connect(path).execute("PRAGMA journal_mode = WAL")
  with pytest.raises(ValueError, match="no pairs"):
    create(path, [], SETTINGS)
  assert study(path)[0].settings == SETTINGS
  made, _ = study(tmp_path / "other" / "s.db")
  # Settings come with the tables: what is cut short has neither.
  assert len(query(made, "SELECT * FROM study")) == 1


def test_other_files_are_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match="no such study"):
    Store(tmp_path / "none.db")
  (tmp_path / "text.db").write_text("not a database, " * 100)
  with pytest.raises(ValueError, match="no SQLite file"):
    Store(tmp_path / "text.db")
  other = sqlite3.connect(tmp_path / "other.db")
  other.execute("CREATE TABLE mine (x)")
  other.commit()
  with pytest.raises(ValueError, match="holds no study"):
    create(tmp_path / "other.db", read(rows(2)), SETTINGS)
  other.execute("PRAGMA user_version = 2")
  other.close()
  with pytest.raises(ValueError, match="is of version 2.*version 1"):
    Store(tmp_path / "other.db")


def test_a_study_that_cannot_be_written_says_so(tmp_path, monkeypatch):
  study(tmp_path / "s.db")[0].close()
  for fixed in (tmp_path, tmp_path / "s.db"):
    monkeypatch.setattr(os, "access", lambda place, _, at=fixed: place != at)
    with pytest.raises(PermissionError, match="give the copy"):
      Store(tmp_path / "s.db")


def test_events_are_append_only(tmp_path):
  store, _ = study(tmp_path / "s.db")
  join(store, "ann")
  # Not through our own connection: whoever opens the file is told.
  db = sqlite3.connect(store.path)
  before = db.execute("SELECT * FROM events").fetchall()
  for change in (
    "UPDATE events SET data = '{}'",
    "DELETE FROM events",
    "DELETE FROM events WHERE id = 1",
    "INSERT OR REPLACE INTO events SELECT 1, at, NULL, 'x', NULL, data "
    "FROM events LIMIT 1",
  ):
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
      db.execute(change)
    db.rollback()
  assert db.execute("SELECT * FROM events").fetchall() == before


def test_an_error_leaves_nothing_half_done(tmp_path):
  store, _ = study(tmp_path / "s.db")
  with pytest.raises(KeyError):
    with store.write() as db:
      db.execute("UPDATE study SET overlap = 9")
      raise KeyError
  assert query(store, "SELECT overlap FROM study") == [(2,)]


# Raters.


def test_a_token_is_kept_as_its_hash_alone(tmp_path):
  store, _ = study(tmp_path / "s.db")
  token = store.add_rater("ann")
  store.close()
  for file in tmp_path.iterdir():
    assert token.encode() not in file.read_bytes()
  store = Store(tmp_path / "s.db")
  ann = store.rater_of(token)
  assert (ann.name, ann.role, ann.active) == ("ann", "rater", True)
  assert store.rater(ann.id) == ann
  assert store.rater_of(token[:-1]) is None
  assert store.rater_of("") is None
  new = store.renew("ann")
  assert store.rater_of(token) is None
  assert store.rater_of(new).key != ann.key


def test_names_of_raters(tmp_path):
  store, _ = study(tmp_path / "s.db")
  store.add_rater(" ann ", "admin")
  with pytest.raises(ValueError, match="'ann' already"):
    store.add_rater("ann")
  for name in ("", "  ", "a\nb", "x" * 101, "a\0"):
    with pytest.raises(ValueError, match="name"):
      store.add_rater(name)
  with pytest.raises(ValueError, match="legal: rater, admin"):
    store.add_rater("bob", "root")
  with pytest.raises(ValueError, match="no rater 'eve'; there are: ann"):
    store.deactivate("eve")


def test_who_is_shut_out_frees_the_place(tmp_path):
  store, _ = study(tmp_path / "s.db", 1, overlap=1)
  ann, bob = join(store, "ann", "bob")
  task = assign.next_task(store, ann).task
  assert assign.next_task(store, bob) is None
  store.deactivate("ann")
  assert store.rater(ann.id) is None
  assert [r.active for r in store.raters()] == [False, True]
  assert assign.next_task(store, bob) is not None
  with pytest.raises(ValueError, match="shut out"):
    votes.vote(store, ann, task, Vote("left"))
  assert assign.next_task(store, ann) is None


def test_who_is_shut_out_takes_no_vote_back(tmp_path):
  store, _ = study(tmp_path / "s.db", 1)
  (ann,) = join(store, "ann")
  votes.vote(store, ann, assign.next_task(store, ann).task, Vote("left"))
  store.deactivate("ann")
  with pytest.raises(ValueError, match="shut out"):
    undo(store, ann)
  assert len(kept_votes(store)) == 1


# What is shown.


def test_looking_again_keeps_task_and_side(tmp_path):
  store, clock = study(tmp_path / "s.db", 30)
  (ann,) = join(store, "ann")
  first = assign.next_task(store, ann)
  clock.at += 100
  assert assign.next_task(store, ann) == first
  store.close()
  store = Store(tmp_path / "s.db", now=clock)
  assert assign.next_task(store, ann) == first
  assert len(query(store, "SELECT * FROM tasks")) == 1


def test_sides_fall_by_a_hash_of_rater_and_pair(tmp_path):
  # By `printf '7 1 x' | sha256sum`: it begins with ce, of rater 4 with 04.
  assert [assign.side(7, rater, "x") for rater in (1, 4)] == [True, False]
  falls = [assign.side(7, 1, str(i)) for i in range(1000)]
  assert 450 < sum(falls) < 550
  store, _ = study(tmp_path / "s.db", 20)
  (ann,) = join(store, "ann")
  seen_sides = set()
  while shown := assign.next_task(store, ann):
    left = shown.left[0]["content"]
    assert left.startswith("No" if shown.flipped else "Yes")
    assert "m-" not in repr(shown)  # no model's name
    seen_sides.add(shown.flipped)
    votes.vote(store, ann, shown.task, Vote("left"))
  assert seen_sides == {False, True}


def test_choices_are_kept_towards_a_and_b():
  for flipped in (False, True):
    for choice in CHOICES:
      said = Vote(choice, (("left", "untrue"), ("right", "harmful")), "so")
      made, labels = kept(said, flipped)
      assert seen(made, labels, "so", flipped) == said
  assert kept(Vote("left_much", (("left", "untrue"),)), True) == (
    "b_much",
    (("b", "untrue"),),
  )
  assert [kept(Vote(c), False)[0] for c in CHOICES] == list(KEPT)


def test_pairs_that_were_begun_come_first(tmp_path):
  store, clock = study(tmp_path / "s.db", 5, overlap=2)
  ann, bob, eve = join(store, "ann", "bob", "eve")

  def pair(rater):
    task = assign.next_task(store, rater).task
    return query(store, "SELECT pair FROM tasks WHERE id = ?", task)[0][0], task

  at, task = pair(ann)
  assert at == 1
  votes.skip(store, ann, task, "unclear")
  assert pair(ann)[0] == 2
  assert pair(bob)[0] == 2  # begun by ann; pair 1 has nobody
  assert pair(eve)[0] == 1  # pair 2 has its two
  clock.at += 601
  assert pair(eve)[0] == 1  # her own, once more


def test_a_lease_that_ends_frees_its_place(tmp_path):
  store, clock = study(tmp_path / "s.db", 1, overlap=1)
  ann, bob = join(store, "ann", "bob")
  task = assign.next_task(store, ann).task
  assert assign.next_task(store, bob) is None
  clock.at += 600
  other = assign.next_task(store, bob)
  assert other is not None
  with pytest.raises(ValueError, match="others have its places"):
    votes.vote(store, ann, task, Vote("left"))
  assert assign.next_task(store, ann) is None
  clock.at += 600  # now bob's has ended too, and ann's vote has a place
  assert votes.vote(store, ann, task, Vote("left")) == "saved"
  kinds = [k for (k,) in query(store, "SELECT kind FROM events")]
  assert kinds.count("expired") == 2 and kinds.count("leased") == 2
  assert assign.next_task(store, bob) is None


def test_a_late_vote_counts_where_the_place_is_free(tmp_path):
  store, clock = study(tmp_path / "s.db", 2, overlap=1)
  ann, bob = join(store, "ann", "bob")
  task = assign.next_task(store, ann).task
  clock.at += 5000
  assert votes.vote(store, ann, task, Vote("tie")) == "saved"
  assert query(store, "SELECT seconds FROM votes") == [(5000.0,)]
  assert assign.next_task(store, bob).task != task


def test_gold_goes_to_all_and_takes_no_place(tmp_path):
  store, _ = study(
    tmp_path / "s.db", 9, gold={1, 4, 7}, overlap=1, gold_every=3
  )
  golds = []
  for rater in join(store, "ann", "bob"):
    said = []
    while shown := assign.next_task(store, rater):
      said.append(int(shown.prompt[0]["content"].split()[1][:-1]))
      done = assign.progress(store, rater)
      assert done.done == len(said) - 1
      votes.vote(store, rater, shown.task, Vote("left"))
    assert done.left == 1  # the last one was foreseen
    golds.append([x for x in said if x in (1, 4, 7)])
  # Ann: 6 ordinary ones and a gold one in each three; what is left for bob?
  assert len(golds[0]) == 3 and len(golds[1]) <= 1


def test_gold_comes_at_places_and_in_an_order_of_the_raters_own(tmp_path):
  made = SETTINGS._replace(gold_every=5, repeat_every=5)
  places = {}
  for key in ((r, kind) for r in (1, 2) for kind in ("gold", "repeat")):
    had = [0, *(assign.due(made, *key, turn) for turn in range(1, 101))]
    at = [i for i in range(100) if had[i + 1] > had[i]]
    assert [i // 5 for i in at] == list(range(20))  # one in each block
    places[key] = tuple(i % 5 for i in at)
  assert len(set(places.values())) == 4
  assert all(len(set(at)) == 5 for at in places.values())
  gold = range(0, 40, 4)
  store, _ = study(tmp_path / "s.db", 40, gold=gold, gold_every=4, overlap=2)
  for rater in join(store, "ann", "bob"):
    while shown := assign.next_task(store, rater):
      votes.vote(store, rater, shown.task, Vote("left"))
  sql = "SELECT pair FROM tasks WHERE rater = ? AND pair % 4 = 1 ORDER BY id"
  ann, bob = (query(store, sql, rater) for rater in (1, 2))
  assert sorted(ann) == sorted(bob) and ann != bob and sorted(ann) != ann


def test_gold_rows_are_like_others_where_none_is_due(tmp_path):
  store, _ = study(tmp_path / "s.db", 3, gold={0, 1, 2}, overlap=1)
  ann, bob = join(store, "ann", "bob")
  while shown := assign.next_task(store, ann):
    votes.vote(store, ann, shown.task, Vote("left"))
  assert assign.next_task(store, bob) is None


def test_progress_adds_up(tmp_path):
  store, _ = study(tmp_path / "s.db", 25, gold={3, 9, 12}, gold_every=5)
  (ann,) = join(store, "ann")
  totals, n = set(), 0
  while shown := assign.next_task(store, ann):
    found = assign.progress(store, ann)
    assert (found.done, found.done + found.left) == (n, found.total)
    totals.add(found.total)
    votes.vote(store, ann, shown.task, Vote("left"))
    n += 1
  assert totals == {25} and n == 25
  assert assign.progress(store, ann) == (25, 0, 25)


def test_repeats_come_back_with_the_sides_changed(tmp_path):
  store, _ = study(tmp_path / "s.db", 24, overlap=1, repeat_every=4)
  ann, bob = join(store, "ann", "bob")
  order = []
  while shown := assign.next_task(store, ann):
    order.append((shown.prompt, shown.flipped, shown.left))
    votes.vote(store, ann, shown.task, Vote("left"))
  places = {}
  for i, (prompt, flipped, left) in enumerate(order):
    if prompt in (p for p, _, _ in order[:i]):
      first = next(j for j, x in enumerate(order) if x[0] == prompt)
      assert i - first > assign.APART
      assert order[first][1] != flipped and order[first][2] != left
      places[i + 1] = first
  # One in each four, where five tasks lie between.
  assert list(places)[0] >= 7 and len(places) >= 6
  assert len(order) == 24 + len(places)
  assert all(voted == 1 for _, voted, _ in counts(store))
  assert assign.next_task(store, bob) is None  # repeats hold no place


# Votes.


def test_a_double_submit_leaves_one_vote(tmp_path):
  store, clock = study(tmp_path / "s.db")
  ann, bob = join(store, "ann", "bob")
  shown = assign.next_task(store, ann)
  said = Vote("left", (("right", "untrue"), ("right", "untrue")), " ok\r\nyes ")
  clock.at += 12
  assert votes.vote(store, ann, shown.task, said) == "saved"
  assert votes.vote(store, ann, shown.task, said) == "same"
  clock.at += 30
  assert votes.vote(store, ann, shown.task, Vote("right_much")) == "changed"
  (row,) = query(store, "SELECT * FROM votes")
  assert row[2:] == (12.0, "", clock.at)
  assert query(store, "SELECT * FROM labels") == []
  again = assign.shown(store, ann, shown.task)
  assert again.vote == Vote("right_much")
  assert assign.shown(store, bob, shown.task) is None
  with pytest.raises(ValueError, match="not yours"):
    votes.vote(store, bob, shown.task, said)
  for unknown in (0, -1, 99, 2**63, 10**30):
    assert assign.shown(store, ann, unknown) is None
    with pytest.raises(ValueError, match="not yours"):
      votes.vote(store, ann, unknown, said)
  with pytest.raises(ValueError, match="has your vote"):
    votes.skip(store, ann, shown.task, "unclear")
  assert replayed(store) == kept_votes(store)


@pytest.mark.parametrize(
  "said, message",
  [
    (Vote("a"), "legal: left_much"),
    (Vote("left", (("a", "untrue"),)), "legal: left or right"),
    (Vote("left", (("left", "ugly"),)), "harmful, untrue"),
    (Vote("left", (), "x" * 4001), "4,001 characters"),
    (Vote("left", (), "\0"), "NUL"),
    (Vote("left", (), "\ud800"), "surrogate"),
  ],
)
def test_what_cannot_be_said(tmp_path, said, message):
  store, _ = study(tmp_path / "s.db")
  (ann,) = join(store, "ann")
  task = assign.next_task(store, ann).task
  with pytest.raises(ValueError, match=message):
    votes.vote(store, ann, task, said)
  assert query(store, "SELECT * FROM votes") == []


def test_a_skip_frees_the_place_and_is_not_shown_again(tmp_path):
  store, _ = study(tmp_path / "s.db", 1, overlap=1)
  ann, bob = join(store, "ann", "bob")
  task = assign.next_task(store, ann).task
  with pytest.raises(ValueError, match="legal: unclear"):
    votes.skip(store, ann, task, "bored")
  with pytest.raises(ValueError, match="says nothing"):
    votes.skip(store, ann, task, "other", "  ")
  assert votes.skip(store, ann, task, "other", "in Latin") == "saved"
  assert votes.skip(store, ann, task, "broken") == "same"
  assert assign.next_task(store, ann) is None
  assert assign.progress(store, ann) == (1, 0, 1)
  said = votes.comments(store)
  assert [(x.rater, x.kind, x.text) for x in said] == [
    ("ann", "other", "in Latin")
  ]
  assert assign.next_task(store, bob) is not None
  with pytest.raises(ValueError, match="all its raters now"):
    undo(store, ann)


def test_undo_goes_back_step_by_step(tmp_path):
  store, clock = study(tmp_path / "s.db")
  (ann,) = join(store, "ann")
  assert undo(store, ann) is None
  first = assign.next_task(store, ann)
  votes.vote(store, ann, first.task, Vote("left", (("left", "untrue"),)))
  second = assign.next_task(store, ann)
  votes.skip(store, ann, second.task, "unclear")
  third = assign.next_task(store, ann)
  assert undo(store, ann) == second
  assert assign.next_task(store, ann) == second
  clock.at += 1
  assert undo(store, ann) == first
  assert assign.next_task(store, ann) == first
  assert assign.progress(store, ann).done == 0
  assert kept_votes(store) == replayed(store) == {}
  assert query(store, "SELECT * FROM skips") == []
  votes.vote(store, ann, first.task, Vote("right"))
  votes.vote(store, ann, second.task, Vote("right"))
  assert assign.next_task(store, ann) == third
  assert kept_votes(store).keys() == {first.task, second.task}


def test_a_doubled_undo_takes_one_vote_back_and_no_seconds(tmp_path):
  store, clock = study(tmp_path / "s.db")
  (ann,) = join(store, "ann")
  for _ in range(2):
    task = assign.next_task(store, ann).task
    clock.at += 30
    votes.vote(store, ann, task, Vote("left"))
  assign.next_task(store, ann)
  clock.at += 100  # with another task
  assert votes.undo(store, ann, task).task == task
  assert votes.undo(store, ann, task) is None
  assert votes.undo(store, ann, task - 1).task == task - 1
  clock.at += 2
  votes.vote(store, ann, task, Vote("right"))
  assert query(store, "SELECT seconds FROM votes") == [(32.0,)]


# Many at once.


def run_threads(work, things):
  errors = []

  def one(thing):
    try:
      work(thing)
    except BaseException as e:
      errors.append(e)

  threads = [threading.Thread(target=one, args=(x,)) for x in things]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not errors, errors


def test_eight_threads_give_two_thousand_votes(tmp_path):
  first, _ = study(tmp_path / "s.db", 250, overlap=8, now=Clock())
  # Two connections to the file, as of two processes, four threads on each.
  stores = [first, Store(tmp_path / "s.db", now=first.now)]
  raters = join(first, *(f"r{i}" for i in range(8)))

  def work(rater):
    store, dice = stores[rater.id % 2], random.Random(rater.id)
    for _ in range(250):
      task = assign.next_task(store, rater).task
      assert votes.vote(store, rater, task, Vote(dice.choice(CHOICES))) == (
        "saved"
      )
    assert assign.next_task(store, rater) is None

  run_threads(work, raters)
  assert query(first, "SELECT count(*) FROM votes") == [(2000,)]
  assert query(first, "SELECT count(*) FROM events WHERE kind = 'voted'") == [
    (2000,)
  ]
  assert all(x == (i, 8, 0) for i, x in enumerate(counts(first), 1))
  assert replayed(first) == kept_votes(first)
  assert query(first, "PRAGMA integrity_check") == [("ok",)]
  assert query(first, "PRAGMA foreign_key_check") == []


def test_the_overlap_is_never_exceeded(tmp_path):
  first, _ = study(tmp_path / "s.db", 40, overlap=3, now=Clock())
  stores = [first, Store(tmp_path / "s.db", now=first.now)]
  raters = join(first, *(f"r{i}" for i in range(8)))
  over, done = [], threading.Event()

  def watch():
    store = Store(tmp_path / "s.db")
    while not done.is_set():
      over.extend(x for x in counts(store) if x[1] + x[2] > 3)
    store.close()

  def work(rater):
    store, dice = stores[rater.id % 2], random.Random(rater.id)
    while shown := assign.next_task(store, rater):
      act = dice.random()
      if act < 0.1:
        votes.skip(store, rater, shown.task, "unclear")
      else:
        votes.vote(store, rater, shown.task, Vote(dice.choice(CHOICES)))
      if act > 0.9:
        try:
          undo(store, rater)
        except ValueError:
          pass  # a skip whose place is taken

  watcher = threading.Thread(target=watch)
  watcher.start()
  run_threads(work, raters)
  done.set()
  watcher.join()
  assert not over
  assert all(voted <= 3 and not leased for _, voted, leased in counts(first))
  assert replayed(first) == kept_votes(first)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_raters_do_the_log_tells_the_votes(tmp_path, seed):
  store, clock = study(
    tmp_path / "s.db", 12, gold={2, 5}, gold_every=3, repeat_every=3
  )
  raters = join(store, "ann", "bob", "eve")
  dice, tasks = random.Random(seed), {r.id: [] for r in raters}
  for _ in range(300):
    rater = dice.choice(raters)
    mine = tasks[rater.id]
    clock.at += dice.choice((1, 5, 400))
    try:
      match dice.choice(("next", "vote", "vote", "old", "skip", "undo")):
        case "next":
          assign.next_task(store, rater)
        case "vote":
          if shown := assign.next_task(store, rater):
            mine.append(shown.task)
            votes.vote(store, rater, shown.task, Vote(dice.choice(CHOICES)))
        case "old" if mine:
          said = Vote(dice.choice(CHOICES), (("left", "untrue"),), "hm")
          votes.vote(store, rater, dice.choice(mine), said)
        case "skip" if mine:
          votes.skip(store, rater, dice.choice(mine), "unclear")
        case "undo":
          undo(store, rater)
    except ValueError:
      pass
    for pair, voted, leased in counts(store):
      assert pair in (3, 6) or voted + leased <= 2
  assert replayed(store) == kept_votes(store)
  for state, table in (("voted", "votes"), ("skipped", "skips")):
    at = query(store, f"SELECT task FROM {table} ORDER BY 1")
    assert at == query(
      store, "SELECT id FROM tasks WHERE state = ? ORDER BY 1", state
    )
