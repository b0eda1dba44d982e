import json
import subprocess
import sys

import pytest

from alignjax import cli
from alignjax.data.audit import Overlap, audit, record
from alignjax.statistics.intervals import Share
from alignjax.statistics.logistic import Term


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


def test_the_command_tells_and_writes_numbers(tmp_path, capsys):
  path = write(tmp_path / "a.jsonl", *ROWS)
  numbers = tmp_path / "a.json"
  assert cli.main(["data", "audit", path, "--json", str(numbers)]) == 0
  shown = " ".join(capsys.readouterr().out.split())
  for line in (
    "rows 12",
    "bad, duplicate 1",
    "bad, identical sides 1",
    "contradictions 2",
    "prompts 3",
    "that stand more than once 2",
    f"the first bad row: {path}:6: the same prompt",
    "pairs 5 first is preferred 100.0% of 4 [51.0, 100.0] soft labels 1",
    "words 2.8 1.5 75.0% of 4 [30.1, 95.4]",
    "bold 0.0% 0.0% none",
    "judged answers 2 wanted 50.0% of 2 [9.5, 90.5]",
    "no fit: too few rows, or one label alone",
    "2 prompts stand more than once.",
  ):
    assert line in shown, line
  assert json.loads(numbers.read_text()) == json.loads(
    json.dumps(record(audit(path)))
  )


def test_the_command_shows_fits_and_overlaps(tmp_path, capsys):
  rows = [pair(str(i), "a " * (i % 7 + 1), "b b b ") for i in range(60)]
  rows += [
    {"prompt": str(i), "completion": "a" * i, "label": i % 2}
    for i in range(1, 60)
  ]
  path = write(tmp_path / "a.jsonl", *rows)
  other = write(tmp_path / "b.jsonl", *rows[:3], pair("z", "x", "y"))
  assert cli.main(["data", "audit", path, "--against", other]) == 0
  shown = " ".join(capsys.readouterr().out.split())
  for line in (
    f"prompts that stand in {other} too: 5.0% of 60 [1.7, 13.7]; "
    "of those there: 75.0% of 4 [30.1, 95.4]",
    "log-odds that the first is preferred error 95 % first ",
    "words, by 2.2 +",  # √((9 · 6 + 8 · 29) / 60)
    "log-odds that it is wanted error 95 % constant ",
    "told right by fits to other rows ",
    "by length alone ",
    "with a ridge of 0.1: a column tells",  # all answers have one word
  ):
    assert line in shown, line


@pytest.mark.parametrize(
  "argv, reason",
  [
    (["none.jsonl"], "no such file or folder: none.jsonl"),
    (["a.jsonl", "--split", "train[x]"], "is not a name with a slice"),
    (["a.jsonl", "--reader", "nowhere.read"], "cannot be imported"),
    (["a.jsonl", "--against", "b.jsonl"], "no such file or folder: b.jsonl"),
  ],
)
def test_errors_of_the_command(tmp_path, monkeypatch, capsys, argv, reason):
  monkeypatch.chdir(tmp_path)
  write(tmp_path / "a.jsonl", ROWS[0])
  assert cli.main(["data", "audit", *argv]) == 1
  told = capsys.readouterr().err
  assert reason in told and len(told.splitlines()) <= 5


def test_the_command_needs_no_jax(tmp_path):
  path = write(tmp_path / "a.jsonl", *ROWS)
  code = "import sys; from alignjax import cli; "
  code += f"assert cli.main(['data', 'audit', {path!r}]) == 0; "
  code += "assert 'jax' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True, stdout=-3)
