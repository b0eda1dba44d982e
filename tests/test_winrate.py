"""`alignjax winrate`: items in, verdicts and numbers out, by every judge."""

import json
import math

import numpy as np
import pytest
from stand_in_server import MODEL, Reply, longer, serving

from alignjax import pretrained
from alignjax.cli.winrate import winrate
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.evals.items import Item, line_of
from alignjax.evals.winrate import chances, numbers
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.scoring import completions, run
from alignjax.statistics.wins import bradley_terry

SMALL = preset("tiny").replace(
  width=16, depth=1, hidden=24, windows=(), heads=2, kv_heads=1, head_size=8
)
QUESTION = ({"role": "user", "content": "Add 1 and 1."},)
RULE = "def score(prompts, completions, rows):\n  return "


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
  monkeypatch.setattr("alignjax.statistics.intervals.DRAWS", 200)


@pytest.fixture
def write(tmp_path, monkeypatch):
  """(name, id → text, …) → NAME=WORKDIR, as `alignjax evaluate` leaves it."""
  monkeypatch.chdir(tmp_path)

  def make(name, texts, task="suite", **changes):
    (tmp_path / name / "items").mkdir(parents=True, exist_ok=True)
    rows = []
    for i, text in texts.items():
      item = Item(i, QUESTION, gold=["2"], fields={"metric": "numeric"})
      output = {"text": text, "tokens": len(text) + 1, "stopped": True}
      row = line_of(item._replace(**changes))
      rows.append(row | {"output": output, "scores": {"score": 0.0}})
    file = tmp_path / name / "items" / f"{task}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"{name}={tmp_path / name}"

  return make


@pytest.fixture
def judged(tmp_path):
  """Runs the command: (numbers, lines), after checking one by the other."""

  def go(*models, judge="rule", options=()):
    out = tmp_path / "out.json"
    argv = [*models, "--task", "suite", "--judge", judge, "--out", str(out)]
    winrate([*argv, *options])
    told = json.loads(out.read_text())
    lines = [json.loads(x) for x in open(out.with_suffix(".jsonl"))]
    again = numbers(lines, seed=told["seed"])
    assert again.items() <= told.items()
    return told, lines

  return go


def line(i, ab, ba, a="x", b="y", lengths=(4, 2)):
  n = list(lengths)
  found = {"id": i, "a": a, "b": b, "ab": ab, "ba": ba}
  return found | {"characters": n, "words": n, "tokens": n}


# Numbers, from lines.


def test_a_pair_by_hand():
  found = numbers(
    [
      line("1", "first", "second"),  # x twice
      line("2", "first", "first", lengths=(6, 2)),  # whichever is first
      line("3", "tie", "first"),  # a tie, then y
      line("4", "none", "second", lengths=(1, 8)),  # no verdict
    ],
    seed=0,
  )
  (pair,) = found["pairs"]
  assert found["prompts"] == 4 and pair["n"] == 3
  counts = [pair[k] for k in ("wins", "ties", "losses")]
  assert counts == [1.5, 0.5, 1.0] and sum(counts) == pair["n"]
  assert pair["none"] == {"prompts": 1, "verdicts": 1}
  rate = pair["win_rate"]
  assert rate["mean"] == pytest.approx((1 + 0.5 + 0.25) / 3)
  assert rate["n"] == 3 and 0 <= rate["low"] < rate["mean"] < rate["high"] <= 1
  assert pair["order_changes"]["mean"] == pytest.approx(2 / 3)
  # Of six verdicts: x, x; first, first; tie, first.
  assert pair["first_wins"]["mean"] == pytest.approx((1 + 2 + 1.5) / 6)
  means = {k: x["characters"]["mean"] for k, x in found["models"].items()}
  assert means == pytest.approx(
    {"x": (4 + 6 + 4 + 1) / 4, "y": (2 + 2 + 2 + 8) / 4}
  )
  assert found["models"]["y"]["tokens"]["n"] == 4
  assert "strengths" not in found and "no_strengths" not in found


def test_models_may_change_places():
  rng = np.random.default_rng(0)
  said = rng.choice(["first", "second", "tie", "none"], (60, 2))
  lengths = rng.integers(1, 99, (60, 2)).tolist()
  one = [
    line(f"{i}", *v, lengths=n) for i, (v, n) in enumerate(zip(said, lengths))
  ]
  other = [
    x | {"ab": x["ba"], "ba": x["ab"], "characters": x["characters"][::-1]}
    for x in one
  ]
  (a,), (b,) = (numbers(x, seed=0)["pairs"] for x in (one, other))
  assert a["wins"] == b["losses"] and a["none"] == b["none"]
  for key in ("win_rate", "length_controlled"):
    assert a[key]["mean"] == pytest.approx(1 - b[key]["mean"])
    assert a[key]["low"] == pytest.approx(1 - b[key]["high"])
  assert a["first_wins"] == b["first_wins"]


def test_items_of_one_cluster_are_drawn_together():
  lines = [
    line(f"{i}", *["first", "second"][:: 1 - 2 * (i % 2)]) for i in range(8)
  ]
  alone = numbers(lines, seed=0)["pairs"][0]["win_rate"]
  one = numbers([x | {"cluster": "c"} for x in lines], seed=0)
  rate = one["pairs"][0]["win_rate"]
  assert rate["mean"] == alone["mean"] == 0.5 and rate["n"] == 8
  # Nothing is known of other clusters.
  assert (rate["low"], rate["high"]) == (0, 1) and alone["low"] > 0.1
  assert one["models"]["x"]["words"]["low"] is None


def test_nothing_was_answered():
  told = numbers([line("1", "none", "none"), line("2", "tie", "none")], seed=0)
  (pair,) = told["pairs"]
  assert pair["n"] == 0 and pair["none"] == {"prompts": 2, "verdicts": 3}
  assert "win_rate" not in pair and told["models"]["x"]["words"]["n"] == 2


def three(rng, n, strengths):
  """Lines of three models by Bradley and Terry, either order judged anew."""
  lines = []
  for a, b in ((0, 1), (0, 2), (1, 2)):
    p = 1 / (1 + math.exp(strengths[b] - strengths[a]))
    for i, (x, y) in enumerate(rng.random((n, 2)) < p):
      said = "first" if x else "second", "second" if y else "first"
      lines.append(line(f"{i}", *said, a="xyz"[a], b="xyz"[b]))
  return lines


def test_strengths_and_the_chance_to_beat_the_first():
  truth = np.array([-0.5, 0.0, 0.5])
  found = numbers(three(np.random.default_rng(3), 300, truth), seed=0)
  assert [(p["a"], p["b"]) for p in found["pairs"]] == [
    *map(tuple, ("xy", "xz", "yz"))
  ]
  of = found["strengths"]
  assert list(of) == ["x", "y", "z"] and of["x"]["beats_first"] is None
  s = {k: x["strength"]["mean"] for k, x in of.items()}
  assert sum(s.values()) == pytest.approx(0, abs=1e-9)
  for k, true in zip("xyz", truth):
    assert of[k]["strength"]["low"] < true < of[k]["strength"]["high"]
  for k in "yz":
    p = of[k]["beats_first"]
    assert p["mean"] == pytest.approx(1 / (1 + math.exp(s["x"] - s[k])))
    assert p["low"] < p["mean"] < p["high"] and p["n"] == 900


def test_chances_by_hand():
  # 1 beats 0 in 3 of 4, and nothing else is told of them.
  a, b = np.array([1, 1, 1, 1]), np.array([0, 0, 0, 0])
  first, second = chances(a, b, np.array([1, 1, 1, 0.0]), [*"pqrs"], seed=0)
  assert first.mean == 0.5 and second.mean == pytest.approx(0.75)
  # One draw in three has no strengths: anything might be so.
  assert (second.low, second.high) == (0.0, 1.0)
  table = np.array([[0, 4, 1], [2, 0, 3.0], [5, 2, 0]])
  a, b = np.indices((3, 3)).reshape(2, 9).repeat(table.astype(int).ravel(), 1)
  found = chances(a, b, np.ones(17), [*range(17)], seed=0)
  s = bradley_terry(table)
  expected = 1 / (1 + np.exp(s[0] - s))
  assert [x.mean for x in found] == pytest.approx(expected)


@pytest.mark.parametrize(
  "said, words",
  [
    ("first", "models [1, 2] never won against models [0]"),
    ("none", "no verdict on x, y, z"),
  ],
)
def test_no_strengths(said, words):
  other = {"first": "second", "none": "none"}[said]
  lines = [
    line(f"{i}", *v, a=a, b=b)
    for i in range(4)
    for a, b, v in (
      ("x", "y", (said, other)),
      ("x", "z", (said, other)),
      ("y", "z", ("tie", "tie") if said == "first" else (said, other)),
    )
  ]
  found = numbers(lines, seed=0)
  assert words in found["no_strengths"] and "strengths" not in found
  assert said == "none" or "0 is x, 1 is y, 2 is z" in found["no_strengths"]


# Judges, from the command.


def test_by_the_rule_of_the_tasks(write, judged, capsys):
  x = write("x", {"a": "It is 2.", "b": "3", "c": "2", "only": "2"})
  y = write("y[b]", {"c": "2", "b": "2", "a": "4"})
  told, lines = judged(x, y)
  assert [(v["id"], v["ab"], v["ba"]) for v in lines] == [
    ("a", "first", "second"),
    ("b", "second", "first"),
    ("c", "tie", "tie"),
  ]
  (pair,) = told["pairs"]
  assert [pair[k] for k in ("wins", "ties", "losses")] == [1, 1, 1]
  assert pair["order_changes"]["mean"] == 0
  assert told["answers"]["x"]["left_out"] == 1
  assert told["answers"]["y[b]"]["left_out"] == 0
  assert told["judge"]["name"] == "alignjax.rewards.suite"
  assert lines[0]["characters"] == [8, 1] and lines[0]["words"] == [3, 1]
  assert lines[0]["tokens"] == [9, 2]
  out, err = capsys.readouterr()
  assert "3 items of suite" in err and "x: 1 left out" in err
  assert "x  y[b]  1 wins, 1 ties, 1 losses" in out and "0.500 [" in out


def test_a_taste_for_length_is_all_there_is(write, judged, tmp_path):
  """What likes the longer answer, and nothing else, finds nothing else."""
  (tmp_path / "taste_for_length.py").write_text(
    RULE + "[len(text) for text in completions]\n"
  )
  rng = np.random.default_rng(0)
  sizes = rng.integers(20, 120, 200)
  ahead = rng.integers(1, 60, 200) * rng.choice([1, -1], 200, p=[0.8, 0.2])
  wordy = {f"{i}": "w" * n for i, n in enumerate(np.maximum(1, sizes + ahead))}
  brief = {f"{i}": "b" * n for i, n in enumerate(sizes)}
  told, _ = judged(
    write("wordy", wordy), write("brief", brief), judge="taste_for_length.score"
  )
  (pair,) = told["pairs"]
  assert pair["win_rate"]["low"] > 0.7
  assert pair["length_controlled"]["mean"] == pytest.approx(0.5, abs=0.1)
  assert pair["length_controlled"]["n"] == 200
  assert len(told["judge"]["sha256"]) == 16


def test_a_function_sees_conversations_and_rows(write, judged, tmp_path):
  (tmp_path / "sees_rows.py").write_text(
    RULE + "[len(p[-1]['content']) * (t in r['answers']) * ('output' not in r)"
    " for p, t, r in zip(prompts, completions, rows)]\n"
  )
  x, y = write("x", {"a": "2"}), write("y", {"a": "3"})
  _, (verdict,) = judged(x, y, judge="sees_rows.score")
  assert (verdict["ab"], verdict["ba"]) == ("first", "second")
  x = write("x", {"a": "2"}, prompt="as plain text")
  y = write("y", {"a": "3"}, prompt="as plain text")
  _, (verdict,) = judged(y, x, judge="sees_rows.score")
  assert (verdict["ab"], verdict["ba"]) == ("second", "first")


@pytest.fixture(scope="module")
def rewards(tmp_path_factory, draw):
  """Reward models of one and two heads, and a language model."""
  folder = tmp_path_factory.mktemp("rewards")
  for name, heads in (("none", 0), ("one", 1), ("two", 2)):
    lm = LM(SMALL.replace(scores=heads))
    pretrained.export(folder / name, lm, draw(lm, 1), byte_tokenizer())
  return folder


def test_by_a_reward_model(write, judged, rewards, tmp_path, capsys):
  long = "z" * SMALL.max_length
  texts = {
    "x": {"a": "It is 2.", "b": "3", "c": "Same", "d": "", "e": "2"},
    "y": {"a": "4", "b": "Two", "c": "Same", "d": "2", "e": long},
    "z": {"a": "11", "b": "no", "c": "yes", "d": "2", "e": "2"},
  }
  models = [write(*x) for x in texts.items()]
  told, lines = judged(*models, judge=str(rewards / "one"))
  # As `alignjax score` has it of the same conversations in a file.
  rows = [
    (n, i, t) for n, own in texts.items() for i, t in own.items() if i < "d"
  ]
  file = tmp_path / "rows.jsonl"
  file.write_text(
    "".join(
      json.dumps({"prompt": QUESTION[0]["content"], "completion": t}) + "\n"
      for *_, t in rows
    )
  )
  scored = run.score(
    [str(rewards / "one")],
    completions.Source(str(file), "train", 0, None, "all", None),
    run.Options(None, None, None, "float32", 256, 0, "error"),
  )
  known = {x[:2]: float(s.scores[0]) for x, s in zip(rows, scored.rows)}
  for v in lines:
    if v["id"] < "d":
      a, b = known[v["a"], v["id"]], known[v["b"], v["id"]]
      said = "first" if a > b else "second" if b > a else "tie"
      back = {"first": "second", "second": "first", "tie": "tie"}[said]
      assert (v["ab"], v["ba"]) == (said, back)
  assert {v["ab"] for v in lines} == {"first", "second", "tie", "none"}
  none = {(v["id"], v["a"], v["b"]) for v in lines if v["ab"] == "none"}
  assert none == {
    ("d", "x", "y"),
    ("d", "x", "z"),
    ("e", "x", "y"),
    ("e", "y", "z"),
  }
  assert told["pairs"][0]["none"] == {"prompts": 2, "verdicts": 4}
  assert told["judge"]["template"] and len(told["judge"]["sha256"]) == 16
  assert "2 of 12 answers have no score" in capsys.readouterr().err


def test_by_an_endpoint(write, judged, monkeypatch):
  monkeypatch.setenv("JUDGE_KEY", "sk-1")
  x = write("x", {"a": "It is 2.", "b": "3"})
  y = write("y", {"a": "4", "b": "Two"})
  ask = ("--judge-model", MODEL, "--api-key-env", "JUDGE_KEY")
  with serving(longer, key="sk-1") as server:
    told, lines = judged(x, y, judge=server.url, options=ask)
    assert len(server.asked) == 4
    assert server.asked[0].texts[0] == QUESTION[0]["content"]
    again, _ = judged(x, y, judge=server.url, options=ask)
    assert len(server.asked) == 4  # they were kept beside the numbers
  assert again["pairs"] == told["pairs"]
  said = [(v["ab"], v["ba"]) for v in lines]
  assert said == [("first", "second"), ("second", "first")]
  assert told["judge"]["name"] == MODEL and told["judge"]["url"] == server.url
  assert len(told["judge"]["template"]) == 16
  assert "sk-1" not in json.dumps(told)


@pytest.mark.parametrize("reply", ["[[1]]", "I cannot say."])
def test_an_endpoint_that_does_not_judge(write, judged, reply):
  """Its place decides, or nothing: both are told, neither is a win."""
  turns = (*QUESTION, {"role": "assistant", "content": "2"}, *QUESTION)
  models = [
    write(name, dict.fromkeys("abcd", name), prompt=turns) for name in "xyz"
  ]
  with serving(lambda asked: Reply(reply)) as server:
    told, _ = judged(
      *models, judge=server.url, options=("--judge-model", MODEL)
    )
  assert server.asked[0].texts[0].count("user: Add 1 and 1.") == 2
  for pair in told["pairs"]:
    if reply == "[[1]]":
      assert pair["win_rate"]["mean"] == 0.5 and pair["wins"] == 2
      assert pair["order_changes"]["mean"] == pair["first_wins"]["mean"] == 1
    else:
      assert pair["n"] == 0 and pair["none"] == {"prompts": 4, "verdicts": 8}
  assert ("strengths" in told) == (reply == "[[1]]")


# What it is asked wrongly.


@pytest.mark.parametrize(
  "argv, words",
  [
    ("", "0 models: a win rate is of two or more"),
    ("x={x}", "1 models: a win rate is of two or more"),
    ("x={x} y={y} x={y}", "Two models are called 'x'"),
    ("{x} y={y}", "is not NAME=WORKDIR"),
    ("x={x} y=", "'y=' is not NAME=WORKDIR"),
    ("x={x} y={y} --judge taste", "--judge taste is unknown"),
    ("x={x} y={y} --judge ftp://a/v1", "is unknown: no folder"),
    ("x={x} y={y} --judge no_such.score", "cannot import 'no_such'"),
    ("x={x} y={y} --judge alignjax.rewards.sweet", "no kind 'sweet'"),
    ("x={x} y={y} --judge alignjax.rewards.answer", "takes metric"),
    ("x={x} y={y} --judge http://h/v1", "needs --judge-model NAME"),
    ("x={x} y={y} --judge-model m", "--judge-model has no effect"),
    ("x={x} y={y} --template plain", "it is of a FOLDER"),
    ("x={x} y={y} --judge {x}", "no 'config.json'|config.json"),
    ("x={x} y={y} --judge {none}", "has 0 scalar heads"),
    ("x={x} y={y} --judge {two}", "has 2 scalar heads"),
    ("x={x} y={y} --task gsm8k", "Tasks there: other, suite, texts"),
    ("x={x} y={away}", "Give a --workdir of `alignjax evaluate`"),
    ("x={x} y={half}", "It is not complete"),
    ("x={x} y={y} --task texts", "texts is a task of likelihoods"),
    ("x={x} y={y} --task other", "No item of other is common to all"),
    ("x={x} y={asked}", "item a: x and y have another prompt"),
    ("x={x} y={right}", "item a: x and y have another gold"),
    ("x={x} y={y} --out out.jsonl", "must end with .json"),
    ("p={p} q={q}", "no 'metric'"),
  ],
)
def test_wrong_options(write, rewards, tmp_path, argv, words):
  write("x", {"a": "2"})
  write("y", {"a": "3"})
  write("x", {"b": "2"}, task="other")
  write("y", {"c": "2"}, task="other")
  write("asked", {"a": "2"}, prompt="Another one")
  write("right", {"a": "2"}, gold=["3"])
  for name in "pq":
    write(name, {"a": "2"}, fields={})
  (tmp_path / "half" / "items").mkdir(parents=True)
  (tmp_path / "half" / "items" / "suite.part.jsonl").write_text("{}\n")
  for name in "xy":
    row = {"id": "a", "prompt": "", "output": {"logps": [-1.0]}}
    file = tmp_path / name / "items" / "texts.jsonl"
    file.write_text(json.dumps(row) + "\n")
  places = {p.name: p for p in (*tmp_path.iterdir(), *rewards.iterdir())}
  given = argv.format(away=tmp_path / "away", **places).split()
  for option, value in (
    ("task", "suite"),
    ("judge", "rule"),
    ("out", "o.json"),
  ):
    if f"--{option}" not in given:
      given += [f"--{option}", value]
  with pytest.raises((ValueError, OSError), match=words) as caught:
    winrate(given)
  assert len(str(caught.value).splitlines()) <= 5
  assert not (tmp_path / "o.json").exists()
