import json

import pytest

from alignjax.data.audit import Overlap, audit, record
from alignjax.data.logistic import Share, Term


def pair(prompt, chosen, rejected, **more):
  row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
  return row | more


def write(file, *rows):
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


ROWS = (
  pair("a", "yes it is", "no"),
  pair("a", "no", "yes it is"),  # the opposite of the first
  pair("a", "yes it is", "no", label=0.5),  # says nothing
  pair("A ", "- one\n- two", "none"),
  pair("b", "yes it is", "no"),
  pair("b", "yes it is", "no"),  # said already
  pair("c", "same", "same "),
  pair("d", "x", ""),
  pair("e", "y", "z", label=2),
  {"prompt": "f", "completion": "g", "label": True},
  {"prompt": "f", "completion": "g", "label": False},  # the opposite
  {"text": "h"},
)


def test_counts_by_hand(tmp_path):
  path = write(tmp_path / "a.jsonl", *ROWS)
  found = audit(path)
  assert found.rows == 12
  assert found.bad == {
    "duplicate": 1,
    "identical sides": 1,
    "empty completion": 1,
    "label outside [0, 1]": 1,
    "missing field": 1,
  }
  assert found.first_bad.startswith(f"{path}:6: the same prompt, completions")
  assert found.formats == {"pair": 5, "judged": 2}
  # a, b, f; a and f stand more than once.
  assert (found.prompts, found.repeated) == (3, 2)
  assert found.contradictions == 2
  assert found.pairs.first == Share(4, 4) and found.pairs.soft == 1
  assert found.judged.first == Share(1, 2)
  of = {f.name: f.apart for f in found.pairs.features}
  assert of["words"] == Share(3, 4) and of["list"] == Share(1, 1)
  assert found.overlaps == {}


def test_broken_lines_are_counted_too(tmp_path):
  file = tmp_path / "a.jsonl"
  write(file, ROWS[0])
  with file.open("a") as f:
    f.write("{oops}\n")
  found = audit(str(file))
  assert (found.rows, found.bad) == (2, {"broken JSON": 1})
  assert audit(write(file)).rows == 0


def test_a_contradiction_is_seen_whichever_side_stands_first(tmp_path):
  first = pair("a", "x", "y")
  for other, count in (
    (pair("a", "y", "x"), 1),
    (pair("a", "x", "y", label=0.2), 1),
    (pair("a", "y", "x", label=0.2), 0),
    (pair("a", "x", "y", label=0.8), 0),
    (pair("b", "y", "x"), 0),
  ):
    path = write(tmp_path / "a.jsonl", first, other)
    assert audit(path).contradictions == count, other


def test_prompts_in_two_splits(tmp_path):
  here = [pair(p, "x", "y") for p in "abcde"]
  there = [pair(p, "v", "w") for p in ("A", " e\n", "f", "f")]
  write(tmp_path / "train.jsonl", *here)
  write(tmp_path / "test.jsonl", *there, {"oops": 1})
  both = Overlap(Share(2, 5), Share(2, 3))
  assert audit(str(tmp_path)).overlaps == {"test": both}
  turned = Overlap(Share(2, 3), Share(2, 5))
  assert audit(str(tmp_path), split="test").overlaps == {"train": turned}
  path, other = str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl")
  assert audit(path).overlaps == {}
  assert audit(path, against=other).overlaps == {other: both}
  with pytest.raises(FileNotFoundError, match="none.jsonl"):
    audit(path, against=str(tmp_path / "none.jsonl"))


def test_ranked_lists_of_a_reader(tmp_path):
  def answer(name, rank):
    return message(name, rank=rank, role="assistant")

  def message(name, *replies, role="prompter", **more):
    found = {"message_id": name, "text": name, "role": role, "lang": "en"}
    return found | {"replies": list(replies)} | more

  tree = message("p", answer("a a", 1), answer("b b b", 0), answer("c", 2))
  path = write(tmp_path / "a.jsonl", {"prompt": tree})
  reader = "alignjax.data.oasst.pairs"
  for pairs, n in (("all", 3), ("adjacent", 2), ("best-worst", 1)):
    found = audit(path, reader=reader, pairs=pairs)
    assert (found.formats, found.pairs.n) == ({"ranked": 1}, n)
    assert found.pairs.features[0].apart == Share(n, n)


def test_json_has_every_number_and_its_interval(tmp_path):
  rows = [pair(str(i), "a " * (i % 7), "b b b ") for i in range(2, 60)]
  found = audit(write(tmp_path / "a.jsonl", *rows))
  told = json.loads(json.dumps(record(found)))
  assert told.keys() == found._asdict().keys()
  assert told["judged"] is None
  words = told["pairs"]["features"][0]
  assert words["name"] == "words"
  share = found.pairs.features[0].apart
  assert words["apart"] == {
    "hits": share.hits,
    "n": share.n,
    "share": share.hits / share.n,
    "interval": list(share.interval()),
  }
  assert [t["name"] for t in told["pairs"]["model"]["terms"]] == [
    "first",
    "words",
  ]
  assert record(Term("x", 1.0, 0.5))["interval"] == pytest.approx(
    [0.02, 1.98], abs=1e-3
  )
  assert record(Share(0, 0))["share"] is None
