"""Small studies for the tests of feedback."""

from alignjax.feedback.pairs import pairs
from alignjax.feedback.settings import Settings
from alignjax.feedback.store import create

SETTINGS = Settings(seed=7, overlap=2, lease=600, gold_every=0, repeat_every=0)


class Clock:
  """Seconds that pass when a test says so."""

  def __init__(self):
    self.at = 1_000_000.0

  def __call__(self):
    return self.at


def rows(n, gold=()):
  """n rows of pairs; `gold`: numbers of those whose answer a is known."""
  made = []
  for i in range(n):
    row = {"prompt": f"Question {i}?", "a": f"Yes {i}.", "b": f"No, not {i}."}
    row |= {"id": f"p{i}", "models": {"a": "m-one", "b": "m-two"}}
    made.append(row | ({"gold": "a"} if i in gold else {}))
  return made


def read(made):
  """Rows as pairs."""
  return list(pairs((r, f"pairs.jsonl:{i}") for i, r in enumerate(made, 1)))


def study(path, n=4, *, gold=(), now=None, **settings):
  """A new study of n pairs, and its clock."""
  clock = now or Clock()
  made = read(rows(n, gold))
  return create(path, made, SETTINGS._replace(**settings), now=clock), clock


def join(store, *names):
  """New raters of these names."""
  return [store.rater_of(store.add_rater(name)) for name in names]


def query(store, sql, *values):
  """All rows of a query."""
  with store.read() as db:
    return db.execute(sql, values).fetchall()


def hurry(store):
  """The same, without waiting for the disk, which a test need not survive."""
  store._db.execute("PRAGMA synchronous = OFF")
  return store


def counts(store):
  """(voted, leased) places of each pair that are not repeats."""
  return query(
    store,
    "SELECT pair, sum(state = 'voted'), sum(state = 'leased') FROM tasks "
    "WHERE repeat = 0 GROUP BY pair",
  )
