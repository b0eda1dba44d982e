import numpy as np
import pytest

from alignjax.data.bad import BadRow
from alignjax.data.formats import FORMATS, example, examples, recognise

Q, A = (
  {"role": "user", "content": "2+2?"},
  {"role": "assistant", "content": "4"},
)
S = {"role": "system", "content": "Be brief."}
TEMPLATE = {
  "messages": {"messages": [Q, A]},
  "sharegpt": {
    "conversations": [
      {"from": "human", "value": "2+2?"},
      {"from": "gpt", "value": "4"},
    ]
  },
  "prompt/completion": {"prompt": "2+2?", "completion": "4"},
  "alpaca": {"instruction": "2+2?", "input": "", "output": "4"},
}


@pytest.mark.parametrize("name", TEMPLATE)
def test_every_format_gives_the_same_conversation(name):
  row = TEMPLATE[name] | {"cluster": "sums"}
  assert recognise(row, "f:1") == name
  made = example(row, "f:1")
  assert made.messages == (Q, A)
  assert (made.text, made.origin) == ("", "f:1")
  assert made.fields["cluster"] == "sums"
  assert set(made.fields) <= {"cluster", "prompt_turns"}


def test_text():
  made = example({"text": "Once.", "url": "u"}, "f[0]")
  assert made == ((), "Once.", "f[0]", {"url": "u"})


@pytest.mark.parametrize("weight", [2, 0.25, np.float32(3), 1e-30, 1e30])
def test_a_weight_goes_to_the_fields(weight):
  for row in (*TEMPLATE.values(), {"text": "a"}):
    made = example(row | {"weight": weight}, "f:1")
    assert made.fields["weight"] == weight
    assert type(made.fields["weight"]) is float
    assert "weight" not in example(row | {"weight": None}, "f:1").fields


@pytest.mark.parametrize(
  "given, ask",
  [
    ("12 and 30", "Add.\n\n12 and 30"),
    ("  \n", "Add."),
    (None, "Add."),
  ],
)
def test_alpaca_input_follows_after_a_blank_line(given, ask):
  row = {"instruction": "Add.", "input": given, "output": "42"}
  assert example(row, "f:1").messages[0]["content"] == ask
  del row["input"]
  assert example(row, "f:1").messages[0]["content"] == "Add."


def test_system_text_beside_the_turns():
  for name in ("alpaca", "sharegpt"):
    row = TEMPLATE[name] | {"system": "Be brief."}
    assert example(row, "f:1").messages == (S, Q, A)


def test_prompt_and_completion_as_turns():
  row = {"prompt": [S, Q, A, Q], "completion": [A]}
  made = example(row, "f:1")
  assert made.messages == (S, Q, A, Q, A)
  assert made.fields == {"prompt_turns": 4}
  assert example({"prompt": [S, Q], "completion": "4"}, "f:1").messages == (
    S,
    Q,
    A,
  )


def test_content_is_kept_to_the_letter():
  odd = " \u2028<|im_end|> x \n"
  row = {"messages": [Q, {"role": "assistant", "content": odd}]}
  assert example(row, "f:1").messages[1]["content"] == odd


def test_unrecognised_row_lists_keys_and_legal_sets():
  with pytest.raises(ValueError) as error:
    recognise({"question": 1, "answer": 2}, "data.jsonl:7")
  message = str(error.value)
  assert "data.jsonl:7" in message and "question, answer" in message
  assert all(name in message for name in FORMATS)
  assert len(message.splitlines()) <= 5
  with pytest.raises(ValueError, match=r"… \(is this a header\?\)") as error:
    recognise({"word " * 99: "", "b": ""}, "data.csv:2")
  assert len(str(error.value)) < 600


@pytest.mark.parametrize(
  "row, reason",
  [
    ({"messages": [Q, A | {"role": "bot"}]}, "unknown role 'bot' in turn 1"),
    ({"messages": [Q, A | {"role": "tool"}]}, "tools, which are not supported"),
    ({"messages": [Q, A | {"content": None}]}, "must be a string"),
    ({"messages": [Q, A | {"content": " \n"}]}, "empty completion"),
    ({"messages": [Q, A | {"content": "\ud800"}]}, "surrogate"),
    ({"messages": [Q, "4"]}, "turn 1 must have 'role' and 'content'"),
    ({"messages": []}, "non-empty list"),
    ({"messages": "2+2?"}, "non-empty list"),
    ({"messages": [Q]}, "last turn is 'user'"),
    ({"messages": [S]}, "last turn is 'system'"),
    ({"messages": [A]}, "'assistant' stands where 'user' is due"),
    ({"messages": [Q, Q, A]}, "'user' stands where 'assistant' is due"),
    ({"messages": [Q, S, A]}, "'system' stands where 'assistant' is due"),
    ({"conversations": [{"from": "bing", "value": "x"}]}, "legal: system, hum"),
    ({"conversations": [Q, A]}, "must have 'from' and 'value'"),
    ({"prompt": "a", "completion": ""}, "empty completion"),
    ({"prompt": "a", "completion": 3}, "non-empty list"),
    ({"instruction": "a", "output": 3}, "'output' must be a string"),
    ({"text": " "}, "empty text"),
    ({"text": ["a"]}, "must be a string"),
    ({"messages": '[{"role"'}, "do not fit a cell of text; write JSON Lines"),
    ({"text": "a", "weight": 0}, "'weight' must be a finite number above 0"),
    ({"text": "a", "weight": -1.5}, "this is float: -1.5"),
    (
      {"text": "a", "weight": "2"},
      "this is str: '2'\nit is what the row counts",
    ),
    ({"text": "a", "weight": True}, "this is bool: True"),
    ({"text": "a", "weight": float("nan")}, "this is float: nan"),
    ({"text": "a", "weight": float("inf")}, "this is float: inf"),
    ({"text": "a", "weight": 10**400}, "this is int: 1000"),
    ({"text": "a", "weight": 1e-60}, "this is float: 1e-60"),
    ({"text": "a", "weight": 1e60}, "this is float: 1e+60"),
    ({"text": "a", "weight": [1]}, "this is list: [1]"),
  ],
)
def test_wrong_rows_name_origin_and_rule(row, reason):
  with pytest.raises(ValueError) as error:
    example(row, "data.jsonl:7")
  assert str(error.value).startswith("data.jsonl:7: ")
  assert reason in str(error.value)
  assert len(str(error.value).splitlines()) <= 5


def test_a_given_format_is_held_to():
  row = TEMPLATE["alpaca"] | {"text": "all of it"}
  assert example(row, "f:1").messages == (Q, A)
  assert example(row, "f:1", "text").text == "all of it"
  with pytest.raises(ValueError, match="needs messages"):
    example(row, "f:1", "messages")
  with pytest.raises(ValueError, match="unknown row format 'alpacca'"):
    example(row, "f:1", "alpacca")


def test_examples_count_what_was_recognised():
  rows = [(TEMPLATE["alpaca"], "f:1"), ({"text": "x"}, "f:2")]
  rows += [(TEMPLATE["alpaca"], "f:3")]
  counts = {}
  made = list(examples(rows, counts=counts))
  assert [e.origin for e in made] == ["f:1", "f:2", "f:3"]
  assert counts == {"alpaca": 2, "text": 1}


def test_judged_answers_are_not_imitated():
  row = {"prompt": "Hi", "completion": "Go away.", "label": False}
  with pytest.raises(ValueError, match="f:1: label = False judges") as error:
    example(row, "f:1")
  assert error.value.kind == "judged answer"
  found = example(row | {"label": "rude"}, "f:1")  # of another meaning
  assert found.fields["label"] == "rude"


def test_a_prompt_alone_is_a_question_where_questions_are_asked():
  rows = [
    ({"prompt": "7 - 3?", "solution": "4"}, "a:1"),
    ({"prompt": [{"role": "user", "content": "And 1?"}]}, "a:2"),
    ({"prompt": "Hi", "completion": "Hello"}, "a:3"),
  ]
  one, two, three = examples(rows, questions=True)
  assert one.messages == ({"role": "user", "content": "7 - 3?"},)
  assert one.fields == {"solution": "4"} and two.origin == "a:2"
  assert [m["role"] for m in three.messages] == ["user", "assistant"]
  with pytest.raises(BadRow, match="cannot tell what this row is"):
    list(examples(rows[:1]))
  with pytest.raises(BadRow, match="stands where"):
    list(examples([({"prompt": [Q, A]}, "a:1")], questions=True))
