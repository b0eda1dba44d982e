import pytest

from alignjax.build.parts import given, parts
from configs.common import mixture, source

ONE, TWO = source("a.jsonl", "train"), source("b.jsonl", "train")
HEAVY = source("a.jsonl", "train", weight=2.0)


def test_a_source_is_one_part_without_a_name():
  assert parts(ONE, "data.train", False) == {"": ONE}
  found = parts(mixture(one=ONE, two=TWO), "data.train", False)
  assert list(found) == ["one", "two"] and found["two"] == TWO
  assert given(ONE) and given(mixture(one=ONE)) and not given(source("", ""))


def with_path():
  found = mixture(one=ONE)
  found.path = "c.jsonl"
  return found


@pytest.mark.parametrize(
  "spec, held, words",
  [
    (HEAVY, False, "data.x: weight = 2.0 and cap = 0 are for parts of a mix"),
    (source("a", "train", cap=5), False, "weight = 0.0 and cap = 5 are for"),
    (with_path(), False, "data.x has parts, so path of its own would have no"),
    (mixture(one=HEAVY, two=TWO), False, "one have a weight, two none"),
    (
      mixture(one=ONE, two=source("b", "train", weight=-1.0)),
      False,
      "data.x.parts.two: weight = -1.0, cap = 0; neither may be negative",
    ),
    (mixture(one=source("b", "train", cap=-3)), False, "cap = -3; neither may"),
    (mixture(one=HEAVY), True, "held-out rows are all taken, once"),
    (mixture(one=source("a", "train", cap=3)), True, "held-out rows are all"),
    (
      mixture(one=HEAVY, two=source("b", "train", weight=1.0, cap=3)),
      False,
      "two have a cap, which has no effect beside weights",
    ),
    (mixture(one=mixture(two=TWO)), False, "data.x.parts.one has parts of its"),
  ],
)
def test_options_without_effect_are_refused(spec, held, words):
  with pytest.raises(ValueError) as error:
    parts(spec, "data.x", held)
  assert words in str(error.value)
  assert len(str(error.value).splitlines()) <= 5
