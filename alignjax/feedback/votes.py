"""What raters say: votes, skips, and taking the last of them back."""

import sqlite3
from typing import NamedTuple

from alignjax.feedback import assign, choices
from alignjax.feedback.assign import Shown
from alignjax.feedback.choices import Vote
from alignjax.feedback.store import Rater, Store

_GONE = (
  "task {task} is {state}; a vote on it is not kept\n"
  "go on with the one that is shown now"
)


class Said(NamedTuple):
  """A comment or a skip, for those who run the study.

  kind: "vote", or the reason of a skip.
  """

  rater: str
  pair: int
  kind: str
  text: str
  at: float


def vote(store: Store, rater: Rater, task: int, vote: Vote) -> str:
  """Keeps a vote: "saved", "same" (it was there) or "changed" (another was).

  A task has one vote, however often it is sent. Seconds count from when it was
  leased, without those between a vote and its undo; of a changed vote those of
  the first are kept. A vote on a lease that has ended, or on what was skipped,
  counts where the place is still free.

  Raises ValueError where there is no such choice or label, and where the task
  is not the rater's, or no more.
  """
  vote = choices.check(vote)
  with store.write() as db:
    assign.expire(store, db)
    state, flipped, leased = _task(db, rater, task)
    choice, labels = choices.kept(vote, flipped)
    new = dict(choice=choice, labels=labels, comment=vote.comment)
    if state == "voted":
      old = _vote(db, task)
      if old == new:
        return "same"
      db.execute(
        "UPDATE votes SET choice = ?, comment = ?, at = ? WHERE task = ?",
        (choice, vote.comment, store.now(), task),
      )
      event = store.log("changed", rater=rater.id, task=task, **new, before=old)
    else:
      _open(store, db, task, state)
      at = store.now()
      seconds = max(0.0, at - leased)
      db.execute(
        "INSERT INTO votes (task, choice, seconds, comment, at) "
        "VALUES (?, ?, ?, ?, ?)",
        (task, choice, seconds, vote.comment, at),
      )
      event = store.log(
        "voted", rater=rater.id, task=task, **new, seconds=seconds
      )
    db.execute("DELETE FROM labels WHERE task = ?", (task,))
    db.executemany(
      "INSERT INTO labels (task, side, label) VALUES (?, ?, ?)",
      [(task, *label) for label in labels],
    )
    _close(db, task, "voted", event)
  return "saved" if state != "voted" else "changed"


def skip(
  store: Store, rater: Rater, task: int, reason: str, comment: str = ""
) -> str:
  """Leaves a task out: its place is free for others, not for this rater.

  reason: of `choices.REASONS`; "other" needs a comment. Returns "saved", or
  "same" where it was skipped before, which stays as it is. Raises ValueError
  where the task is not the rater's, or has a vote.
  """
  comment = choices.check_comment(comment)
  choices.check_reason(reason, comment)
  with store.write() as db:
    state, _, _ = _task(db, rater, task)
    if state == "skipped":
      return "same"
    if state == "voted":
      raise ValueError(
        f"task {task} has your vote; take it back (undo) to skip it instead"
      )
    db.execute(
      "INSERT INTO skips (task, reason, comment, at) VALUES (?, ?, ?, ?)",
      (task, reason, comment, store.now()),
    )
    event = store.log(
      "skipped", rater=rater.id, task=task, reason=reason, comment=comment
    )
    _close(db, task, "skipped", event)
  return "saved"


def last(store: Store, rater: Rater) -> int | None:
  """The task of the rater's last vote or skip, which `undo` takes back."""
  with store.read() as db:
    found = db.execute(
      "SELECT id FROM tasks WHERE rater = ? AND closed IS NOT NULL "
      "ORDER BY closed DESC LIMIT 1",
      (rater.id,),
    ).fetchone()
  return found and found[0]


def undo(store: Store, rater: Rater, task: int | None) -> Shown | None:
  """Takes the rater's last vote or skip back, and shows its task again.

  The seconds that it took count on. None, and nothing is done, where `task` is
  not (or no more) the last one. Raises ValueError where it is a skip and others
  have the pair's places now, and where the rater is shut out.
  """
  with store.write() as db:
    assign.expire(store, db)
    if task is None or task != last(store, rater):
      return None
    state, _, leased = _task(db, rater, task)
    if state == "skipped" and not assign.free(store, db, task):
      raise ValueError(
        "the pair that was skipped last has all its raters now\n"
        "the skip stays; go on with the one that is shown"
      )
    was = _vote(db, task) if state == "voted" else None
    ((spent,),) = db.execute(
      "SELECT seconds FROM votes WHERE task = :t UNION ALL "
      "SELECT at - :l FROM skips WHERE task = :t",
      {"t": task, "l": leased},
    )
    db.execute("DELETE FROM votes WHERE task = ?", (task,))
    db.execute("DELETE FROM skips WHERE task = ?", (task,))
    at = store.now()
    db.execute(
      "UPDATE tasks SET state = 'leased', closed = NULL, leased = ?, "
      "expires = ? WHERE id = ?",
      (at - spent, at + store.settings.lease, task),
    )
    store.log("undone", rater=rater.id, task=task, before=was)
  return assign.shown(store, rater, task)


def comments(store: Store, limit: int = 50) -> list[Said]:
  """The latest comments and skips."""
  with store.read() as db:
    rows = db.execute(
      "SELECT r.name, t.pair, s.kind, s.comment, s.at FROM ("
      "SELECT task, 'vote' AS kind, comment, at FROM votes WHERE comment != '' "
      "UNION ALL SELECT task, reason, comment, at FROM skips) s "
      "JOIN tasks t ON t.id = s.task JOIN raters r ON r.id = t.rater "
      "ORDER BY s.at DESC, s.task DESC LIMIT ?",
      (limit,),
    ).fetchall()
  return [Said(*row) for row in rows]


def _task(
  db: sqlite3.Connection, rater: Rater, task: int
) -> tuple[str, bool, float]:
  """(state, flipped, leased) of a task of this rater."""
  row = (
    assign.is_number(task)
    and db.execute(
      "SELECT state, flipped, leased FROM tasks WHERE id = ? AND rater = ?",
      (task, rater.id),
    ).fetchone()
  )
  if not row:
    raise ValueError(_GONE.format(task=task, state="not yours"))
  state, flipped, leased = row
  if not assign.active(db, rater):
    raise ValueError(f"rater {rater.name!r} is shut out; nothing is kept")
  return state, bool(flipped), leased


def _open(store: Store, db: sqlite3.Connection, task: int, state: str) -> None:
  """Raises where a task that is not leased has lost its place."""
  if state != "leased" and not assign.free(store, db, task):
    held = "over, and others have its places"
    raise ValueError(_GONE.format(task=task, state=held))
  db.execute("DELETE FROM skips WHERE task = ?", (task,))


def _close(db: sqlite3.Connection, task: int, state: str, event: int) -> None:
  db.execute(
    "UPDATE tasks SET state = ?, closed = ? WHERE id = ?", (state, event, task)
  )


def _vote(db: sqlite3.Connection, task: int) -> dict:
  choice, comment = db.execute(
    "SELECT choice, comment FROM votes WHERE task = ?", (task,)
  ).fetchone()
  labels = db.execute(
    "SELECT side, label FROM labels WHERE task = ? ORDER BY side, label",
    (task,),
  ).fetchall()
  return dict(choice=choice, labels=tuple(labels), comment=comment)
