import json

import numpy as np
import pytest

from alignjax.data.bad import BadRow, BadRows
from alignjax.data.compared import PAIRS
from alignjax.data.preferences import (
  Judged,
  judged,
  key,
  paired,
  preferences,
  read_row,
  recognise,
)


def user(text):
  return {"role": "user", "content": text}


def assistant(text):
  return {"role": "assistant", "content": text}


def human(text):
  return {"from": "human", "value": text}


def gpt(text):
  return {"from": "gpt", "value": text}


S = {"role": "system", "content": "Be brief."}
Q, A, B = user("2+2?"), assistant("4"), assistant("5")
TALK = "\n\nHuman: 2+2?\n\nAssistant: "
PLAIN = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
SAME = {
  "texts": ("pair", PLAIN),
  "turns": ("pair", {"prompt": [Q], "chosen": [A], "rejected": [B]}),
  "one turn": ("pair", {"prompt": [Q], "chosen": A, "rejected": "5"}),
  "prompt again": (
    "pair",
    {"prompt": "2+2?", "chosen": [Q, A], "rejected": [Q, B]},
  ),
  "transcripts with a prompt": (
    "pair",
    {"prompt": TALK.rstrip(), "chosen": f"{TALK}4", "rejected": "5"},
  ),
  "whole turns": ("implicit prompt", {"chosen": [Q, A], "rejected": [Q, B]}),
  "transcripts": (
    "implicit prompt",
    {"chosen": f"{TALK}4", "rejected": f"{TALK} 5\n"},
  ),
  "sharegpt": (
    "sharegpt pair",
    {"conversations": [human("2+2?")], "chosen": gpt("4"), "rejected": "5"},
  ),
  "sharegpt lists": (
    "sharegpt pair",
    {
      "conversations": [human("2+2?")],
      "chosen": [gpt("4")],
      "rejected": [gpt("5")],
    },
  ),
  "alpaca": (
    "alpaca pair",
    {"instruction": "2+2?", "input": "", "chosen": "4", "rejected": "5"},
  ),
}


@pytest.mark.parametrize("case", SAME)
def test_every_format_gives_the_same_pair(case):
  name, row = SAME[case]
  assert recognise(row, "f:1") == name
  (made,) = read_row(row | {"source": "sums"}, "f:1")
  assert made.prompt == (Q,)
  assert made.sides == ((A,), (B,))
  assert made[2:] == (1.0, 0.0, 1.0, "f:1", {"source": "sums"})
  assert read_row(row, "f:1", name)[0].sides == made.sides


def test_prompts_of_many_turns():
  row = {"prompt": [S, Q, B, user("Sure?")], "chosen": "4", "rejected": "5"}
  assert read_row(row, "f:1")[0].prompt == (S, Q, B, user("Sure?"))
  for row in (SAME["sharegpt"][1], SAME["alpaca"][1]):
    assert read_row(row | {"system": "Be brief."}, "f:1")[0].prompt == (S, Q)
  row = SAME["alpaca"][1] | {"input": "In words."}
  assert read_row(row, "f:1")[0].prompt == (user("2+2?\n\nIn words."),)
  row = {"prompt": [Q], "chosen": [A, user("ok"), B], "rejected": [B]}
  assert read_row(row, "f:1")[0].sides == ((A, user("ok"), B), (B,))


@pytest.mark.parametrize(
  "chosen, rejected, prompt",
  [
    ([Q, A], [Q, B], 1),
    ([S, Q, A, Q, A], [S, Q, A, Q, B], 4),
    ([Q, A, Q, A], [Q, A, Q, B], 3),
    ([Q, A, Q, A], [Q, B, Q, A], 1),
    # They part where a user speaks: back to the answer before.
    ([Q, A, user("a"), A], [Q, A, user("b"), A], 1),
    # One is the other's beginning.
    ([Q, A], [Q, A, Q, B], 1),
  ],
)
def test_an_implicit_prompt_is_the_longest_before_an_answer(
  chosen, rejected, prompt
):
  (made,) = read_row({"chosen": chosen, "rejected": rejected}, "f:1")
  assert made.prompt == tuple(chosen[:prompt])
  assert made.sides == (tuple(chosen[prompt:]), tuple(rejected[prompt:]))


def test_transcripts_keep_paragraphs_and_speakers_inside_a_line():
  said = "One.\n\nTwo: Human: no\n\n\nHumans: yes"
  row = {"chosen": TALK + said, "rejected": f"{TALK}5"}
  assert read_row(row, "f:1")[0].sides[0] == (assistant(said),)
  more = "\n\nHuman: Why?\n\nAssistant: "
  row = {"chosen": f"{TALK}4{more}a", "rejected": f"{TALK}4{more}b"}
  assert read_row(row, "f:1")[0].prompt == (Q, A, user("Why?"))


@pytest.mark.parametrize("label", [0, 0.3, 1, np.float32(0.5)])
def test_label_margin_and_weight(label):
  row = PLAIN | {"label": label, "margin": -2, "weight": 3}
  (made,) = read_row(row, "f:1")
  assert made[2:5] == (pytest.approx(float(label)), -2.0, 3.0)
  assert all(type(x) is float for x in made[2:5])
  none = dict.fromkeys(("label", "margin", "weight"))
  assert read_row(PLAIN | none, "f:1")[0][2:5] == (1.0, 0.0, 1.0)
  assert made.fields == {}


def levels(**row):
  made = read_row({"prompt": "q", "completions": list("abcd")} | row, "f:1")
  assert {m.origin.split("#")[0] for m in made} == {"f:1"}
  return [m.origin.split("#")[1] for m in made]


def test_ranked_lists_by_hand():
  ranks = [2, 0, 1, 2]  # b, then c, then a and d
  (first, *_) = read_row(
    {"prompt": "q", "responses": list("abcd"), "ranks": ranks, "x": 1}, "f:1"
  )
  assert first.sides == ((assistant("b"),), (assistant("c"),))
  assert first[2:] == (1.0, 0.0, 1.0, "f:1#1>2", {"x": 1})
  every = ["1>2", "1>0", "1>3", "2>0", "2>3"]
  assert levels(ranks=ranks) == every
  assert levels(scores=[-2.0, 0, -1, -2]) == every
  row = {"prompt": "q", "completions": list("abcd"), "ranks": ranks}
  for pairs, want in (
    ("all", every),
    ("adjacent", ["1>2", "2>0", "2>3"]),
    ("best-worst", ["1>0", "1>3"]),
  ):
    made = read_row(row, "f:1", pairs=pairs)
    assert [m.origin.removeprefix("f:1#") for m in made] == want
  with pytest.raises(ValueError, match="pairs = 'some'; legal: all, adj"):
    read_row(row, "f:1", pairs="some")


def test_every_pair_of_a_ranked_list_is_of_two_levels():
  rng = np.random.default_rng(0)
  for _ in range(20):
    ranks = rng.integers(0, 4, 6).tolist()
    if len(set(ranks)) < 2:
      continue
    row = {"prompt": "q", "completions": list("abcdef"), "ranks": ranks}
    found = {}
    for pairs in PAIRS:
      made = read_row(row, "", pairs=pairs)
      found[pairs] = {tuple(map(int, m.origin[1:].split(">"))) for m in made}
      assert all(ranks[i] < ranks[j] for i, j in found[pairs])
      assert len(found[pairs]) == len(made)
    count = sum(ranks[i] < ranks[j] for i in range(6) for j in range(6))
    assert len(found["all"]) == count
    assert found["adjacent"] | found["best-worst"] <= found["all"]


@pytest.mark.parametrize("label", [True, False, 0, 1, 1.0])
def test_judged_answers(label):
  rows = [
    {"prompt": "2+2?", "completion": "4"},
    {"prompt": [Q], "completion": [A]},
    {"messages": [Q, A]},
  ]
  for row in rows:
    (made,) = read_row(row | {"label": label, "weight": 2, "x": 1}, "f:1")
    assert made == Judged((Q,), (A,), bool(label), 2.0, "f:1", {"x": 1})
    assert type(made.label) is bool


def of(*rows, **more):
  return preferences(((r, f"f:{i}") for i, r in enumerate(rows)), **more)


def test_a_row_and_an_id_stand_once():
  swapped = PLAIN | {"chosen": "5", "rejected": "4"}
  unsure = PLAIN | {"label": 0.5}
  bad, counts = BadRows("quarantine", 1.0), {}
  rows = [PLAIN, swapped, unsure, SAME["sharegpt"][1], PLAIN | {"id": 7}]
  rows += [{"prompt": "x", "completion": "y", "label": True, "id": 7}]
  rows += [{"prompt": "x", "completion": "y", "label": False, "id": 7}]
  made = list(of(*rows, counts=counts, on_bad=bad))
  # Once said, in whatever format; a contradiction is none.
  assert [m.origin for m in made] == ["f:0", "f:1", "f:2"]
  assert bad.counts == {"duplicate": 2, "duplicate id": 2}
  assert counts == {"pair": 3}
  assert bad.kept[0].reason.startswith(
    "the same prompt, completions and label stand in f:0 already"
  )
  assert json.loads(bad.kept[0].raw) == SAME["sharegpt"][1]
  with pytest.raises(BadRow, match="f:1: the same prompt"):
    list(of(PLAIN, PLAIN))


JUDGED = {"prompt": "x", "completion": "y", "label": True}


def test_pairs_alone():
  made = list(paired(of(PLAIN, JUDGED), bad := BadRows("quarantine", 1.0)))
  assert [m.origin for m in made] == ["f:0"]
  assert bad.kinds() == "1 judged answer"
  assert "(kto)" in bad.kept[0].reason


def test_pairs_as_judged_answers():
  rows = [PLAIN | {"label": 0, "weight": 2, "x": 1}, JUDGED]
  first, second, third = judged(of(*rows), split=True)
  assert first == Judged((Q,), (A,), False, 2.0, "f:0#first", {"x": 1})
  assert second == Judged((Q,), (B,), True, 2.0, "f:0#second", {"x": 1})
  assert third.origin == "f:1" and third.label is True
  with pytest.raises(BadRow, match="f:0: a pair is no judged answer"):
    list(judged(of(PLAIN), split=False))
  soft = of(PLAIN | {"label": 0.7})
  with pytest.raises(BadRow, match="0.7: neither side is wanted for sure"):
    list(judged(soft, split=True))


def test_keys_tell_turns_apart():
  lists = [
    ([Q, A],),
    ([Q], [A]),
    ([Q], [A], []),
    ([user("2+2?4")],),
    ([A], [Q]),
    ([assistant("2+2?")], [A]),
  ]
  assert len({key(*parts) for parts in lists}) == len(lists)
  assert key([Q], [A]) == key((dict(Q),), (dict(A),))
