"""A study: its settings, pairs and raters, and the one way to write to it."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from alignjax.data import turns
from alignjax.feedback import schema
from alignjax.feedback.pairs import Pair, digest
from alignjax.feedback.settings import Settings, check
from alignjax.log.provenance import environment

ROLES = ("rater", "admin")
NAME = 100  # characters of a rater's name, at most


class Rater(NamedTuple):
  """Who may vote (role "rater") or see the numbers ("admin").

  key: changes when the token does; a session that holds another one is over.
  """

  id: int
  name: str
  role: str
  active: bool
  created: float
  key: str


class Store:
  """A study's file, open. Threads may share it; so may processes a file.

  Writes are transactions that wait for each other; what is committed stays,
  whatever becomes of the process. now: the clock, in seconds since 1970.
  """

  def __init__(self, path: str | Path, *, now: Callable[[], float] = time.time):
    self.path, self.now = Path(path), now
    self._lock = threading.RLock()
    self._db = schema.connect(path)
    fields = ", ".join(Settings._fields)
    (row,) = self._db.execute(f"SELECT {fields} FROM study")
    self.settings = Settings(*row)

  @contextmanager
  def read(self) -> Iterator[sqlite3.Connection]:
    """One state of the study, whoever else writes; also within another."""
    with self._lock:
      if self._db.in_transaction:
        yield self._db
        return
      with self._transaction("BEGIN") as db:
        yield db

  @contextmanager
  def write(self) -> Iterator[sqlite3.Connection]:
    """A transaction: all of it is on the disk at the end, or nothing."""
    with self._transaction("BEGIN IMMEDIATE") as db:
      yield db

  @contextmanager
  def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
    # One connection and a lock: SQLite has one writer at a time anyway, and
    # its own waiting is by sleeping, which lets some threads starve.
    with self._lock:
      self._db.execute(begin)
      try:
        yield self._db
        self._db.execute("COMMIT")
      except BaseException:
        if self._db.in_transaction:
          self._db.execute("ROLLBACK")
        raise

  def log(
    self,
    kind: str,
    *,
    rater: int | None = None,
    task: int | None = None,
    **data,
  ) -> int:
    """Adds an event to the transaction that is open; returns its number."""
    assert self._db.in_transaction
    return self._db.execute(
      "INSERT INTO events (at, rater, kind, task, data) VALUES (?, ?, ?, ?, ?)",
      (self.now(), rater, kind, task, json.dumps(data, ensure_ascii=False)),
    ).lastrowid

  def change(self, settings: Settings) -> None:
    """Takes another lease or a larger overlap; ValueError for all else."""
    if settings == self.settings:
      return
    overlap = max(settings.overlap, self.settings.overlap)
    kept = self.settings._replace(lease=settings.lease, overlap=overlap)
    for name, given, value in zip(Settings._fields, settings, kept):
      if given != value:
        raise ValueError(
          f"{self.path} was begun with {name} = {value}, not {given}\n"
          "what raters see would change in the middle: only the lease may "
          "change, and the overlap grow\n"
          "leave the option out, or begin another study (--study)"
        )
    with self.write() as db:
      db.execute(
        "UPDATE study SET lease = ?, overlap = ?", (kept.lease, overlap)
      )
      self.log("settings", lease=kept.lease, overlap=overlap)
    self.settings = kept

  def add_pairs(self, pairs: Iterable[Pair]) -> int:
    """Adds the pairs that are not there yet; returns their number.

    Raises ValueError where a pair is there with other models or another gold.
    """
    with self.write() as db:
      count = "SELECT coalesce(max(position), 0) FROM pairs"
      (first,) = db.execute(count).fetchone()
      at = first
      for pair in pairs:
        row = _row(pair)
        known = db.execute(
          "SELECT a, model_a, model_b, gold FROM pairs WHERE sha256 = ?",
          row[:1],
        ).fetchone()
        if known is None:
          at += 1
          db.execute(
            "INSERT INTO pairs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (at, *row),
          )
        elif known != (row[2], *row[4:7]):
          raise ValueError(
            f"{pair.origin}: this pair is in {self.path} already, with other "
            "models, another gold or its answers the other way round\n"
            "take the row out, or begin another study"
          )
      if at > first:
        self.log("pairs", added=at - first)
    return at - first

  def add_rater(self, name: str, role: str = "rater") -> str:
    """A new rater's token, which is kept nowhere: only its sha256 is."""
    if role not in ROLES:
      raise ValueError(f"role {role!r} is unknown; legal: {', '.join(ROLES)}")
    clean = turns.text(name, "name", "rater").strip()
    if not clean or len(clean) > NAME or not clean.isprintable():
      raise ValueError(
        f"a rater's name is 1 to {NAME} characters in one line, not "
        f"{name[:60]!r}"
      )
    token = secrets.token_urlsafe(32)
    with self.write() as db:
      if db.execute("SELECT 1 FROM raters WHERE name = ?", (clean,)).fetchone():
        raise ValueError(
          f"there is a rater {clean!r} already\ntake another name; a lost "
          "token is replaced by: alignjax feedback raters renew"
        )
      id = db.execute(
        "INSERT INTO raters (name, token, role, created, active) "
        "VALUES (?, ?, ?, ?, 1)",
        (clean, _hash(token), role, self.now()),
      ).lastrowid
      self.log("rater added", rater=id, name=clean, role=role)
    return token

  def renew(self, name: str) -> str:
    """A rater's new token; the old one is worth nothing from here on.

    One who is shut out is let in again.
    """
    token = secrets.token_urlsafe(32)
    with self.write() as db:
      id = self._named(name)
      db.execute(
        "UPDATE raters SET token = ?, active = 1 WHERE id = ?",
        (_hash(token), id),
      )
      self.log("rater renewed", rater=id)
    return token

  def deactivate(self, name: str) -> None:
    """Shuts a rater out and frees what they hold; their votes stay."""
    with self.write() as db:
      id = self._named(name)
      db.execute("UPDATE raters SET active = 0 WHERE id = ?", (id,))
      for (task,) in db.execute(
        "SELECT id FROM tasks WHERE rater = ? AND state = 'leased'", (id,)
      ).fetchall():
        db.execute("UPDATE tasks SET state = 'expired' WHERE id = ?", (task,))
        self.log("expired", rater=id, task=task)
      self.log("rater deactivated", rater=id)

  def _named(self, name: str) -> int:
    db = self._db
    row = db.execute("SELECT id FROM raters WHERE name = ?", (name,)).fetchone()
    if row is None:
      names = [n for (n,) in db.execute("SELECT name FROM raters ORDER BY id")]
      raise ValueError(
        f"no rater {name!r}; there are: {', '.join(names) or 'none'}"
      )
    return row[0]

  def rater_of(self, token: str) -> Rater | None:
    """Whose token this is; None where nobody's, or of one who is shut out."""
    return next(self._raters("token = ? AND active", _hash(token)), None)

  def rater(self, id: int) -> Rater | None:
    """The rater of a number; None where there is none, or one shut out."""
    return next(self._raters("id = ? AND active", id), None)

  def raters(self) -> list[Rater]:
    """All of them, those who are shut out too, by number."""
    return list(self._raters("1"))

  def _raters(self, where: str, *values) -> Iterator[Rater]:
    with self.read() as db:
      rows = db.execute(
        "SELECT id, name, role, active, created, token FROM raters "
        f"WHERE {where} ORDER BY id",
        values,
      ).fetchall()
    for *row, active, created, token in rows:
      yield Rater(*row, bool(active), created, token[:16])

  def close(self) -> None:
    """Closes the file; the last one to do so folds the log into it."""
    with self._lock:
      self._db.close()


def create(
  path: str | Path,
  pairs: Iterable[Pair],
  settings: Settings,
  *,
  now: Callable[[], float] = time.time,
) -> Store:
  """Begins a study, or goes on with one as `Store.change` lets it.

  Pairs that are not in it yet are added. Raises ValueError where a setting
  makes no sense, or cannot change.
  """
  check(settings)
  pairs = list(pairs)  # a bad row is found before there is a file
  try:
    store = Store(path, now=now)
  except FileNotFoundError:
    if not pairs:
      raise ValueError("no pairs: a study needs one at least") from None
    if settings.gold_every and not any(p.gold for p in pairs):
      raise ValueError(
        f"gold_every = {settings.gold_every}, and no pair has a gold answer\n"
        "give some rows gold (a, b or tie), or leave the option out"
      ) from None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    row = (1, *settings, now(), json.dumps(environment()))
    schema.connect(path, row).close()
    store = Store(path, now=now)
  try:
    store.change(settings)
    store.add_pairs(pairs)
  except BaseException:
    store.close()
    raise
  return store


def _row(pair: Pair) -> tuple:
  texts = (
    json.dumps(x, ensure_ascii=False) for x in (pair.prompt, pair.a, pair.b)
  )
  fields = json.dumps(pair.fields, ensure_ascii=False, default=str)
  return digest(pair), *texts, *pair.models, pair.gold, fields


def _hash(token: str) -> str:
  return sha256(token.encode("utf-8", "replace")).hexdigest()
