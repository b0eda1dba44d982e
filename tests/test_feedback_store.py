"""The study's file: what it is begun with, its log, and its raters."""

import os
import sqlite3
import stat

import pytest
from feedback_studies import (
  SETTINGS,
  join,
  query,
  read,
  rows,
  study,
)

from alignjax.data.bad import BadRow
from alignjax.feedback import assign, votes
from alignjax.feedback.choices import Vote
from alignjax.feedback.pairs import pairs
from alignjax.feedback.store import Store, create


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
