"""The SQLite file of a study: tables, and how it is opened.

What stands in `votes` is what raters say now. `events` is append-only and says
how it came to be: no row of it can be changed or removed.
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

VERSION = 1  # PRAGMA user_version; another one is refused
BUSY = 30.0  # seconds to wait for a writer of another process
_NONE = (
  "{path}: no such study\n"
  "alignjax feedback serve PAIRS --study {path} begins one"
)

_ENDS = "'leased', 'voted', 'skipped', 'expired'"
_CHOICES = "'a_much', 'a', 'tie', 'b', 'b_much', 'both_bad'"

TABLES = f"""
CREATE TABLE study (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  seed INTEGER NOT NULL,
  overlap INTEGER NOT NULL,
  lease REAL NOT NULL, -- seconds
  gold_every INTEGER NOT NULL, -- 0: never
  repeat_every INTEGER NOT NULL, -- 0: never
  created REAL NOT NULL, -- seconds since 1970, as all times
  versions TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE raters (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  token TEXT NOT NULL UNIQUE, -- sha256 of it
  role TEXT NOT NULL CHECK (role IN ('rater', 'admin')),
  created REAL NOT NULL,
  active INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT;

CREATE TABLE pairs (
  id INTEGER PRIMARY KEY,
  position INTEGER NOT NULL UNIQUE,
  sha256 TEXT NOT NULL UNIQUE,
  prompt TEXT NOT NULL, -- JSON turns, as a and b
  a TEXT NOT NULL,
  b TEXT NOT NULL,
  model_a TEXT NOT NULL,
  model_b TEXT NOT NULL,
  gold TEXT CHECK (gold IN ('a', 'b', 'tie')),
  fields TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE tasks (
  id INTEGER PRIMARY KEY,
  pair INTEGER NOT NULL REFERENCES pairs,
  rater INTEGER NOT NULL REFERENCES raters,
  repeat INTEGER NOT NULL CHECK (repeat IN (0, 1)),
  flipped INTEGER NOT NULL CHECK (flipped IN (0, 1)), -- 1: b is on the left
  leased REAL NOT NULL,
  expires REAL NOT NULL,
  state TEXT NOT NULL CHECK (state IN ({_ENDS})),
  closed INTEGER REFERENCES events, -- the vote's or skip's
  UNIQUE (pair, rater, repeat)
) STRICT;
CREATE INDEX tasks_rater ON tasks (rater, closed);
CREATE INDEX tasks_leased ON tasks (expires) WHERE state = 'leased';

CREATE TABLE votes (
  task INTEGER PRIMARY KEY REFERENCES tasks,
  choice TEXT NOT NULL CHECK (choice IN ({_CHOICES})),
  seconds REAL NOT NULL,
  comment TEXT NOT NULL,
  at REAL NOT NULL
) STRICT;

CREATE TABLE labels (
  task INTEGER NOT NULL REFERENCES votes ON DELETE CASCADE,
  side TEXT NOT NULL CHECK (side IN ('a', 'b')),
  label TEXT NOT NULL,
  PRIMARY KEY (task, side, label)
) STRICT;

CREATE TABLE skips (
  task INTEGER PRIMARY KEY REFERENCES tasks,
  reason TEXT NOT NULL,
  comment TEXT NOT NULL,
  at REAL NOT NULL
) STRICT;

CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  rater INTEGER REFERENCES raters,
  kind TEXT NOT NULL,
  task INTEGER REFERENCES tasks,
  data TEXT NOT NULL -- JSON
) STRICT;
CREATE TRIGGER events_stay BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_keep BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
-- INSERT OR REPLACE would remove a row without the trigger above.
CREATE TRIGGER events_last BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

PRAGMA user_version = {VERSION};
"""


def connect(path: str | Path, new: Sequence = ()) -> sqlite3.Connection:
  """The study's file, checked.

  new: a row of `study`; where there is none, it, all tables and the file are
  made. In autocommit: a transaction begins where the caller says BEGIN. Threads
  may share it, one at a time. A commit is on the disk when it returns.

  Raises FileNotFoundError where there is no study yet, PermissionError where it
  cannot be written, ValueError where the file is something else, or of another
  version.
  """
  path = Path(path)
  if sqlite3.sqlite_version_info < (3, 37):
    raise ValueError(
      f"SQLite {sqlite3.sqlite_version} has no STRICT tables; 3.37 or later is "
      "needed\ninstall a newer Python, which brings its own"
    )
  if new:
    # What people said is for those who run the study: no one else reads it.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
  elif not path.is_file():
    raise FileNotFoundError(_NONE.format(path=path))
  elif not all(os.access(place, os.W_OK) for place in (path, path.parent)):
    raise PermissionError(
      f"{path} cannot be written, or its folder cannot: a log is kept beside "
      "it, for who only reads too\ncopy it to another folder, and give the copy"
    )
  db = sqlite3.connect(
    path, timeout=BUSY, isolation_level=None, check_same_thread=False
  )
  try:
    _prepare(db, path, new)
  except BaseException:
    db.close()
    raise
  return db


def _prepare(db: sqlite3.Connection, path: Path, new: Sequence) -> None:
  try:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
  except sqlite3.DatabaseError as e:
    if isinstance(e, sqlite3.OperationalError):
      raise
    raise ValueError(
      f"{path} is no SQLite file ({e})\ngive another name to --study"
    ) from e
  blank = not version and not tables
  if blank and not new:  # made by others, or its making was cut short
    raise FileNotFoundError(_NONE.format(path=path))
  if version != VERSION and not blank:
    what = "holds no study" if not version else f"is of version {version}"
    raise ValueError(
      f"{path} {what}; this alignjax reads studies of version {VERSION}\n"
      "give another name to --study, or use the alignjax that wrote it"
    )
  (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
  if mode != "wal":
    raise ValueError(
      f"{path}: its disk cannot keep a write-ahead log (journal mode {mode})\n"
      "put the study on a local disk: network file systems lose votes"
    )
  db.execute("PRAGMA synchronous = FULL")
  db.execute("PRAGMA foreign_keys = ON")
  if blank:
    # One transaction: a file has all of it or nothing.
    db.executescript(f"BEGIN EXCLUSIVE;\n{TABLES}")
    db.execute(f"INSERT INTO study VALUES ({', '.join('?' * len(new))})", new)
    db.execute("COMMIT")
