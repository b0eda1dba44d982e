"""What a rater sees next: leases, sides, gold items and repeats."""

import json
import sqlite3
from hashlib import sha256
from typing import NamedTuple

from alignjax.feedback.choices import Vote, seen
from alignjax.feedback.settings import Settings
from alignjax.feedback.store import Rater, Store

APART = 5  # tasks, at least, between a pair and its repeat

# Whether a pair is a gold item, on which nobody's place counts: gold_every > 0
# and the pair's answer is known.
GOLD = "((SELECT gold_every FROM study) > 0 AND p.gold IS NOT NULL)"
# How many raters have a place on a pair, a vote or a lease.
TAKEN = (
  "(SELECT count(*) FROM tasks t WHERE t.pair = p.id AND t.repeat = 0 "
  "AND t.state IN ('leased', 'voted'))"
)
_MINE = "(SELECT count(*) FROM tasks t WHERE t.pair = p.id AND t.rater = :r)"
_OWN = "FROM tasks t JOIN pairs p ON p.id = t.pair WHERE t.rater = :r"


class Progress(NamedTuple):
  """Tasks of a rater: done (votes and skips), and left as things stand.

  left shrinks where others take the places.
  """

  done: int
  left: int
  total: int


class Shown(NamedTuple):
  """A task as its rater sees it; what answered is not in it.

  prompt, left, right: turns. flipped: whether b is on the left. vote: what the
  rater said before; None for nothing.
  """

  task: int
  prompt: tuple[dict, ...]
  left: tuple[dict, ...]
  right: tuple[dict, ...]
  flipped: bool
  vote: Vote | None


def next_task(store: Store, rater: Rater) -> Shown | None:
  """The task a rater is at, leased to them; None where all is done.

  None, too, for who is shut out.

  The one they hold, so that looking again changes nothing; else a gold item or
  a repeat where one is due; else the pair with most raters that still lacks
  some, in the order of the file. Who lets a lease end gets the pair again where
  its place is still free.
  """
  with store.write() as db:
    expire(store, db)
    if not active(db, rater):
      return None
    found = db.execute(
      "SELECT id FROM tasks WHERE rater = ? AND state = 'leased' "
      "ORDER BY expires DESC, id LIMIT 1",
      (rater.id,),
    ).fetchone()
    if found is None:
      chosen = _choose(store, db, rater.id)
      if chosen is None:
        return None
      found = (_lease(store, db, rater.id, *chosen),)
    return _shown(db, rater.id, found[0])


def shown(store: Store, rater: Rater, task: int) -> Shown | None:
  """A task that a rater has now or has voted on; None for any other."""
  if not is_number(task):
    return None
  with store.read() as db:
    return _shown(db, rater.id, task)


def progress(store: Store, rater: Rater) -> Progress:
  """How far a rater is."""
  s, r = store.settings, {"r": rater.id, "k": store.settings.overlap}
  with store.read() as db:
    done, plain = db.execute(
      f"SELECT count(*), coalesce(sum(repeat = 0 AND NOT {GOLD}), 0) {_OWN} "
      "AND t.state IN ('voted', 'skipped')",
      r,
    ).fetchone()
    (gold,) = db.execute(
      f"SELECT count(*) FROM pairs p WHERE {GOLD}"
    ).fetchone()
    # Pairs with a place for them: the one they hold is theirs.
    (open_,) = db.execute(
      f"SELECT count(*) FROM pairs p WHERE NOT {GOLD} AND {TAKEN} - EXISTS ("
      "SELECT 1 FROM tasks t WHERE t.pair = p.id AND t.rater = :r AND "
      "t.repeat = 0 AND t.state = 'leased') < :k AND NOT EXISTS (SELECT 1 "
      "FROM tasks t WHERE t.pair = p.id AND t.rater = :r AND t.repeat = 0 AND "
      "t.state IN ('voted', 'skipped'))",
      r,
    ).fetchone()
  # Gold items and repeats come on top, as many as are due by the task after.
  ordinary = total = plain + open_
  while True:
    more = ordinary
    more += min(gold, due(s, rater.id, "gold", total + 1))
    more += min(ordinary, due(s, rater.id, "repeat", total + 1))
    if more <= total:
      break
    total = more
  total = max(total, done)
  return Progress(done, total - done, total)


def active(db: sqlite3.Connection, rater: Rater) -> bool:
  """Whether a rater is not shut out, whatever was so when they were read."""
  row = db.execute("SELECT active FROM raters WHERE id = ?", (rater.id,))
  return bool(row.fetchone()[0])


def is_number(task: int) -> bool:
  """Whether a task may have this number: SQLite's have 64 bits."""
  return 0 < task < 2**63


def side(seed: int, rater: int, digest: str) -> bool:
  """Whether b is on the left: a coin that falls the same each time."""
  return _drawn(seed, rater, digest)[0] >= 128


def due(s: Settings, rater: int, kind: str, turn: int) -> int:
  """How many tasks of a kind, "gold" or "repeat", are due up to this one.

  One in each so many tasks, at a place among them that is drawn.
  """
  every = s.gold_every if kind == "gold" else s.repeat_every
  if not every:
    return 0
  block, at = divmod(turn - 1, every)
  drawn = _drawn(s.seed, rater, f"{kind} {block}")
  return block + (at >= int.from_bytes(drawn[:8], "big") % every)


def _drawn(seed: int, rater: int, what: str) -> bytes:
  return sha256(f"{seed} {rater} {what}".encode()).digest()


def free(store: Store, db: sqlite3.Connection, task: int) -> bool:
  """Whether a task that is not leased now could be: its place is not taken."""
  (yes,) = db.execute(
    f"SELECT t.repeat OR {GOLD} OR {TAKEN} < :k FROM tasks t "
    "JOIN pairs p ON p.id = t.pair WHERE t.id = :t",
    {"t": task, "k": store.settings.overlap},
  ).fetchone()
  return bool(yes)


def expire(store: Store, db: sqlite3.Connection) -> None:
  """Frees the places of leases that have ended."""
  for task, rater in db.execute(
    "SELECT id, rater FROM tasks WHERE state = 'leased' AND expires <= ?",
    (store.now(),),
  ).fetchall():
    db.execute("UPDATE tasks SET state = 'expired' WHERE id = ?", (task,))
    store.log("expired", rater=rater, task=task)


def _choose(store, db, rater: int) -> tuple[int, bool] | None:
  """(pair, whether again) of the rater's next task."""
  s, r = store.settings, {"r": rater, "k": store.settings.overlap}

  def first(query):
    return db.execute(query + " LIMIT 1", r).fetchone()

  ended = first(
    f"SELECT t.pair, t.repeat {_OWN} AND t.state = 'expired' AND (t.repeat OR "
    f"{GOLD} OR {TAKEN} < :k) ORDER BY t.leased DESC"
  )
  if ended:
    return ended[0], bool(ended[1])
  had, golds, repeats = db.execute(
    f"SELECT count(*), coalesce(sum(t.repeat = 0 AND {GOLD}), 0), "
    f"coalesce(sum(t.repeat), 0) {_OWN} AND t.state IN ('voted', 'skipped')",
    r,
  ).fetchone()
  turn = had + 1
  found = None
  if golds < due(s, rater, "gold", turn):
    left = db.execute(
      f"SELECT p.sha256, p.id FROM pairs p WHERE {GOLD} AND {_MINE} = 0", r
    )
    # In an order of the rater's own.
    ids = [(_drawn(s.seed, rater, digest), id) for digest, id in left]
    found = (min(ids)[1], 0) if ids else None
  if not found and repeats < due(s, rater, "repeat", turn):
    # The oldest vote, where enough tasks lie behind it.
    found = first(
      f"SELECT t.pair, 1 {_OWN} AND t.state = 'voted' AND t.repeat = 0 AND "
      f"NOT {GOLD} AND {_MINE} = 1 AND t.closed <= (SELECT closed FROM tasks "
      "WHERE rater = :r AND closed IS NOT NULL ORDER BY closed DESC LIMIT 1 "
      f"OFFSET {APART}) ORDER BY t.closed"
    )
  found = found or first(
    f"SELECT p.id, 0, {TAKEN} AS taken FROM pairs p WHERE NOT {GOLD} AND "
    f"taken < :k AND {_MINE} = 0 ORDER BY taken DESC, p.position"
  )
  return (found[0], bool(found[1])) if found else None


def _lease(store, db, rater: int, pair: int, again: bool) -> int:
  (digest,) = db.execute(
    "SELECT sha256 FROM pairs WHERE id = ?", (pair,)
  ).fetchone()
  flipped = side(store.settings.seed, rater, digest) != again
  at = store.now()
  (task,) = db.execute(
    "INSERT INTO tasks (pair, rater, repeat, flipped, leased, expires, state) "
    "VALUES (?, ?, ?, ?, ?, ?, 'leased') ON CONFLICT DO UPDATE SET "
    "state = 'leased', leased = excluded.leased, expires = excluded.expires "
    "RETURNING id",
    (pair, rater, again, flipped, at, at + store.settings.lease),
  ).fetchone()
  store.log(
    "leased", rater=rater, task=task, pair=pair, repeat=again, flipped=flipped
  )
  return task


def _shown(db: sqlite3.Connection, rater: int, task: int) -> Shown | None:
  row = db.execute(
    "SELECT p.prompt, p.a, p.b, t.flipped, v.choice, v.comment FROM tasks t "
    "JOIN pairs p ON p.id = t.pair LEFT JOIN votes v ON v.task = t.id "
    "WHERE t.id = ? AND t.rater = ? AND t.state IN ('leased', 'voted')",
    (task, rater),
  ).fetchone()
  if row is None:
    return None
  *texts, flipped, choice, comment = row
  prompt, *sides = (tuple(json.loads(text)) for text in texts)
  vote = None
  if choice is not None:
    labels = db.execute(
      "SELECT side, label FROM labels WHERE task = ? ORDER BY side, label",
      (task,),
    ).fetchall()
    vote = seen(choice, labels, comment, bool(flipped))
  left, right = reversed(sides) if flipped else sides
  return Shown(task, prompt, left, right, bool(flipped), vote)
