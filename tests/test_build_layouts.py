import dataclasses
import json

import numpy as np
import pytest

from alignjax import build
from alignjax.build.layouts import Kind, kind
from alignjax.build.rows import laid_out
from alignjax.build.tables import tables
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.presets import preset


@pytest.fixture
def lines(tmp_path):
  def write(*rows):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)

  return write


def config_of(tiny, path="suite", **more):
  config = tiny(
    data__train__path=path,
    data__train__limit=0,
    data__eval__path="",
    mesh=(1, 1, 1),
  )
  with config.unlocked():
    config.data.update(more)
  return config


def read(config):
  place = build.placement(config)
  return build.data(config, byte_tokenizer(), preset("tiny"), place)


def message(f, *arguments):
  with pytest.raises(ValueError) as error:
    f(*arguments)
  text = str(error.value)
  assert 1 <= len(text.splitlines()) <= 5
  return text


def test_what_a_row_may_be(tiny):
  assert kind(config_of(tiny)) == Kind("examples", "apart", "all")
  more = dict(rows="pairs", layout="shared", ranked="adjacent")
  assert kind(config_of(tiny, **more)) == Kind(*more.values())


@pytest.mark.parametrize(
  "more, said",
  [
    (dict(rows="pair"), "data.rows = 'pair' is unknown; one of examples"),
    (dict(layout="prefix"), "data.layout = 'prefix' is unknown; one of apart"),
    (dict(layout="shared"), "data.rows to one of pairs, judged, judged+kl, or"),
    (dict(ranked="adjacent"), "data.ranked = 'adjacent' is for answers that"),
    (dict(rows="pairs", train_on="last"), "one of assistant, completion, all."),
    (dict(rows="judged", train_on="all"), "data.train_on = 'all'; with data."),
    (dict(rows="pairs", too_long="split"), "data.too_long = 'split' cuts"),
  ],
)  # fmt: skip
def test_choices_that_mean_nothing_are_refused(tiny, lines, more, said):
  path = lines({"prompt": "a", "chosen": "b", "rejected": "c"})
  assert said in message(read, config_of(tiny, path, **more))


def test_rows_of_another_kind_are_refused(tiny, lines):
  good = {"prompt": "1?", "chosen": "yes", "rejected": "no"}
  judged = {"prompt": "1?", "completion": "yes", "label": True}
  text = message(read, config_of(tiny, lines(judged), rows="pairs"))
  assert "rows.jsonl:1: one answer and its label are no pair" in text
  text = message(read, config_of(tiny, lines(good)))
  assert "rows.jsonl:1" in text
  text = message(read, config_of(tiny, lines({"text": "a"}), rows="pairs"))
  assert "rows.jsonl:1" in text and "chosen" in text


def test_a_side_the_model_cannot_take_is_refused(tiny, lines):
  path = lines({"prompt": "1?", "chosen": "x" * 600, "rejected": "no"})
  config = config_of(tiny, path, rows="pairs", max_length=1000)
  text = message(read, config)
  assert "the model takes 512" in text
  # Both sides together may be longer than it: neither is.
  path = lines({"prompt": "1?", "chosen": "x" * 400, "rejected": "y" * 400})
  for layout in ("apart", "shared"):
    config = config_of(tiny, path, rows="pairs", max_length=512, layout=layout)
    batch = read(config).train[0]
    assert batch.tokens.shape[1] > 800 and batch.positions.max() < 512


def test_a_prompt_that_depends_on_its_answer_is_not_shared(tiny, lines):
  path = lines({"prompt": "1?", "chosen": "yes", "rejected": "no"})
  model = preset("tiny")
  model = model.replace(rope=dataclasses.replace(model.rope, kind="dynamic"))
  for layout in ("apart", "shared"):
    config = config_of(tiny, path, rows="pairs", layout=layout)
    found = tables(config, byte_tokenizer())
    if layout == "apart":
      laid_out(found, config, model)
    else:
      assert "Set data.layout=apart" in message(laid_out, found, config, model)


JUDGED = [
  {"prompt": f"{i}?", "completion": "y" * (i + 1), "label": i % 2 == 0}
  for i in range(5)
]


@pytest.mark.parametrize("layout", ["apart", "shared"])
def test_judged_answers(tiny, lines, layout):
  path = lines(*JUDGED)
  plain = read(config_of(tiny, path, rows="judged", layout=layout))
  assert plain.train.shape.completions == 1
  batch = plain.train[0]
  for b, (_, i) in enumerate(plain.train.indices(0)):
    assert batch.fields["label"][b].tolist() == [1 - i % 2]
  with_kl = read(config_of(tiny, path, rows="judged+kl", layout=layout))
  batch = with_kl.train[0]
  np.testing.assert_array_equal(batch.fields["kl"], [[0, 1]] * 8)
  texts = [byte_tokenizer().decode(t[c == 2].tolist()) for t, c in zip(
    batch.targets, batch.completions)]  # fmt: skip
  other = {}
  for b, (_, i) in enumerate(with_kl.train.indices(0)):
    assert batch.fields["label"][b].tolist() == [1 - i % 2, 0]
    other[i] = texts[b]
    assert texts[b] != "y" * (i + 1) + "<|im_end|>"
  assert len(set(other.values())) == len(other) == 5  # each once


def test_a_pair_is_two_judged_answers(tiny, lines):
  path = lines({"prompt": "1?", "chosen": "yes", "rejected": "no"})
  rows = read(config_of(tiny, path, rows="judged")).train.parts[""]
  assert [row.fields["label"].tolist() for row in rows] == [[1], [0]]
  assert [rows.origin(i).rsplit("#")[1] for i in (0, 1)] == ["first", "second"]


def test_ranked_lists_and_prompts_to_sample(tiny, lines):
  row = {"prompt": "1?", "completions": ["a", "b", "c"], "ranks": [0, 1, 2]}
  path = lines(row)
  for ranked, n in (("all", 3), ("adjacent", 2), ("best-worst", 1)):
    config = config_of(tiny, path, rows="pairs", ranked=ranked)
    found = read(config)
    assert len(found.train.parts[""]) == n
  with config.unlocked():
    config.data.eval.path = path
  (prompt,) = build.prompts(config, byte_tokenizer(), found.template)
  assert prompt.reference == "a" and prompt.messages[-1]["content"] == "1?"
