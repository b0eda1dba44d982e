"""Rows that are no preference: named by origin, kind and rule."""

import pytest

from alignjax.data.bad import BadRow
from alignjax.data.preferences import FORMATS, read_row, recognise


def user(text):
  return {"role": "user", "content": text}


def assistant(text):
  return {"role": "assistant", "content": text}


S = {"role": "system", "content": "Be brief."}
Q, A, B = user("2+2?"), assistant("4"), assistant("5")
TALK = "\n\nHuman: 2+2?\n\nAssistant: "
PLAIN = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
HUMAN = {"from": "human", "value": "2+2?"}
GPT = {"from": "gpt", "value": "4"}
SHAREGPT = {"conversations": [HUMAN], "chosen": GPT, "rejected": "5"}
WRONG = [
  ({"chosen": "4"}, "missing field", "keys found: chosen\nlegal sets of keys:"),
  (PLAIN | {"chosen": 4}, "wrong type", "chosen: turns must be a non-empty"),
  (PLAIN | {"rejected": None}, "wrong type", "rejected: turns must be"),
  (PLAIN | {"prompt": 3}, "wrong type", "turns must be a non-empty list"),
  (PLAIN | {"rejected": " 4\n"}, "identical sides", "nothing is preferred"),
  (PLAIN | {"rejected": " "}, "empty completion", "rejected: empty compl"),
  (PLAIN | {"chosen": [A, Q]}, "broken alternation", "chosen: the last turn"),
  (
    PLAIN | {"chosen": [user("no"), A]},
    "broken alternation",
    "chosen: the first turn is 'user', and the prompt does not stand there",
  ),
  (
    PLAIN | {"prompt": [Q, A]},
    "broken alternation",
    "the prompt's last turn is 'assistant', it must be 'user'",
  ),
  (PLAIN | {"prompt": [S]}, "broken alternation", "last turn is 'system'"),
  (PLAIN | {"prompt": [Q, Q]}, "broken alternation", "turns are user, user"),
  (
    PLAIN | {"chosen": [{"role": "bot", "content": "4"}]},
    "unknown role",
    "chosen: unknown role 'bot' in turn 0; legal: system, user, assistant",
  ),
  (PLAIN | {"chosen": "\ud800"}, "lone surrogate", "'chosen' has half a"),
  (PLAIN | {"prompt": "a\0"}, "NUL", "'prompt' has a NUL at character 1"),
  (
    {"chosen": [Q, A], "rejected": [user("3+3?"), B]},
    "no common prompt",
    "do not begin with the same turns\ngive the prompt under 'prompt'",
  ),
  (
    {"chosen": "4", "rejected": "5"},
    "no common prompt",
    "chosen is a text that does not begin with a prompt (Human: …)",
  ),
  (
    {"chosen": f"{TALK}4", "rejected": f"{TALK}4\n\nAssistant: 5"},
    "broken alternation",
    "rejected: turns are user, assistant, assistant",
  ),
  ({"chosen": f"{TALK}4", "rejected": TALK}, "empty completion", "rejected: "),
  (
    SHAREGPT | {"conversations": [HUMAN, GPT]},
    "broken alternation",
    "move what the assistant says into both completions",
  ),
  (
    SHAREGPT | {"chosen": A},
    "missing field",
    "chosen: turn 0 must have 'from' and 'value'",
  ),
  (PLAIN | {"label": 1.5}, "label outside [0, 1]", "label = 1.5 is no prob"),
  (PLAIN | {"label": -0.1}, "label outside [0, 1]", "a number from 0 to 1"),
  (PLAIN | {"label": True}, "wrong type", "label = True judges one answer"),
  (PLAIN | {"label": "1"}, "wrong type", "'label' must be a finite number"),
  (PLAIN | {"margin": float("nan")}, "wrong type", "'margin' must be a finite"),
  (PLAIN | {"margin": 10**400}, "wrong type", "this is int: 1000"),
  (PLAIN | {"weight": 0}, "wrong type", "'weight' must be a finite number"),
  (
    {"prompt": "q", "completion": "a", "label": 0.7},
    "wrong type",
    "label = 0.7 must be true or false (1 or 0)",
  ),
  (
    {"messages": [Q, A], "label": "good"},
    "wrong type",
    "label = 'good' must be true or false",
  ),
  (
    {"messages": [Q], "label": True},
    "broken alternation",
    "the last turn is 'user'",
  ),
  (
    {"prompt": "q", "completions": ["a", "b"], "ranks": [0]},
    "wrong type",
    "answers and 'ranks' must be lists of one length, these are ['a', 'b']",
  ),
  (
    {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 1]},
    "no preference",
    "ranks = [1, 1] set no answer above another",
  ),
  (
    {"prompt": "q", "responses": ["a", "b"], "scores": [1, None]},
    "wrong type",
    "'scores[1]' must be a finite number, this is NoneType",
  ),
  (
    {"prompt": "q", "responses": ["a", "", "b"], "scores": [1, 2, 3]},
    "empty completion",
    "answer 1: empty completion",
  ),
  (
    {"prompt": "q", "responses": ["a", "b", "a"], "scores": [1, 2, 3]},
    "identical sides",
    "answers 2 and 0 are the same",
  ),
  (
    {"prompt": "q", "responses": ["a", "b"], "scores": [1, 2], "margin": 1},
    "wrong type",
    "'margin' is of one pair, and this is a ranked list",
  ),
]


@pytest.mark.parametrize("row, kind, reason", WRONG)
def test_wrong_rows_name_origin_kind_and_rule(row, kind, reason):
  with pytest.raises(BadRow) as error:
    read_row(row, "data.jsonl:7")
  assert str(error.value).startswith("data.jsonl:7: ")
  assert error.value.kind == kind
  assert reason in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_unrecognised_rows_list_every_format():
  with pytest.raises(BadRow) as error:
    recognise({"question": 1}, "f:1")
  assert all(f"({name})" in str(error.value) for name in FORMATS)
  assert "completions|responses + ranks|scores" in str(error.value)
  with pytest.raises(BadRow, match="'pair' needs prompt"):
    read_row({"chosen": [Q, A], "rejected": [Q, B]}, "f:1", "pair")
  with pytest.raises(ValueError, match="unknown row format 'pears'"):
    read_row(PLAIN, "f:1", "pears")
