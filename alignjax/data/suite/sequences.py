"""Sorting lists and counting in them."""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import digest, pick, shuffle

_WORDS = (
  "apple anchor basket bridge candle castle dragon desert engine eagle forest "
  "feather garden guitar hammer harbour island insect jacket jungle kettle "
  "kitchen ladder lemon magnet mirror needle napkin orange oyster pencil "
  "planet quilt rabbit river saddle summer table tunnel umbrella valley "
  "violin window winter yellow zebra"
).split()

_COUNTED = ("red", "blue", "cat", "dog", "sun", "tea", "one", "yes", "box")


def sorting() -> Iterator[Instance]:
  """Three to five words or numbers, put in order."""
  for index in range(360):
    key = f"list {index}"
    size = 3 + index % 3
    if index % 2:
      items = shuffle(_WORDS, key)[:size]
      ordered, what, how = sorted(items), "words", "in alphabetical order"
    else:
      items = shuffle(range(1 + index % 7, 100, 7), key)[:size]
      ordered, what = sorted(items), "numbers"
      how = pick(("from smallest to largest", "from largest to smallest"), key)
      if how == "from largest to smallest":
        ordered = ordered[::-1]
    if items == ordered:
      items = items[::-1]
    # Wrong: two neighbours swapped.
    at = digest(key, "swap") % (size - 1)
    wrong = ordered[:at] + [ordered[at + 1], ordered[at]] + ordered[at + 2 :]
    slots = {"what": what, "how": how, "items": _join(items)}
    yield Instance(key, slots, (_join(ordered),), _join(wrong))


def counting() -> Iterator[Instance]:
  """How often a word stands in a list of four to eight."""
  seen = set()
  for index in range(360):
    size = 4 + index % 5
    word = pick(_COUNTED, "counted", index)
    rest = [other for other in _COUNTED if other != word]
    value = 1 + digest("times", index) % min(4, size - 1)
    items = [word] * value
    items += [pick(rest, index, place) for place in range(size - value)]
    order = shuffle(range(size), "counting", index)
    text = _join(items[place] for place in order)
    if (word, text) in seen:
      continue
    seen.add((word, text))
    wrong = pick([n for n in range(1, 6) if n != value], "miscount", index)
    slots = {"word": word, "items": text}
    yield Instance(f"{word} in {text}", slots, (str(value),), str(wrong))


def _join(items) -> str:
  return ", ".join(map(str, items))


CLUSTERS = (
  Cluster(
    "sorting",
    "exact_match",
    (
      "Sort these {what} {how}: {items}.",
      "Put the following {what} {how}, separated by commas: {items}",
      "Write this list again with the {what} {how}.\n{items}",
      "List of {what}: {items}\nRewrite the list {how}.",
    ),
    sorting,
  ),
  Cluster(
    "counting",
    "numeric",
    (
      'How many times does the word "{word}" appear in this list: {items}?',
      'Count the word "{word}" in: {items}. Answer with a number.',
      '{items}\nHow often is "{word}" in the list above?',
      'List: {items}\nGive the number of entries that are "{word}".',
    ),
    counting,
  ),
)
