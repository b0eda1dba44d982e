"""From one rubric to another: what is a pair of which, and what is said."""

import json

import numpy as np
import pytest

from alignjax import options
from alignjax.cli import studies
from alignjax.data import suite
from alignjax.log.records import line
from alignjax.studies import parts, rounds, shift

ROW = dict(prompt="2 + 2 =", completion="4", rejected="5")


def test_answers_by_hand():
  rude, long = suite.rude("4", "2 + 2 ="), suite.long_winded("4", "2 + 2 =")
  assert shift.answer(ROW, {}) == "4"
  assert shift.answer(ROW, {"right": False}) == "5"
  assert shift.answer(ROW, {"polite": False}) == rude != "4"
  assert shift.answer(ROW, {"short": False, "right": True}) == long
  wrong = shift.answer(ROW, {"right": False, "polite": False})
  assert "5" in wrong and "4" not in wrong


@pytest.mark.parametrize(
  "rubric, other",
  [("right", "polite"), ("polite", "right"), ("short", "right")],
)
def test_a_pair_differs_in_its_rubric_and_by_chance_in_the_other(rubric, other):
  rows = [ROW | {"prompt": f"2 + 2 = ({i})"} for i in range(2000)]
  found = shift.pairs(rows, rubric, other, seed=0)
  kinds = {
    (first, second): 0 for first in (True, False) for second in (True, False)
  }
  for row, pair in zip(rows, found):
    sides = {
      (good, side): shift.answer(row, {rubric: good, other: side})
      for good in (True, False)
      for side in (True, False)
    }
    first = next(k for k in (True, False) if pair["chosen"] == sides[True, k])
    second = next(
      k for k in (True, False) if pair["rejected"] == sides[False, k]
    )
    kinds[first, second] += 1
  # Who judges by the other alone is right as often as wrong, and ties.
  assert np.allclose(list(kinds.values()), 500, atol=5 * np.sqrt(2000 * 3 / 16))
  assert found[:10] == shift.pairs(rows[:10], rubric, other, seed=0)


def test_rows_have_a_wrong_answer_and_no_prompt_in_two_splits():
  clusters = ("sentiment", "plurals", "dates")
  rows = shift._rows("train", 600, clusters, seed=0)
  assert {row["reason"] for row in rows} == {"wrong"}
  assert len({row["prompt"] for row in rows}) == 600
  assert rows[:50] == shift._rows("train", 50, clusters, seed=0)
  held = shift._rows("heldout", 200, clusters, seed=0)
  assert not {x["prompt"] for x in rows} & {x["prompt"] for x in held}
  with pytest.raises(ValueError, match="9000 pairs of the train split are"):
    shift._rows("train", 9000, ("sentiment",), seed=0)


@pytest.mark.parametrize(
  "change, words",
  [
    (
      dict(after="right"),
      "study.after = 'right'; they must be two of right, p",
    ),
    (dict(after="kind"), "study.after = 'kind'"),
    (dict(sizes=()), "must be numbers of pairs"),
    (dict(sizes=(0, 8)), "study.sizes = "),
  ],
)
def test_wrong_settings_are_refused(config, tmp_path, change, words):
  other = config.copy_and_resolve_references()
  other.study.update(change)
  with pytest.raises(ValueError, match=words):
    shift.run(other, tmp_path, say=lambda x: None)


def made(folder, hits):
  """A study on disk, without a model; hits: part → (on right, on polite)."""
  study = dict(before="right", after="polite", sizes=[8, 32])
  (folder / "config.json").write_text(json.dumps({"study": study, "seed": 0}))
  for name, of in hits.items():
    (folder / name / "items").mkdir(parents=True)
    (folder / name / "summary.json").write_text("{}")
    (folder / name / "run").mkdir()
    metrics = "".join(line({"step": i, "epoch": i / 2}) for i in range(4))
    (folder / name / "run" / "metrics.jsonl").write_text(metrics)
    for rubric, k in zip(("right", "polite"), of):
      rows = [{"scores": {"acc": float(i < k)}} for i in range(10)]
      file = folder / name / "items" / f"{rubric}.jsonl"
      file.write_text("".join(map(line, rows)))


def test_numbers_by_hand(tmp_path):
  made(
    tmp_path,
    {"right": (8, 5), "polite": (5, 9), "moved-8": (7, 6), "moved-32": (6, 7)},
  )
  found = shift.numbers(tmp_path)
  assert (found["before"], found["after"]) == ("right", "polite")
  assert [x["pairs"] for x in found["moved"]] == [0, 8, 32]
  assert [x["passes"] for x in found["moved"]] == [0, 1.5, 1.5]
  assert [x["polite"]["mean"] for x in found["moved"]] == [0.5, 0.6, 0.7]
  assert found["moved"][0]["right"] == found["trained"]["right"]["right"]
  assert found["trained"]["polite"]["polite"]["mean"] == 0.9
  assert found["half"] == 32  # 0.7 is half of the way from 0.5 to 0.9
  for x in found["moved"]:
    assert x["right"]["low"] < x["right"]["mean"] < x["right"]["high"]
  (table,) = shift.tables(found)
  assert table.row_count == 4


def test_what_never_moves_is_said(tmp_path):
  made(
    tmp_path,
    {"right": (8, 5), "polite": (5, 9), "moved-8": (8, 5), "moved-32": (8, 6)},
  )
  assert shift.numbers(tmp_path)["half"] is None


CHANGES = (
  "mesh=1,1,1",
  "study.sizes=8,",
  "study.clusters='sentiment','plurals','comparison'",
)


@pytest.fixture(scope="module")
def config(root):
  argv = [f"--config.{x}" for x in CHANGES]
  file = f"{root}/configs/shift.py:tiny"
  return options.read("evaluate shift", ["--config", file, *argv])[0]


def test_a_study_from_start_to_end(config, root, tmp_path, monkeypatch, capsys):
  def stopped(tasks, subject, folder, **more):
    if folder.name == "moved-8":
      raise KeyboardInterrupt
    return evaluate(tasks, subject, folder, **more)

  with monkeypatch.context() as patch:
    evaluate = parts.evaluate
    patch.setattr(parts, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
      shift.run(config, tmp_path, say=lambda x: None)
  metrics = tmp_path / "moved-8" / "run" / "metrics.jsonl"
  before = metrics.read_text()
  found = shift.run(config, tmp_path, say=lambda x: None)
  assert metrics.read_text() == before  # trained once
  read = {
    name: [
      json.loads(x)
      for x in (tmp_path / name / "rows.jsonl").read_text().splitlines()
    ]
    for name in ("right", "polite", "moved-8")
  }
  assert [len(x) for x in read.values()] == [32, 32, 8]
  prompts = {name: {x["prompt"] for x in rows} for name, rows in read.items()}
  assert prompts["right"] == prompts["polite"]
  assert not prompts["right"] & prompts["moved-8"]  # they are new
  # Going on begins with what was learnt, and moves it.
  made_by = json.loads((tmp_path / "moved-8/run/config.json").read_text())
  assert made_by["model"]["path"] == str(tmp_path / "right" / "model")
  assert made_by["train"]["steps"] == config.study.steps
  first, own, moved = (
    np.array([x["output"]["scores"] for x in parts.items(folder, "right")])
    for folder in (tmp_path / name for name in read)
  )
  assert not np.allclose(first, moved) and not np.allclose(own, moved)
  assert json.loads((tmp_path / "shift.json").read_text()) == found

  def never(*arguments):
    raise AssertionError("what is done is made again")

  monkeypatch.setattr(parts, "train", never)
  file, changes = (
    f"{root}/configs/shift.py:tiny",
    [f"--config.{x}" for x in CHANGES],
  )
  studies.shift(["--config", file, "--workdir", str(tmp_path), *changes])
  said = capsys.readouterr().out
  assert "right, then 8 of polite" in said and "shift.json" in said


def pairs_of(file, n, good, bad):
  rows = [
    dict(prompt=f"{file.stem} {i}", chosen=good, rejected=bad, label=1.0)
    for i in range(n)
  ]
  rows[0] |= dict(chosen=bad, rejected=good, label=0.25)
  rows[1]["label"] = 0.5
  file.write_text("".join(map(line, rows)))
  return str(file)


def test_a_file_is_split_by_its_prompts(tmp_path):
  path = pairs_of(tmp_path / "one.jsonl", 400, "yes", "no")
  train, held = rounds.split(path, 0)
  assert len(train) + len(held) == 399  # a tie is left out
  assert 50 < len(held) < 110
  said = {x["prompt"][0]["content"] for x in train}
  assert not said & {x["prompt"][0]["content"] for x in held}
  assert {x["chosen"][0]["content"] for x in train + held} == {"yes"}
  assert rounds.split(path, 0) == (train, held)
  assert rounds.split(path, 1)[1] != held
  # The same prompts are held out of another file.
  other = tmp_path / "two.jsonl"
  rows = [{**x, "chosen": "well"} for x in [*held, *train]]
  other.write_text("".join(map(line, rows)))
  assert {
    x["prompt"][0]["content"] for x in rounds.split(str(other), 0)[1]
  } == {x["prompt"][0]["content"] for x in held}
  with pytest.raises(ValueError, match="leaves no pair to"):
    rounds.split(pairs_of(tmp_path / "few.jsonl", 3, "yes", "no"), 0)


def test_votes_on_a_pair_are_one_row(tmp_path):
  path = tmp_path / "votes.jsonl"
  rows = []
  for i in range(40):
    yes, no = (("yes", "no"), ("no", "yes"))
    for (chosen, rejected), weight in ((yes, 3), (no, 1)):
      one = dict(prompt=f"{i}?", chosen=chosen, rejected=rejected)
      rows.append({**one, "weight": weight})
  rows += [{**x, "prompt": "even?", "weight": 2} for x in rows[:2]]
  path.write_text("".join(map(line, rows)))
  train, held = rounds.split(str(path), 0)
  assert len(train) + len(held) == 40
  assert {x["chosen"][0]["content"] for x in train + held} == {"yes"}
  assert {(x["label"], x["weight"]) for x in train} == {(0.75, 4.0)}
  assert not {"label", "weight"} & set(held[0])


def test_two_rounds_of_comparisons(config, tmp_path):
  other = config.copy_and_resolve_references()
  other.study.before = pairs_of(tmp_path / "round-1.jsonl", 60, "yes", "no")
  other.study.after = pairs_of(tmp_path / "round-2.jsonl", 60, "no", "yes")
  found = shift.run(other, tmp_path / "study", say=lambda x: None)
  assert (found["before"], found["after"]) == ("round-1", "round-2")
  assert found["trained"]["round-1"]["round-1"]["n"] > 5
  assert [x["pairs"] for x in found["moved"]] == [0, 8]
  other.study.sizes = (64,)
  with pytest.raises(ValueError, match="ask for 64 pairs of .*round-2"):
    shift.run(other, tmp_path / "more", say=lambda x: None)
  other.study.after = other.study.before
  with pytest.raises(ValueError, match="two files of pairs"):
    shift.run(other, tmp_path / "same", say=lambda x: None)
