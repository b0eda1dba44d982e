import numpy as np
import pytest

from alignjax.data.bad import BadRow
from alignjax.data.layouts import Apart
from alignjax.data.loader import Shape, collate, shape_of
from alignjax.data.pairs import encode
from alignjax.data.preferences import read_row
from alignjax.data.rows import Rows
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
TEMPLATE = load_template(None, TOKENIZER)
END = TOKENIZER.eos_token_id


def item(chosen="yes", rejected="no", prompt="1?", **more):
  row = {"prompt": prompt, "chosen": chosen, "rejected": rejected} | more
  return read_row(row, "a:1")[0]


def encoded(some, max_length=200, too_long="drop", template=TEMPLATE):
  return encode(some, TOKENIZER, template, max_length, too_long)


def text(row, document, trained=False):
  own = row.documents == document
  if trained:
    own &= row.completions > 0
  return TOKENIZER.decode(row.tokens[own].tolist())


def test_a_pair_by_hand():
  (row,), long = encoded(item(label=0.75, margin=2.0, weight=3.0))
  assert not long
  prompt = "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n"
  assert [text(row, d) for d in (1, 2, 3)] == [
    prompt,
    "yes<|im_end|>\n",
    "no<|im_end|>\n",
  ]
  assert text(row, 1, True) == ""
  assert text(row, 2, True) == "yes<|im_end|>"
  assert text(row, 3, True) == "no<|im_end|>"
  assert row.completions[row.documents == 2].tolist() == [1] * 4 + [0]
  assert row.completions[row.documents == 3].tolist() == [2] * 3 + [0]
  np.testing.assert_array_equal(row.parents, row.documents > 1)
  assert {k: v.tolist() for k, v in row.fields.items()} == {
    "label": [0.75, 0.25],
    "margin": [2, 0],
  }
  assert row.fields["label"].dtype == np.float32
  assert set(row.weights) == {3.0}


def test_several_turns_of_a_side_are_trained_and_the_user_is_not():
  turns = ["yes", "sure?", "sure!"]
  roles = ["assistant", "user", "assistant"]
  side = [{"role": r, "content": t} for r, t in zip(roles, turns)]
  (row,), _ = encoded(item(chosen=side))
  assert text(row, 2, True) == "yes<|im_end|>sure!<|im_end|>"
  assert "sure?" in text(row, 2)


def test_a_judged_answer():
  row = {"prompt": "1?", "completion": "yes", "label": False}
  (row,), _ = encoded(read_row(row, "a:1")[0])
  assert text(row, 2) == "yes<|im_end|>\n" and row.documents.max() == 2
  assert row.fields["label"].tolist() == [0] and row.weights is None


def test_a_table_gives_back_what_it_was_given():
  plain = item()._replace(origin="a:2")
  rows = [encoded(i)[0][0] for i in (item(weight=2, label=0.5), plain)]
  table = Rows.of(rows)
  for a, b in zip(rows, table):
    for name in ("tokens", "completions", "documents", "parents"):
      np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.fields.keys() == b.fields.keys()
    for name, values in a.fields.items():
      np.testing.assert_array_equal(values, b.fields[name])
  assert table[0].weights[0] == 2 and table[1].weights is None
  prompt = int((rows[0].documents == 1).sum())
  assert table.prompts.tolist() == [prompt] * 2
  assert table.completions.tolist() == [2, 2]
  assert table.reach.tolist() == [prompt + 5] * 2
  assert table.lengths.tolist() == [prompt + 9] * 2
  wrong = rows[0]._replace(parents=np.zeros_like(rows[0].parents))
  with pytest.raises(ValueError, match="documents must be a prompt"):
    Rows.of([wrong])


def test_both_layouts_by_hand():
  (row,), _ = encoded(item("yes", "n"))
  rows = Rows.of([row])
  n = int(rows.prompts[0])
  shared, apart = shape_of([rows], 1), shape_of([Apart(rows)], 1)
  fields = (("label", "completions"), ("margin", "completions"))
  assert shared == Shape(n + 8, 6, 2, True, fields)
  assert apart == Shape(2 * n + 8, 6, 2, False, fields)
  batch = collate(rows, *shared)
  # Both sides begin behind the prompt, and are predicted from its last token.
  assert batch.positions[0, n:].tolist() == [n, n + 1, n + 2, n + 3, n + 4] + [
    n,
    n + 1,
    n + 2,
  ]
  last = n - 1
  assert batch.where[0].tolist() == [last, n, n + 1, n + 2, last, n + 5]
  assert batch.completions[0].tolist() == [1, 1, 1, 1, 2, 2]
  assert batch.ends[0].tolist() == [n + 3, n + 6]
  other = collate(Apart(rows), *apart)
  assert other.parents is None
  first = np.arange(n - 1, n + 3).tolist()
  second = [2 * n + 4, 2 * n + 5]
  assert other.where[0].tolist() == first + second
  assert other.ends[0].tolist() == [n + 3, 2 * n + 6]
  for name in ("targets", "completions", "weights"):
    np.testing.assert_array_equal(getattr(batch, name), getattr(other, name))
  for name in ("label", "margin"):
    np.testing.assert_array_equal(batch.fields[name], other.fields[name])
  ends = np.take_along_axis(batch.tokens, batch.ends, 1)
  np.testing.assert_array_equal(ends, [[END, END]])
  np.testing.assert_array_equal(
    np.take_along_axis(other.tokens, other.ends, 1), ends
  )


def test_pairs_that_are_too_long():
  some = item("yes" * 20, "no")
  size = len(encoded(some, too_long="error")[0][0].tokens)
  prompt = size - 62 - 4
  assert encoded(some, prompt + 20) == ([], True)
  with pytest.raises(ValueError, match=r"a:1: \d+ tokens, the limit is"):
    encoded(some, prompt + 20, "error")
  (row,), long = encoded(some, prompt + 20, "truncate")
  assert long
  cut = row.tokens[row.documents == 2]
  assert len(cut) == 20 and cut[-1] == END
  assert text(row, 2, True) == ("yes" * 20)[:19] + "<|im_end|>"
  assert text(row, 3, True) == "no<|im_end|>"
  with pytest.raises(BadRow, match="nothing to train on is left of chosen"):
    encoded(some, prompt, "truncate")
  with pytest.raises(ValueError, match="completions of one prompt"):
    encoded(some, prompt, "split")


def test_sides_that_truncation_makes_equal_are_a_bad_row():
  some = item("y" * 20 + "a", "y" * 20 + "b")
  prompt = len(encoded(some)[0][0].tokens) - 2 * 23
  assert len(encoded(some, prompt + 23, "truncate")[0]) == 1
  with pytest.raises(BadRow) as error:
    encoded(some, prompt + 10, "truncate")
  assert error.value.kind == "identical sides"


def test_an_empty_side_is_named():
  pair = item()
  empty = ({"role": "assistant", "content": " "},)
  with pytest.raises(BadRow, match="rejected: empty completion") as error:
    encoded(pair._replace(sides=(pair.sides[0], empty)))
  assert error.value.kind == "empty completion"
  assert '"prompt": [{' in error.value.raw


def test_a_prompt_that_is_written_otherwise_once_answered_is_named(tmp_path):
  file = tmp_path / "odd.jinja"
  file.write_text(
    "{% for m in messages %}{{ m.role + ':' + m.content + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant>' }}{% endif %}"
  )
  template = load_template(str(file), TOKENIZER)
  with pytest.raises(BadRow) as error:
    encoded(item(), template=template)
  assert error.value.kind == "prompt not kept"
  assert "chosen: the chat template" in str(error.value)
  assert "from token 17 of 18 on" in str(error.value)


def test_the_halves_of_a_row_by_hand():
  (row,), _ = encoded(item("yes", "n"))
  rows = Apart(Rows.of([row]))
  n = int(Rows.of([row]).prompts[0])
  shape = shape_of([rows], 1, parts=2)
  half = n + 5
  assert shape.length == 2 * half and shape.parts == 2
  batch, other = collate(rows, *shape), collate(rows, *shape_of([rows], 1))
  places = [*range(half), *range(half, half + n + 3)]
  for name in ("tokens", "documents", "positions"):
    found = getattr(batch, name)[0]
    assert found[places].tolist() == getattr(other, name)[0].tolist()
    assert not np.delete(found, places).any()
  second = [half + n - 1, half + n]
  assert batch.where[0].tolist() == [*range(n - 1, n + 3), *second]
  assert batch.ends[0].tolist() == [n + 3, half + n + 1]
  for name in ("targets", "completions", "weights"):
    np.testing.assert_array_equal(getattr(batch, name), getattr(other, name))
