"""Prompts and completions of preference rows: what is compared with what."""

import numbers
from itertools import combinations, product

from alignjax.data import turns
from alignjax.data.bad import BadRow

# Which levels of a ranked list are set against each other.
PAIRS = ("all", "adjacent", "best-worst")


def check_differ(sides: tuple, names: str, origin: str) -> None:
  """Raises where both sides say the same; white space around does not count."""
  said = [[(m["role"], m["content"].strip()) for m in s] for s in sides]
  if said[0] == said[1]:
    raise BadRow(
      origin,
      "identical sides",
      f"{names} are the same, so nothing is preferred\n"
      "remove the row, or one of the two from a list",
    )


def read_prompt(row: dict, name: str, origin: str) -> tuple[dict, ...]:
  """The turns before the completions, of a row of a named format."""
  if name == "sharegpt pair":
    made = turns.system(row, origin)
    made += turns.messages(row["conversations"], "from", "value", origin)
  elif name == "alpaca pair":
    made = turns.instruction(row, origin)
  elif turns.is_transcript(row["prompt"]):
    made = turns.transcript(row["prompt"], "prompt", origin)
    if made[-1] == turns.message("assistant", ""):  # where it is to go on
      made.pop()
  else:
    made = turns.side(row, "prompt", "user", origin)
  if made[-1]["role"] != "user":
    raise BadRow(
      origin,
      "broken alternation",
      f"the prompt's last turn is {made[-1]['role']!r}, it must be 'user', "
      "whom the completions answer\n"
      "move what the assistant says into both completions",
    )
  turns.check([*made, turns.message("assistant", "answers")], origin)
  return tuple(made)


def read_completion(
  value, key: str, who: str, prompt: tuple[dict, ...], origin: str
) -> tuple[dict, ...]:
  """The turns after the prompt, of a side that may hold the prompt too."""
  try:
    made = _turns(value, key, who, origin)
    if tuple(made[: len(prompt)]) == prompt:
      made = made[len(prompt) :]
    elif made[0]["role"] != "assistant":
      raise BadRow(
        origin,
        "broken alternation",
        f"the first turn is {made[0]['role']!r}, and the prompt does not stand "
        "there again\nbegin with the assistant's answer",
      )
    turns.check([*prompt, *made], origin)
  except BadRow as e:
    raise BadRow(origin, e.kind, f"{key}: {e.reason}") from e
  return tuple(made)


def _turns(value, key: str, who: str, origin: str) -> list[dict]:
  if turns.is_transcript(value):
    return turns.transcript(value, key, origin)
  if isinstance(value, str):
    return [turns.message("assistant", turns.text(value, key, origin))]
  what = "value" if who == "from" else "content"
  listed = [value] if isinstance(value, dict) else value
  return turns.messages(listed, who, what, origin)


def read_conversations(row: dict, origin: str) -> tuple:
  """(prompt, sides) of two whole conversations."""
  whole = []
  remedy = "give the prompt under 'prompt', or both conversations from their "
  remedy += "first turn on"
  for key in ("chosen", "rejected"):
    if isinstance(row[key], str) and not turns.is_transcript(row[key]):
      reason = f"{key} is a text that does not begin with a prompt (Human: …)\n"
      raise BadRow(origin, "no common prompt", reason + remedy)
    try:
      whole.append(_turns(row[key], key, "role", origin))
      turns.check(whole[-1], origin)
    except BadRow as e:
      raise BadRow(origin, e.kind, f"{key}: {e.reason}") from e
  chosen, rejected = whole
  border = 0
  for at, (a, b) in enumerate(zip(chosen, rejected)):
    if a["role"] == b["role"] == "assistant":
      border = at
    if a != b:
      break
  if not border:
    raise BadRow(
      origin,
      "no common prompt",
      f"chosen and rejected do not begin with the same turns\n{remedy}",
    )
  sides = tuple(chosen[border:]), tuple(rejected[border:])
  return tuple(chosen[:border]), sides


def read_answer(row: dict, name: str, origin: str) -> tuple:
  """(prompt, completion) of one judged answer."""
  if name == "judged":
    prompt = read_prompt(row, name, origin)
    value = row["completion"]
    return prompt, read_completion(value, "completion", "role", prompt, origin)
  made = turns.messages(row["messages"], "role", "content", origin)
  turns.check(made, origin)
  return tuple(made[:-1]), tuple(made[-1:])


def read_ranked(row: dict, origin: str, pairs: str) -> tuple:
  """(prompt, [(sides, "i>j")]) of a list whose answers stand in levels.

  pairs: of `PAIRS`.
  """
  if pairs not in PAIRS:
    raise ValueError(f"pairs = {pairs!r}; legal: {', '.join(PAIRS)}")
  prompt = read_prompt(row, "ranked", origin)
  answers = row[turns.find(row, "completions|responses")]
  order = turns.find(row, "ranks|scores")
  places = row[order]
  for key in ("label", "margin"):
    if row.get(key) is not None:
      reason = f"{key!r} is of one pair, and this is a ranked list\n"
      raise BadRow(origin, "wrong type", reason + "remove the key")
  both = isinstance(answers, list) and isinstance(places, list)
  if not both or len(answers) != len(places):
    raise BadRow(
      origin,
      "wrong type",
      f"answers and {order!r} must be lists of one length, these are "
      f"{repr(answers)[:40]} and {repr(places)[:40]}",
    )
  sides = [
    read_completion(a, f"answer {i}", "role", prompt, origin)
    for i, a in enumerate(answers)
  ]
  sign = 1 if order == "ranks" else -1
  levels: dict[float, list[int]] = {}
  for i, place in enumerate(places):
    place = sign * number(place, f"{order}[{i}]", origin)
    levels.setdefault(place, []).append(i)
  groups = [levels[place] for place in sorted(levels)]
  if len(groups) < 2:
    raise BadRow(
      origin,
      "no preference",
      f"{order} = {repr(places)[:60]} set no answer above another\n"
      "remove the row",
    )
  against = {
    "all": list(combinations(groups, 2)),
    "adjacent": list(zip(groups, groups[1:])),
    "best-worst": [(groups[0], groups[-1])],
  }[pairs]
  made = [c for better, worse in against for c in product(better, worse)]
  for i, j in made:
    check_differ((sides[i], sides[j]), f"answers {i} and {j}", origin)
  return prompt, [((sides[i], sides[j]), f"{i}>{j}") for i, j in made]


def number(value, key: str, origin: str) -> float:
  """The same, if it is a finite number of float32."""
  real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if real and -1e38 < value < 1e38:
    return float(value)
  raise BadRow(
    origin,
    "wrong type",
    f"{key!r} must be a finite number, this is {type(value).__name__}: "
    f"{repr(value)[:60]}\n"
    "repair it; a cell of text is no number, so write JSON Lines or Parquet",
  )


def label(value, origin: str) -> float:
  """The probability that the first side of a pair is preferred."""
  if value is None:
    return 1.0
  if isinstance(value, bool):
    raise BadRow(
      origin,
      "wrong type",
      f"label = {value} judges one answer, and this row has two\n"
      "a pair's label is a number, the probability that 'chosen' is preferred",
    )
  label = number(value, "label", origin)
  if 0 <= label <= 1:
    return label
  raise BadRow(
    origin,
    "label outside [0, 1]",
    f"label = {value} is no probability that 'chosen' is preferred\n"
    "it is a number from 0 to 1; rename the key where it means another thing",
  )


def judgement(value, origin: str) -> bool:
  """Whether a judged answer is wanted."""
  if isinstance(value, numbers.Real) and value in (0, 1):
    return bool(value)
  raise BadRow(
    origin,
    "wrong type",
    f"label = {repr(value)[:60]} must be true or false (1 or 0): whether the "
    "answer is wanted\n"
    "a cell of text is neither: write JSON Lines or Parquet\n"
    "probabilities are for pairs (chosen + rejected)",
  )
