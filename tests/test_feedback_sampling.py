"""Pairs from answers of models."""

import json

import pytest

from alignjax.data import sources
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.feedback import sampling
from alignjax.feedback.pairs import pairs
from alignjax.generate import Completion, make_generator
from alignjax.models.lm import LM
from alignjax.models.presets import preset

SMALL = preset("tiny").replace(
  width=16, depth=1, hidden=24, windows=(), heads=2, kv_heads=1, head_size=8
)
ABOUT = {"seed": 3, "temperature": 1.0}


def ask(n):
  return [({"role": "user", "content": f"Question {i}?"},) for i in range(n)]


def model(name, each=1, calls=None):
  """Answers with its name, the prompt's number and the sample's."""

  def answers(part, first):
    if calls is not None:
      calls.append((name, first, len(part)))
    return [
      [
        Completion(f"{name} {first + k} {j}", [1, 2], [0.0, 0.0], True)
        for j in range(each)
      ]
      for k in range(len(part))
    ]

  return answers


def run(out, asked, answers, **changes):
  given = dict(batch=2, seed=3, about=ABOUT, say=lambda line: None) | changes
  return sampling.sample(asked, answers, out, **given)


def test_two_models_answer_one_each(tmp_path):
  out = tmp_path / "p.jsonl"
  got = run(out, ask(40), {"one": model("one"), "two": model("two")})
  assert got == (40, 0, {})
  found = list(pairs(sources.read(str(out))))
  assert len(found) == 40
  for i, pair in enumerate(found):
    assert {*pair.models} == {"one", "two"}
    assert pair.a[0]["content"] == f"{pair.models[0]} {i} 0"
    assert pair.b[0]["content"] == f"{pair.models[1]} {i} 0"
    made = pair.fields["made"]
    assert made["seed"] == 3 and made["stopped"] == {"a": True, "b": True}
  # Which one is a goes by a hash.
  assert 10 < sum(p.models[0] == "one" for p in found) < 30
  again = tmp_path / "q.jsonl"
  run(again, ask(40), {"one": model("one"), "two": model("two")}, batch=7)
  assert again.read_text() == out.read_text()


def test_one_model_answers_twice(tmp_path):
  out = tmp_path / "p.jsonl"
  got = run(out, ask(3), {"one": model("one", each=4)})
  assert got.written == 6
  found = list(pairs(sources.read(str(out))))
  said = [{p.a[0]["content"], p.b[0]["content"]} for p in found]
  assert said[:2] == [{"one 0 0", "one 0 1"}, {"one 0 2", "one 0 3"}]
  assert all(p.models == ("one", "one") for p in found)


def test_what_cannot_be_compared_is_counted(tmp_path):
  def other(part, first):
    texts = ["one 0 0 ", "", " \n", "two", "a\0b"]
    return [
      [Completion(texts[first + k], [1], [0.0], False)]
      for k in range(len(part))
    ]

  out = tmp_path / "p.jsonl"
  got = run(out, ask(5), {"one": model("one"), "two": other})
  left = {"identical sides": 1, "empty completion": 2, "NUL": 1}
  assert got == (1, 0, left)
  assert json.loads(out.read_text())["made"]["stopped"] in (
    {"a": True, "b": False},
    {"a": False, "b": True},
  )


def test_a_run_that_was_cut_goes_on(tmp_path):
  calls, out = [], tmp_path / "p.jsonl"
  answers = {"one": model("one", 1, calls), "two": model("two")}

  def stop(line):
    if line.startswith("6 of"):
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run(out, ask(11), answers, say=stop)
  whole = out.read_text()
  assert whole.count("\n") == 6
  out.write_text(whole[:-20])  # the last line is cut short
  calls.clear()
  assert run(out, ask(11), answers) == (6, 5, {})
  assert calls[0] == ("one", 4, 2)  # the last batch again, none before
  other = tmp_path / "q.jsonl"
  run(other, ask(11), answers)
  assert out.read_text() == other.read_text()
  assert run(out, ask(11), answers) == (0, 11, {})
  for changed, said in (
    (dict(about=ABOUT | {"temperature": 0.5}), "made with temperature = 1.0"),
    (dict(asked=ask(12)), "made with prompts = "),
  ):
    given = dict(asked=ask(11)) | changed
    asked = given.pop("asked")
    with pytest.raises(ValueError, match=said):
      run(out, asked, answers, **given)
  out.write_text('{"prompt": "x"}\n')
  with pytest.raises(ValueError, match="p.jsonl:1 was not made by"):
    run(out, ask(11), answers)


def test_parts_of_a_list_draw_apart(draw):
  """A model of ours: the parts give what the whole does, and are not alike."""
  lm, tokenizer = LM(SMALL.replace(vocab=264)), byte_tokenizer()
  params = draw(lm, 1)
  generate = make_generator(
    lm,
    tokenizer,
    load_template(None, tokenizer),
    max_tokens=6,
    temperature=1.0,
    samples=2,
    seed=5,
    rows=8,
  )
  same = [ask(1)[0]] * 4
  whole = generate(params, same)
  parts = generate(params, same[:2])
  parts += generate(params, same[2:], range(2, len(same)))
  assert [c.tokens for s in whole for c in s] == [
    c.tokens for s in parts for c in s
  ]
  assert parts[0][0].tokens != parts[2][0].tokens
