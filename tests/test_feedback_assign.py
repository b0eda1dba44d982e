"""What raters are shown: sides, leases, gold items, repeats."""

import pytest
from feedback_studies import (
  SETTINGS,
  counts,
  join,
  query,
  study,
)

from alignjax.feedback import assign, votes
from alignjax.feedback.choices import CHOICES, KEPT, Vote, kept, seen
from alignjax.feedback.store import Store


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
