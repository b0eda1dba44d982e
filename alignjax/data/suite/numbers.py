"""Arithmetic, word problems, comparison and unit conversion."""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other, pick

_NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Farid", "Grace", "Hugo")
_ITEMS = ("apples", "books", "coins", "marbles", "pencils", "stamps")

# from, to, how many of the second make one of the first
_UNITS = (
  ("kilometres", "metres", 1000),
  ("metres", "centimetres", 100),
  ("centimetres", "millimetres", 10),
  ("kilograms", "grams", 1000),
  ("tonnes", "kilograms", 1000),
  ("litres", "millilitres", 1000),
  ("hours", "minutes", 60),
  ("minutes", "seconds", 60),
  ("days", "hours", 24),
  ("weeks", "days", 7),
  ("years", "months", 12),
  ("decades", "years", 10),
  ("centuries", "years", 100),
  ("feet", "inches", 12),
  ("yards", "feet", 3),
  ("pounds", "ounces", 16),
  ("gallons", "quarts", 4),
)


def _near(value: int, *parts: object) -> int:
  """A wrong number not below 0 that a careless reader could arrive at."""
  near = [value + step for step in (-10, -2, -1, 1, 2, 10)]
  return pick([number for number in near if number >= 0], *parts)


def arithmetic() -> Iterator[Instance]:
  """Sums to 50, differences, the times tables and their divisions."""
  for a in range(2, 26):
    for b in range(2, a + 1):
      pair = f"{b} and {a}"
      yield _sum(f"sum of {pair}", f"{a} + {b}", a + b)
      if a != b:
        yield _sum(f"sum of {pair}", f"{b} + {a}", a + b)
      yield _sum(f"difference of {pair}", f"{a} - {b}", a - b)
      if a <= 12:
        key = f"product of {pair}"
        yield _sum(key, f"{a} * {b}", a * b)
        yield _sum(key, f"{a * b} / {b}", a)


def _sum(key: str, expression: str, value: int) -> Instance:
  wrong = str(_near(value, expression))
  return Instance(key, {"expression": expression}, (str(value),), wrong)


def word_problems() -> Iterator[Instance]:
  """Somebody has some things, and gains or loses a few."""
  for a in range(3, 21):
    for b in range(2, a):
      key = f"story of {a} and {b}"
      name, item = pick(_NAMES, key, "name"), pick(_ITEMS, key, "item")
      gains = pick((True, False), key, "gains")
      verb = pick(
        ("buys", "finds", "gets")
        if gains
        else ("loses", "sells", "gives away"),
        key,
      )
      value = a + b if gains else a - b
      more = " more" if gains else ""
      story = f"{name} has {a} {item} and {verb} {b}{more}."
      slots = {"story": story, "name": name, "item": item}
      yield Instance(key, slots, (str(value),), str(_near(value, key)))


def comparison() -> Iterator[Instance]:
  """The larger or the smaller of two numbers below 1000."""
  for a in range(1, 900, 7):
    for step in (1, 9, 90):
      low, high = a, a + step
      key = f"{low} and {high}"
      order = pick((False, True), key, "order")
      first, second = (low, high) if order else (high, low)
      larger = pick((False, True), key, "larger")
      gold, wrong = (high, low) if larger else (low, high)
      slots = {
        "word": "larger" if larger else "smaller",
        "first": str(first),
        "second": str(second),
      }
      yield Instance(key, slots, (str(gold),), str(wrong))


def units() -> Iterator[Instance]:
  """A whole number of one unit in a smaller one."""
  for large, small, factor in _UNITS:
    for count in range(2, 16):
      value = count * factor
      key = f"{count} {large} in {small}"
      factors = (10, 12, 24, 60, 100, 1000)
      wrong = count * other(factors, (factor,), key)
      slots = {"count": str(count), "large": large, "small": small}
      yield Instance(key, slots, (f"{value} {small}",), f"{wrong} {small}")


CLUSTERS = (
  Cluster(
    "arithmetic",
    "numeric",
    (
      "What is {expression}?",
      "Calculate {expression}.",
      "Work this out and give only the number: {expression}",
      "{expression} =",
    ),
    arithmetic,
  ),
  Cluster(
    "word_problems",
    "numeric",
    (
      "{story} How many {item} does {name} have now?",
      "Solve this problem and answer with a number. {story} How many {item} "
      "does {name} end up with?",
      "{story} Give the number of {item} {name} has in the end.",
      "Read the story, then count the {item} {name} has at the end: {story}",
    ),
    word_problems,
  ),
  Cluster(
    "comparison",
    "numeric",
    (
      "Which number is {word}: {first} or {second}?",
      "Pick the {word} number: {first}, {second}.",
      "Of {first} and {second}, which is {word}? Answer with the number.",
    ),
    comparison,
  ),
  Cluster(
    "units",
    "numeric",
    (
      "Convert {count} {large} to {small}.",
      "How many {small} are there in {count} {large}?",
      "Express {count} {large} in {small}.",
      "{count} {large} is how many {small}?",
    ),
    units,
  ),
)
