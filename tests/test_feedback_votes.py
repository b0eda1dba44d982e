"""Votes that stay, places that are kept, a log that tells of all."""

import json
import random
import threading

import pytest
from feedback_studies import (
  Clock,
  counts,
  join,
  query,
  study,
)

from alignjax.feedback import assign, votes
from alignjax.feedback.choices import CHOICES, Vote
from alignjax.feedback.store import Store


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


def test_who_is_shut_out_takes_no_vote_back(tmp_path):
  store, _ = study(tmp_path / "s.db", 1)
  (ann,) = join(store, "ann")
  votes.vote(store, ann, assign.next_task(store, ann).task, Vote("left"))
  store.deactivate("ann")
  with pytest.raises(ValueError, match="shut out"):
    undo(store, ann)
  assert len(kept_votes(store)) == 1


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
