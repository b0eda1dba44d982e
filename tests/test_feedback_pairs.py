"""Rows of a file as pairs to compare."""

import pytest
from feedback_studies import (
  read,
  rows,
)

from alignjax.data.bad import BadRow
from alignjax.feedback.pairs import pairs


def test_rows_are_read_as_pairs():
  turns = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
  ]
  one, two = read(
    [
      {"prompt": turns, "a": "Bye.", "b": "So soon?", "gold": "b", "topic": 1},
      {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
    ]
  )
  assert [m["role"] for m in one.prompt] == ["user", "assistant", "user"]
  assert one.gold == "b" and one.fields == {"topic": 1}
  assert two.a[0]["content"] == "4" and two.gold is None
  assert two.models == ("", "")


@pytest.mark.parametrize(
  "change, said",
  [
    ({"b": "Yes 0. "}, "a and b are the same"),
    ({"a": ""}, "empty completion"),
    ({"gold": "left"}, "legal: a, b, tie"),
    ({"models": "one"}, "models must be"),
    ({"prompt": [{"role": "assistant", "content": "x"}]}, "must be 'user'"),
    ({"id": "p1"}, "id 'p1' stands in pairs.jsonl:1"),
    (
      {"prompt": "Question 1?", "a": "No, not 1.", "b": "Yes 1."},
      "the same prompt and answers stand in pairs.jsonl:1",
    ),
  ],
)
def test_a_bad_row_is_named(change, said):
  first, second = rows(2)[::-1]
  with pytest.raises(BadRow) as e:
    read([first, {**second, **change}])
  assert said in str(e.value)
  assert str(e.value).startswith("pairs.jsonl:2: ")
  assert len(str(e.value).splitlines()) <= 5


def test_a_row_without_answers_is_told_what_is_legal():
  with pytest.raises(BadRow, match="needs a, b"):
    read([{"prompt": "Why?"}])
  with pytest.raises(BadRow, match="nothing to compare"):
    made = {"prompt": "Why?", "completion": "So.", "label": True, "scores": 1}
    read([made])
  left = []
  found = list(pairs([({"prompt": 1}, "f:1")], left.append))
  assert not found and left[0].origin == "f:1"
