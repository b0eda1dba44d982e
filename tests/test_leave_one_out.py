"""Leave one out: who is related, what is trained and asked, what is said."""

import json
import math

import numpy as np
import pytest
from ml_collections import ConfigDict

from alignjax import options
from alignjax.cli import studies
from alignjax.data import suite
from alignjax.log.records import line
from alignjax.statistics.intervals import wilson
from alignjax.studies import leave_one_out, parts
from alignjax.studies.families import FAMILIES, family, members

STUDY = ConfigDict(
  dict(
    families=("time", "words", "sentiment", "safety"),
    tested=("sentiment", "time"),
    sizes=(1, 4, 99),
  )
)


def test_every_cluster_has_one_family():
  named = [x for own in FAMILIES.values() for x in own]
  assert sorted(named) == sorted(suite.clusters())
  assert family("dates") == "time"
  assert members(["safety", "time"]) == (
    "calendar",
    "dates",
    "refusal",
    "safety",
  )
  with pytest.raises(ValueError, match="'none' has no family; one of arith"):
    family("none")
  with pytest.raises(ValueError, match="'none' is unknown; one of numbers"):
    members(["none"])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_related_to_what_is_asked_is_trained_on(seed):
  planned = leave_one_out.plan(STUDY, seed)
  base, seen, *rest = planned
  assert base.trained == () and base.asked == seen.asked == seen.trained
  assert len(seen.trained) == 9
  for part in rest:
    trained, asked = (
      {family(x) for x in y} for y in (part.trained, part.asked)
    )
    assert trained and asked and not trained & asked
  left = [part for part in rest if part.name.startswith("without-")]
  assert [part.name for part in left] == [
    f"without-{name}" for name in STUDY.families
  ]
  for part in left:  # no more is left out than has to be
    assert sorted(part.trained + part.asked) == sorted(seen.trained)


def test_the_curve_is_nested_and_asks_the_same():
  def curve(seed):
    planned = leave_one_out.plan(STUDY, seed)
    return [x for x in planned if x.name.startswith("clusters-")]

  one, four, every = curve(0)
  assert [len(x.trained) for x in (one, four, every)] == [1, 4, 6]
  assert every.trained[:4] == four.trained and four.trained[:1] == one.trained
  assert one.asked == every.asked == ("calendar", "dates", "sentiment")
  assert len({curve(seed)[1].trained for seed in range(8)}) > 4


@pytest.mark.parametrize(
  "change",
  [
    dict(tested=("numbers",)),
    dict(tested=()),
    dict(tested=STUDY.families),
    dict(families=("time",), tested=("time",)),
  ],
)
def test_a_study_without_something_to_train_on_is_refused(change):
  with pytest.raises(ValueError, match="what is tested must be of the famil"):
    leave_one_out.plan(ConfigDict(STUDY.to_dict() | change), 0)


def made(folder, scores):
  """A study of two families on disk, without a model.

  scores: (part, cluster) → template → scores.
  """
  study = dict(families=["sentiment", "time"], tested=["sentiment"], sizes=[1])
  (folder / "config.json").write_text(json.dumps({"study": study, "seed": 0}))
  for part in leave_one_out.plan(ConfigDict(study), 0):
    own = folder / part.name
    (own / "items").mkdir(parents=True)
    (own / "summary.json").write_text("{}")
    rows = [
      {"group": name, "template": t, "scores": {"score": x}}
      for name in part.asked
      for t, values in scores(part.name, name).items()
      for x in values
    ]
    (own / "items" / "suite.jsonl").write_text("".join(map(line, rows)))


def test_numbers_by_hand(tmp_path):
  def scores(part, name):
    if part == "base":
      return {0: [0.0, 0.0], 1: [0.0, 0.0]}
    if part == "seen":
      return {0: [1.0, 1.0], 1: [1.0, 0.0]}
    if part == "clusters-1":
      return {0: [1.0, 1.0, 0.0, 0.0]}
    return {0: [1.0, 0.0], 1: [0.0, 0.0]}

  made(tmp_path, scores)
  found = leave_one_out.numbers(tmp_path)
  assert list(found["clusters"]) == ["calendar", "dates", "sentiment"]
  own = found["clusters"]["sentiment"]
  assert own["family"] == "sentiment"
  low, high = wilson(0.25, 4)
  assert own["heldout"]["n"] == 4 and own["heldout"]["mean"] == 0.25
  assert own["heldout"]["low"] == pytest.approx(low)
  assert own["heldout"]["high"] == pytest.approx(high)
  assert [own[k]["mean"] for k in ("base", "seen")] == [0.0, 0.75]
  # Means of templates 1 and 0.5: deviation 0.5/√2.
  assert own["seen"]["templates"] == pytest.approx(0.5 / math.sqrt(2))
  assert own["base"]["templates"] == 0
  assert found["mean"]["heldout"]["mean"] == pytest.approx(0.25)
  assert found["mean"]["seen"]["n"] == 12
  base = found["mean"]["base"]  # nothing is right: a width all the same
  assert base["high"] == pytest.approx(wilson(0.0, 4)[1] / math.sqrt(3))
  assert [x["trained"] for x in found["curve"]] == [0, 1, 2]
  assert [x["mean"]["mean"] for x in found["curve"]] == [0.0, 0.5, 0.25]
  assert set(found["curve"][2]["clusters"]) == {"calendar", "dates"}
  first, second = leave_one_out.tables(found)
  assert (first.row_count, second.row_count) == (4, 3)
  (tmp_path / "seen" / "summary.json").unlink()
  with pytest.raises(FileNotFoundError, match="seen has no summary.json"):
    leave_one_out.numbers(tmp_path)


def test_one_template_has_no_spread(tmp_path):
  made(tmp_path, lambda part, name: {0: [0.0, 1.0]})
  found = leave_one_out.numbers(tmp_path)
  assert found["clusters"]["dates"]["seen"]["templates"] is None
  leave_one_out.tables(found)


def test_what_is_no_study_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match="is not a study"):
    leave_one_out.numbers(tmp_path)
  with pytest.raises(ValueError, match="leave-one-out needs --workdir"):
    studies.leave_one_out(["--config", "configs/leave_one_out.py"])


def test_rows_are_as_many_of_each_cluster():
  rows = leave_one_out._rows(("dates", "plurals"), 300, seed=1)
  assert len(rows) == 300 + suite.size("train", "plurals")
  assert set(rows[0]) == {"prompt", "completion"}
  held = {x["prompt"] for x in suite.rows("heldout", clusters=("dates",))}
  assert not held & {x["prompt"] for x in rows}


@pytest.fixture(scope="module")
def config(root):
  c = options.load_config(f"{root}/configs/leave_one_out.py:tiny")
  c.mesh = (1, 1, 1)
  return c


@pytest.fixture(scope="module")
def study(config, tmp_path_factory):
  folder = tmp_path_factory.mktemp("study")
  said = []
  return folder, leave_one_out.run(config, folder, say=said.append), said


def test_a_study_from_start_to_end(config, study):
  folder, found, said = study
  names = [x.name for x in leave_one_out.plan(config.study, config.seed)]
  assert len(names) == 7 and said[0] == "1/7 base: 0 clusters"
  for name in names:
    assert (folder / name / "summary.json").exists()
    assert (folder / name / "model").exists() == (name != "base")
    assert not (folder / name / "run" / "checkpoints").exists()
  about = [
    json.loads((folder / x / "summary.json").read_text())["model"]["sha256"]
    for x in names
  ]
  assert len(set(about)) == 7  # each has its own weights
  left = (folder / "without-time" / "rows.jsonl").read_text()
  asked = parts.items(folder / "without-time", "suite")
  assert {x["group"] for x in asked} == {"calendar", "dates"}
  known = {json.loads(x)["prompt"] for x in left.splitlines()}
  own = suite.rows("train", n=900, clusters=("calendar", "dates"))
  assert not known & {x["prompt"] for x in own}
  written = json.loads((folder / "leave_one_out.json").read_text())
  assert found == written == leave_one_out.numbers(folder)
  assert np.isfinite(found["mean"]["heldout"]["mean"])


def test_what_is_done_is_not_made_again(config, study, monkeypatch):
  folder, found, _ = study
  (folder / "clusters-1" / "summary.json").unlink()
  trained = []
  train = parts.train

  def noted(run, workdir):
    trained.append(workdir.parent.name)
    return train(run, workdir)

  monkeypatch.setattr(parts, "train", noted)
  assert leave_one_out.run(config, folder, say=lambda x: None) == found
  assert trained == ["clusters-1"]


def test_another_config_is_refused(config, study):
  other = config.copy_and_resolve_references()
  other.study.rows = 17
  with pytest.raises(ValueError, match="study with study.rows = 16, now 17"):
    leave_one_out.run(other, study[0], say=lambda x: None)
