"""Texts that stand twice: exactly, and nearly by MinHash.

Two texts are near where the Jaccard index of their shingles, |A ∩ B| / |A ∪ B|,
reaches a threshold (Broder 1997, "On the resemblance and containment of
documents"). Signatures of 128 minima lie in bands; texts that agree on a whole
band are compared exactly, so that what is told is the index itself and only a
near text may be missed (Leskovec et al., "Mining of Massive Datasets", 3.4).
"""

import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from datasketch import MinHash, MinHashLSH

from alignjax.data.ngrams import words

SHINGLE = 5  # words
SIZE = 128  # minima of a signature
RECALL = 0.99  # of pairs that are at the threshold; nearer ones are found more
# The estimate of a signature strays by √(J (1 − J) / 128) ≤ 0.044; candidates
# that it puts lower by so much are not compared.
_SLACK = 0.16
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio, odd


def normal(text: str) -> str:
  """A text without case, compatibility forms and runs of white space."""
  return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Exact:
  """Remembers texts after `normal`, 16 bytes each, and where each stood."""

  def __init__(self):
    self._seen: dict[bytes, str] = {}

  def first(self, parts: Iterable[str], origin: str) -> str:
    """Where the same parts stood first, "" where they are new."""
    found = self._seen.setdefault(self._key(parts), origin)
    return "" if found == origin else found

  def where(self, parts: Iterable[str]) -> str:
    """The same, and does not remember them."""
    return self._seen.get(self._key(parts), "")

  @staticmethod
  def _key(parts: Iterable[str]) -> bytes:
    key = blake2b(digest_size=16)
    for part in parts:
      said = normal(part).encode("utf-8", "surrogatepass")
      key.update(len(said).to_bytes(8, "big") + said)
    return key.digest()


def shingles(found: Sequence) -> set[tuple]:
  """Runs of five words, or the words of a text that has fewer."""
  n = SHINGLE if len(found) >= SHINGLE else 1
  return set(zip(*(found[k:] for k in range(n))))


def jaccard(a: set, b: set) -> float:
  """|A ∩ B| / |A ∪ B|; 0 of two empty sets, which say nothing."""
  both = len(a & b)
  return both / (len(a) + len(b) - both) if both else 0.0


def bands(threshold: float) -> tuple[int, int]:
  """Bands and minima in each: the longest bands that keep `RECALL`.

  Two texts at s agree on one of b bands of r with 1 − (1 − sʳ)ᵇ.
  """
  for r in range(SIZE // 2, 1, -1):
    b = SIZE // r
    if 1 - (1 - threshold**r) ** b >= RECALL:
      return b, r
  return SIZE, 1


class Near:
  """Keeps texts that are near none before; tells of others whom they are near.

  What it keeps is apart, as far as none is missed: remove the others, and
  nothing near is left. Some 8 kB for each text kept, and 4 bytes a word.

  threshold: the Jaccard index from which on two texts are near, above 0 and at
    most 1.
  seed: of the hashes. Another one may miss others.
  """

  def __init__(self, threshold: float, *, seed: int = 0):
    if not 0 < threshold <= 1:
      raise ValueError(
        f"near = {threshold:g}; it is a Jaccard index above 0, at most 1\n"
        "0.8 finds texts of which a few words differ"
      )
    if not 0 <= seed < 2**32:
      raise ValueError(f"seed = {seed}; it is a whole number of 32 bits")
    self.threshold, self._seed = threshold, seed
    self._empty = MinHash(SIZE, seed=seed, hashfunc=int)
    self._lsh = MinHashLSH(num_perm=SIZE, params=bands(threshold))
    self._numbers: dict[str, int] = {}
    self._codes = array("Q")  # of each word, whatever stood before it
    self._texts: list[array] = []  # words as numbers
    self._signatures = np.zeros((1024, SIZE), np.uint32)  # room to grow
    self._origins: list[str] = []
    self._shingles = lru_cache(4096)(lambda at: shingles(self._texts[at]))

  def nearest(self, text: str, origin: str) -> tuple[str, float] | None:
    """Whom a text is nearest to, if near, and the index; keeps it otherwise.

    The first of equals. A text without words is near to none and is not kept.
    """
    ids = array("i", map(self._number, words(text)))
    own = shingles(ids)
    if not own:
      return None
    signature = self._signature(ids)
    best, found = -1, 0.0
    for at in self._candidates(signature):
      index = jaccard(own, self._shingles(at))
      if index >= self.threshold and index > found:
        best, found = at, index
    if best >= 0:
      return self._origins[best], found
    at = len(self._texts)
    if at == len(self._signatures):
      more = np.zeros_like(self._signatures)
      self._signatures = np.concatenate([self._signatures, more])
    self._signatures[at] = signature.hashvalues
    self._lsh.insert(at, signature)
    self._texts.append(ids)
    self._origins.append(origin)
    return None

  def _candidates(self, signature: MinHash) -> list[int]:
    """Texts that share a band and may be near by the estimate, in order."""
    found = np.array(sorted(self._lsh.query(signature)), np.int64)
    same = self._signatures[found] == signature.hashvalues
    near = same.sum(1) >= (self.threshold - _SLACK) * SIZE
    return found[near].tolist()

  def _number(self, word: str) -> int:
    number = self._numbers.setdefault(word, len(self._numbers))
    if number == len(self._codes):
      seed = self._seed.to_bytes(8, "big")
      said = word.encode("utf-8", "surrogatepass")
      code = blake2b(said, digest_size=8, salt=seed).digest()
      self._codes.append(int.from_bytes(code, "big"))
    return number

  def _signature(self, ids: array) -> MinHash:
    """Minima of the hashes of the shingles."""
    codes = np.array([self._codes[i] for i in ids], np.uint64)
    n = SHINGLE if len(ids) >= SHINGLE else 1
    size = len(ids) - n + 1
    hashes = np.zeros(size, np.uint64)
    for k in range(n):
      hashes = hashes * _FACTOR + codes[k : k + size]
    made = MinHash(
      hashfunc=int,
      scheme=self._empty.scheme,
      hashvalues=self._empty.hashvalues,
      permutations=self._empty.permutations,
      seed=self._empty.seed,
    )
    made.update_batch((hashes >> np.uint64(32)).tolist())
    return made
