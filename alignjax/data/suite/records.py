"""Extraction, JSON and summaries, from people, sales and matches."""

import itertools
import json
from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import digest, other, pick

_PEOPLE = (
  "Maria Lopez",
  "John Smith",
  "Aisha Khan",
  "Peter Novak",
  "Yuki Tanaka",
  "Laura Rossi",
  "Omar Haddad",
  "Sofia Berg",
  "Daniel Costa",
  "Nina Weber",
)
_CITIES = (
  "Madrid",
  "London",
  "Oslo",
  "Prague",
  "Tokyo",
  "Rome",
  "Cairo",
  "Berlin",
  "Lima",
  "Vienna",
)
_JOBS = (
  "a baker",
  "a nurse",
  "an engineer",
  "a teacher",
  "a lawyer",
  "an architect",
  "a farmer",
  "a pilot",
)
_GOODS = (
  "a blue bicycle",
  "an old clock",
  "a wooden table",
  "a leather jacket",
  "a silver ring",
  "an electric guitar",
  "a used laptop",
  "a garden chair",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_TEAMS = ("the Lions", "the Eagles", "the Sharks", "the Wolves", "the Bears")

_SALES = (
  "{person}, {job} from {city}, bought {goods} for {price} on {day}.",
  "On {day}, {person} sold {goods} for {price}. {person} is {job} and lives "
  "in {city}.",
  "{goods} was ordered in {city} on {day} by {person}, {job}, who paid "
  "{price}.",
)


def extraction() -> Iterator[Instance]:
  """One field of a sale told in a sentence or two."""
  asked = {
    "name of the person": "person",
    "city": "city",
    "price": "price",
    "day of the week": "day",
  }
  for index in range(100):
    sale = {
      "person": pick(_PEOPLE, "person", index),
      "job": pick(_JOBS, "job", index),
      "city": pick(_CITIES, "city", index),
      "goods": pick(_GOODS, "goods", index),
      "price": f"{5 + 5 * (digest('price', index) % 60)} euros",
      "day": pick(_DAYS, "day", index),
    }
    text = _sentence(pick(_SALES, index).format(**sale))
    for field, name in asked.items():
      gold = sale[name]
      wrong = other([sale[key] for key in asked.values()], (gold,), text, field)
      yield Instance(text, {"text": text, "field": field}, (gold,), wrong)


def formatting() -> Iterator[Instance]:
  """A person as a JSON object; wrong is a slip in a value or in the syntax."""
  for person, city, decade in itertools.product(_PEOPLE, _CITIES, (20, 40, 60)):
    key = f"{person} of {city}"
    age = decade + digest(key, decade) % 20
    gold = json.dumps({"name": person, "age": age, "city": city})
    slips = (
      json.dumps({"name": person, "age": age + 1, "city": city}),
      json.dumps({"name": city, "age": age, "city": person}),
      json.dumps({"name": person, "age": str(age), "city": city}),
      gold.replace('"', ""),
    )
    slots = {"person": person, "age": str(age), "city": city}
    yield Instance(key, slots, (gold,), pick(slips, key, decade))


def summary() -> Iterator[Instance]:
  """A record of a sale or a match, told in one sentence."""
  for person, goods in itertools.product(_PEOPLE, _GOODS):
    yield _sale_summary(person, goods)
  for winner, loser in itertools.permutations(_TEAMS, 2):
    for day in _DAYS:
      yield _match_summary(winner, loser, day)


def _sale_summary(person: str, goods: str) -> Instance:
  key = f"{person} sells {goods}"
  buyer, city = other(_PEOPLE, (person,), key), pick(_CITIES, key)
  record = f"Seller: {person}; Buyer: {buyer}; Item: {goods}; City: {city}"
  return Instance(
    key,
    {"record": record},
    (f"{person} sold {goods} to {buyer} in {city}.",),
    f"{buyer} sold {goods} to {person} in {city}.",
  )


def _match_summary(winner: str, loser: str, day: str) -> Instance:
  key = f"{winner} beat {loser} on {day}"
  low = digest(key) % 4
  high = low + 1 + digest("margin", key) % 3
  if pick((True, False), "at home", key):
    record = f"Home: {winner}; Away: {loser}; Score: {high}-{low}; Day: {day}"
  else:
    record = f"Home: {loser}; Away: {winner}; Score: {low}-{high}; Day: {day}"
  ending = f"{high}-{low} on {day}."
  return Instance(
    key,
    {"record": record},
    (_sentence(f"{winner} beat {loser} {ending}"),),
    _sentence(f"{loser} beat {winner} {ending}"),
  )


def _sentence(text: str) -> str:
  """With a capital at the front, the rest as it is."""
  return text[0].upper() + text[1:]


CLUSTERS = (
  Cluster(
    "extraction",
    "exact_match",
    (
      "{text}\nWhat is the {field} in this text? Give only that.",
      "Find the {field} and copy it, nothing else: {text}",
      "Extract the {field}.\nText: {text}",
    ),
    extraction,
  ),
  Cluster(
    "json",
    "json_match",
    (
      "Write this as JSON with the keys name, age and city: {person} is {age} "
      "years old and lives in {city}.",
      "Give a JSON object (name, age, city) for {person}, age {age}, from "
      "{city}. The age is a number.",
      "Turn the facts into JSON with name, age (a number) and city.\n"
      "Name: {person}\nAge: {age}\nCity: {city}",
    ),
    formatting,
  ),
  Cluster(
    "summary",
    "rouge_l",
    (
      "Summarise this record in one sentence.\n{record}",
      "Tell me in one sentence what happened. {record}",
      "Record: {record}\nOne-sentence summary:",
    ),
    summary,
  ),
)
