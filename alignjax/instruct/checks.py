"""What is asked of rows; in a file that imports nothing, for the help."""

from typing import NamedTuple


class Checks(NamedTuple):
  """What is asked of rows.

  evals: files whose rows must not stand in them, as of `sources.read`; `suite`
    is the built-in tasks' held-out ones.
  language: a code of `evals.instructions.language.LANGUAGES`.
  near: the Jaccard index from which two rows are near (`duplicates`).
  min_words, max_words: of each answer, of a question's prompt and of a text,
    between white space; 0 for no limit.
  max_length: tokens of a row; 0 for no limit. Needs a tokenizer.
  min_cluster, max_ratio: rows that a cluster should have, and how many times
    the smallest the largest may have; 0 for no limit.
  source, licence: of rows that do not say theirs.
  """

  evals: tuple[str, ...] = ()
  language: str = "en"
  near: float = 0.8
  min_words: int = 1
  max_words: int = 0
  tokenizer: str = ""
  template: str | None = None
  max_length: int = 0
  min_cluster: int = 5
  max_ratio: float = 10.0
  source: str = ""
  licence: str = ""
  seed: int = 0
