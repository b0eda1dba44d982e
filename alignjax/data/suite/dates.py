"""Calendar steps and dates in figures."""

import datetime
from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other

_DAYS = (
  "Monday",
  "Tuesday",
  "Wednesday",
  "Thursday",
  "Friday",
  "Saturday",
  "Sunday",
)
_MONTHS = (
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
)


def calendar() -> Iterator[Instance]:
  """The weekday or the month some steps before or after another."""
  for unit, step, names in (
    ("day of the week", "day", _DAYS),
    ("month", "month", _MONTHS),
  ):
    for place, start in enumerate(names):
      for count in range(1, 9):
        for sign, direction in ((1, "after"), (-1, "before")):
          gold = names[(place + sign * count) % len(names)]
          plural = "" if count == 1 else "s"
          offset = f"{count} {step}{plural} {direction}"
          key = f"{offset} {start}"
          slots = {"unit": unit, "offset": offset, "start": start}
          yield Instance(key, slots, (gold,), other(names, (gold,), key))


def dates() -> Iterator[Instance]:
  """A date in words, to be written as year-month-day."""
  for index in range(300):
    day = datetime.date(1950, 1, 1) + datetime.timedelta(days=97 * index)
    month = _MONTHS[day.month - 1]
    gold = day.isoformat()
    slips = (
      f"{day.year}-{day.day:02d}-{day.month:02d}",
      f"{day.year + 1}-{day.month:02d}-{day.day:02d}",
      f"{day.year}-{day.month % 12 + 1:02d}-{day.day:02d}",
    )
    slots = {"day": str(day.day), "month": month, "year": str(day.year)}
    yield Instance(gold, slots, (gold,), other(slips, (gold,), gold))


CLUSTERS = (
  Cluster(
    "calendar",
    "exact_match",
    (
      "Which {unit} is {offset} {start}? Answer with one word.",
      "Name the {unit} that comes {offset} {start}. Give only its name.",
      "In one word, what {unit} falls {offset} {start}?",
    ),
    calendar,
  ),
  Cluster(
    "dates",
    "exact_match",
    (
      "Write {day} {month} {year} in the form YYYY-MM-DD.",
      "Turn this date into year-month-day figures: {month} {day}, {year}",
      "A form asks for a date as YYYY-MM-DD. What do I enter for "
      "{day} {month} {year}?",
    ),
    dates,
  ),
)
