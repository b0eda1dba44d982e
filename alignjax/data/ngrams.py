"""N-grams of some rows, and which of them other rows have as they stream by.

A word is a number, an n-gram a hash of 64 bits: some 40 bytes for each word of
the rows that are kept, however many stream by. A hash that two n-grams share
would count as found; with a million kept and 10⁹ streamed by, one is expected
in 18,000 runs.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

PARTS = ("prompt and gold", "prompt", "gold")
_WORD = re.compile(r"[^\W_]+")
_AT_ONCE = 2**18  # words of streamed rows that are hashed together
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio, odd


def words(text: str) -> list[str]:
  """Words of a text, without case and punctuation: runs of letters and digits.

  Compatibility forms are one (NFKC): ligatures, full width.
  """
  return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Kept(NamedTuple):
  """Where a row lies among the words that are kept: its first, size in words.

  prompt: words of the prompt, the first ones.
  """

  origin: str
  start: int
  prompt: int
  size: int

  def span(self, part: str) -> tuple[int, int]:
    """The words of one of `PARTS`, from and to."""
    border, end = self.start + self.prompt, self.start + self.size
    if part == "prompt and gold":
      return self.start, end
    return (self.start, border) if part == "prompt" else (border, end)


class _Table(NamedTuple):
  """N-grams of a length: hashes, sorted; who had each first, −1 for none.

  place: of each kept word the n-gram that begins there, where one does.
  """

  hashes: UInt64[np.ndarray, "n_grams"]
  owner: Int[np.ndarray, "n_grams"]
  place: Int[np.ndarray, "words"]


class Index:
  """Rows are kept (`keep`), then others stream by (`stream`), then it is asked.

  lengths: words of the n-grams.
  """

  def __init__(self, lengths: Sequence[int]):
    self.lengths = tuple(lengths)
    self._numbers: dict[str, int] = {"": 0}  # 0: a border, or no word of ours
    self._ids = array("i")
    self._short: dict[tuple, str] = {}  # part and words → who has it whole
    self._owners: list[str] = []
    self._tables: dict[int, _Table] = {}

  def keep(self, origin: str, prompt: str, gold: str) -> Kept:
    """Takes a row; not after others have streamed by."""
    asked, answered = words(prompt), words(gold)
    numbers = self._numbers
    ids = [numbers.setdefault(w, len(numbers)) for w in (*asked, *answered)]
    row = Kept(origin, len(self._ids), len(asked), len(ids))
    self._ids.extend([*ids, 0])
    for part in PARTS:
      if key := self._key(row, part):
        self._short[key] = ""
    return row

  def stream(self, rows: Iterable[tuple[str, str, Sequence[str]]]) -> None:
    """Notes what (origin, prompt, what may follow it) have of the rows kept."""
    if not self._tables:
      size, draw = len(self._numbers), np.random.default_rng(0)
      self._codes = draw.integers(2**64, size=size, dtype=np.uint64)
      self._tables = {n: self._table(n) for n in self.lengths}
    get, ids, owners, ends = self._numbers.get, [], [], []
    for origin, prompt, golds in rows:
      asked = [get(w, 0) for w in words(prompt)]
      self._whole(origin, "prompt", asked)
      for gold in golds:
        answered = [get(w, 0) for w in words(gold)]
        self._whole(origin, "gold", answered)
        self._whole(origin, "prompt and gold", asked + answered)
        ids += [*asked, *answered, 0]
        owners.append(origin)
        ends.append(len(ids))
      if len(ids) >= _AT_ONCE:
        self._find(ids, owners, ends)
        ids, owners, ends = [], [], []
    if ids:
      self._find(ids, owners, ends)

  def whole(self, row: Kept, part: str) -> str:
    """The first streamed row with the same part, "" for none.

    Of parts that have fewer words than the longest n-gram.
    """
    return self._short[self._key(row, part)]

  def hits(self, row: Kept, part: str, n: int) -> tuple[int, int]:
    """N-grams of a part that streamed by, and all of them."""
    owner = self._owner(row, part, n)
    return int(np.count_nonzero(owner >= 0)), len(owner)

  def longest(self, row: Kept, n: int) -> tuple[str, str]:
    """The origin of a streamed row and the longest text it shares.

    An n-gram is taken to be of the row that had it first.
    """
    owner = self._owner(row, "prompt and gold", n)
    starts = np.flatnonzero(np.diff(owner, prepend=-2))
    sizes = np.diff(starts, append=len(owner)) * (owner[starts] >= 0)
    best = int(sizes.argmax())
    start = row.start + int(starts[best])
    text = self.text(start, start + int(sizes[best]) + n - 1)
    return self._owners[owner[starts[best]]], text

  def text(self, start: int, end: int) -> str:
    """Kept words as text."""
    known = list(self._numbers)
    return " ".join(known[i] for i in self._ids[start:end])

  def _key(self, row: Kept, part: str) -> tuple:
    start, end = row.span(part)
    short = 0 < end - start < max(self.lengths)
    return (part, *self._ids[start:end]) if short else ()

  def _whole(self, origin: str, part: str, ids: list[int]) -> None:
    key = (part, *ids)
    if len(ids) < max(self.lengths) and self._short.get(key) == "":
      self._short[key] = origin

  def _owner(self, row: Kept, part: str, n: int) -> Int[np.ndarray, "n_grams"]:
    start, end = row.span(part)
    table = self._tables[n]
    return table.owner[table.place[start : max(start, end - n + 1)]]

  def _table(self, n: int) -> _Table:
    ids = np.frombuffer(self._ids, np.int32)
    found, real = self._hashes(ids, n)
    hashes = np.unique(found[real])
    place = np.searchsorted(hashes, found).astype(np.int32)
    return _Table(hashes, np.full(len(hashes), -1, np.int32), place)

  def _find(self, ids: list[int], owners: list[str], ends: list[int]) -> None:
    for n, (hashes, owner, _) in self._tables.items():
      found, real = self._hashes(np.array(ids, np.int32), n)
      at = np.flatnonzero(real)
      place = np.searchsorted(hashes, found[at])
      known = place < len(hashes)
      known[known] = hashes[place[known]] == found[at[known]]
      # The first time that each is seen.
      new, first = np.unique(place[known], return_index=True)
      fresh = owner[new] < 0
      who = np.searchsorted(ends, at[known][first[fresh]], "right")
      rows, number = np.unique(who, return_inverse=True)
      owner[new[fresh]] = len(self._owners) + number
      self._owners += [owners[k] for k in rows]

  def _hashes(self, ids: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the n words from each place on; and whether no border is in them."""
    size = max(0, len(ids) - n + 1)
    found, real = np.zeros(size, np.uint64), np.ones(size, bool)
    for k in range(n):
      part = ids[k : k + size]
      found = found * _FACTOR + self._codes[part]
      real &= part != 0
    return found, real
