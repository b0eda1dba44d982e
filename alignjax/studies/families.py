"""Which clusters of the built-in tasks are related.

A cluster counts as unseen where nothing of its family was trained on (Wei et
al. 2022, https://arxiv.org/abs/2109.01652, section 2.2: a data set is unseen
where none of its cluster was). Related is what is answered out of the same
knowledge or by the same operation; that two answers look alike, a word or yes
and no, does not make a family, as that is what carries over and is measured.
"""

from collections.abc import Iterable

from alignjax.data import suite

FAMILIES: dict[str, tuple[str, ...]] = {
  # Quantities and their order; to sort numbers is to compare them.
  "numbers": (
    "arithmetic",
    "word_problems",
    "comparison",
    "units",
    "counting",
    "sorting",
  ),
  # Months and their order.
  "time": ("calendar", "dates"),
  # A fact of a thing that is named, from memory.
  "facts": ("capitals", "elements", "categories"),
  # The same words, into other languages.
  "translation": ("french", "german", "spanish"),
  # English words, their forms, sounds and meanings.
  "words": ("opposites", "plurals", "past_tense", "rhymes"),
  "sentiment": ("sentiment",),
  # Whether one sentence says what another does.
  "meaning": ("inference", "paraphrase"),
  # What stands in a text, in another form.
  "records": ("extraction", "json", "summary"),
  # The same requests: to refuse them, and to tell that they are to be.
  "safety": ("refusal", "safety"),
}


def family(cluster: str) -> str:
  """The family of a cluster; ValueError where it has none."""
  for name, members in FAMILIES.items():
    if cluster in members:
      return name
  raise ValueError(
    f"cluster {cluster!r} has no family; one of {', '.join(suite.clusters())}."
  )


def members(families: Iterable[str]) -> tuple[str, ...]:
  """The clusters of families, in the order of the suite."""
  families = tuple(families)
  unknown = [name for name in families if name not in FAMILIES]
  if unknown:
    raise ValueError(
      f"family {unknown[0]!r} is unknown; one of {', '.join(FAMILIES)}."
    )
  return tuple(x for x in suite.clusters() if family(x) in families)
