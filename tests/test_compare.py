import json

import numpy as np
import pytest

from alignjax.cli import main
from alignjax.evals.compare import compare


def folder(path, **tasks):
  """A folder as evaluate leaves it: task → (scores, its key)."""
  (path / "items").mkdir(parents=True)
  told = {}
  for name, (scores, key) in tasks.items():
    lines = [
      {"id": str(k), "group": f"g{k % 2}", "scores": {"acc": float(x)}}
      for k, x in enumerate(scores)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "items" / f"{name}.jsonl").write_text(text)
    (path / "items" / f"{name}.json").write_text(json.dumps({"task": key}))
    told[name] = {"main": {"acc": "up"}}
  (path / "summary.json").write_text(json.dumps({"tasks": told}))
  return path


@pytest.fixture
def three(tmp_path):
  draw = np.random.default_rng(0)
  one = draw.random(400) < 0.4
  better = one | (draw.random(400) < 0.3)
  same = np.where(draw.random(400) < 0.05, ~one, one)
  return {
    name: folder(tmp_path / name, known=(x, "k"), other=(one[::-1], "o"))
    for name, x in (("base", one), ("good", better), ("alike", same))
  }


def test_differences_by_hand_and_what_is_marked(three):
  found = compare(three, seed=0, trained=("known",))
  known, other = found["rows"]
  base, good = known["values"]["base"], known["values"]["good"]
  change = known["differences"]["good"]
  assert change["mean"] == pytest.approx(good["mean"] - base["mean"])
  assert change["verdict"] == "better" and change["low"] > 0
  assert known["differences"]["alike"]["verdict"] == ""
  assert known["trained"] and not other["trained"]
  assert other["differences"]["good"]["mean"] == 0
  assert other["differences"]["good"]["p"] == 1
  # Of four differences the least p is multiplied by four.
  assert change["adjusted"] == pytest.approx(4 * change["p"])


def test_what_is_worse_is_told_by_the_way_that_is_better(three):
  file = three["base"] / "summary.json"
  file.write_text(file.read_text().replace('"up"', '"down"'))
  found = compare(three, seed=0)
  assert found["rows"][0]["differences"]["good"]["verdict"] == "worse"


def test_groups_have_rows_of_their_own(three):
  rows = compare(three, seed=0, groups=True)["rows"]
  assert [(r["task"], r["group"]) for r in rows] == [
    (task, group) for task in ("known", "other") for group in ("", "g0", "g1")
  ]
  assert [r["values"]["base"]["n"] for r in rows] == [400, 200, 200] * 2


def test_the_order_of_lines_changes_nothing(three):
  before = compare(three, seed=0)
  file = three["good"] / "items" / "known.jsonl"
  file.write_text("".join(sorted(file.read_text().splitlines(True))[::-1]))
  assert compare(three, seed=0) == before


def test_what_cannot_be_compared_is_named(three, tmp_path, capfd):
  with pytest.raises(ValueError, match="two models or more"):
    compare({"base": three["base"]}, seed=0)
  more = folder(tmp_path / "more", known=([1, 0], "other key"), other=([1], ""))
  with pytest.raises(ValueError, match="other items of known"):
    compare({"base": three["base"], "more": more}, seed=0)
  less = folder(tmp_path / "less", known=([1] * 400, "k"))
  with pytest.raises(ValueError, match="less was not asked other"):
    compare({"base": three["base"], "less": less}, seed=0)
  with pytest.raises(ValueError, match="--trained nothing is no task"):
    compare(three, seed=0, trained=("nothing",))
  assert main(["compare", "a=x", "b=y"]) == 1
  assert "no x/summary.json" in capfd.readouterr().err


def test_the_command_prints_and_writes(three, tmp_path, capsys):
  out = tmp_path / "c.json"
  names = [f"{three['base']}", f"tuned={three['good'] / 'summary.json'}"]
  assert main(["compare", *names, "--trained", "known", "--out", str(out)]) == 0
  shown = capsys.readouterr().out
  assert "known (trained)" in shown and "tuned − base" in shown
  assert shown.count("] *") == 1
  assert json.loads(out.read_text())["models"] == ["base", "tuned"]
