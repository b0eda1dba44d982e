"""Votes as rows: what is preferred, what is left out, and what is trained."""

import json
from hashlib import sha256

import pytest
from feedback_studies import SETTINGS, Clock, join, query, read, rows, study

from alignjax import cli
from alignjax.data import preferences, sources
from alignjax.feedback import assign, export, simulate, votes
from alignjax.feedback.choices import CHOICES, Vote
from alignjax.feedback.simulate import Simulated
from alignjax.feedback.store import create

# Votes of up to four raters on each pair, towards a and b.
SAID = {
  0: ("a", "a_much", "b", "a"),
  1: ("a", "b", "tie", "b"),
  2: ("both_bad", "both_bad", "both_bad", "a"),
  3: ("tie", "tie", "a_much", "tie"),
  4: ("b_much", "b_much", "b", "both_bad"),
  5: ("skip", "skip", "skip", "skip"),
}
TURN = {"a": "Yes {}.", "b": "No, not {}."}


@pytest.fixture
def voted(tmp_path):
  store, _ = study(tmp_path / "s.db", 6, overlap=4, seed=1234567)
  flip = {"left": "right", "right": "left"}
  for k, rater in enumerate(join(store, "ann", "bob", "eve", "joe")):
    while shown := assign.next_task(store, rater):
      pair = int(shown.prompt[0]["content"].split()[1][:-1])
      said = SAID[pair][k].replace("a_", "left_").replace("b_m", "right_m")
      if said == "skip":
        votes.skip(store, rater, shown.task, "unclear")
        continue
      said = {"a": "left", "b": "right"}.get(said, said)
      side, _, much = said.partition("_")
      if shown.flipped and side in flip:
        said = flip[side] + ("_much" if much else "")
      assert said in CHOICES
      labels = (("left", "untrue"),) if rater.name == "bob" else ()
      votes.vote(store, rater, shown.task, Vote(said, labels, "psst"))
  return store


def export_rows(store, tmp_path, **options):
  given = dict(rule="majority", ties="drop") | options
  out = tmp_path / "out.jsonl"
  made = export.export(store, out, **given)
  found = [json.loads(x) for x in out.read_text("utf-8").split("\n") if x]
  assert made.rows == len(found)
  # Read back as they are.
  read_back = list(preferences.preferences(sources.read(str(out))))
  assert [p.label for p in read_back] == [r["label"] for r in found]
  return made, {r["id"]: r for r in found}, read_back


def of(store, found):
  """Rows by the number of their pair, and which side is chosen."""
  position = dict(query(store, "SELECT sha256, position - 1 FROM pairs"))
  made = {}
  for row in found.values():
    pair = position[row["made"]["pair"]]
    side = "a" if row["chosen"][0]["content"] == TURN["a"].format(pair) else "b"
    other = "b" if side == "a" else "a"
    assert row["rejected"][0]["content"] == TURN[other].format(pair)
    assert row["prompt"][0]["content"] == f"Question {pair}?"
    made.setdefault(pair, {})[side, row["label"]] = row
  return made


def test_a_majority_is_more_than_half(voted, tmp_path):
  made, found, read_back = export_rows(voted, tmp_path)
  got = of(voted, found)
  assert {k: list(v) for k, v in got.items()} == {
    0: [("a", 1.0)],
    4: [("b", 1.0)],
  }
  left = {"no majority": 1, "ties": 1, "both bad": 1, "with too few votes": 1}
  assert made == (2, 0, left, 4)
  about = got[0]["a", 1.0]["made"]
  assert about["votes"] == {"a": 3, "b": 1}
  assert about["strength"] == 0.75  # (1 + 2 - 1 + 1) / 4
  assert got[4]["b", 1.0]["made"]["strength"] == pytest.approx(5 / 3, abs=1e-4)
  assert about["models"] == {"chosen": "m-one", "rejected": "m-two"}
  assert list(about["raters"].values()) == [
    "chosen",
    "chosen",
    "rejected",
    "chosen",
  ]
  assert about["source"] == {"id": "p0"}
  assert read_back[0].weight == 1.0 and read_back[0].margin == 0.0


def test_both_bad_is_no_side_of_a_majority(tmp_path):
  store, _ = study(tmp_path / "s.db", 1)
  for rater, bad in zip(join(store, "ann", "bob"), (False, True)):
    shown = assign.next_task(store, rater)
    better = "right" if shown.flipped else "left"  # a
    votes.vote(store, rater, shown.task, Vote("both_bad" if bad else better))
  _, found, _ = export_rows(store, tmp_path, ties="keep")
  assert [*of(store, found)[0]] == [("a", 1.0)]


def test_ties_may_be_kept(voted, tmp_path):
  made, found, _ = export_rows(voted, tmp_path, ties="keep")
  got = of(voted, found)
  assert {k for k, v in got.items() if ("a", 0.5) in v} == {3}
  assert made.ties == 1 and "ties" not in made.left_out


def test_soft_labels_are_shares(voted, tmp_path):
  _, found, _ = export_rows(voted, tmp_path, rule="soft", ties="keep")
  got = {k: list(v) for k, v in of(voted, found).items()}
  assert got == {
    0: [("a", 0.75)],
    1: [("b", 0.625)],  # a, b, tie, b: 1.5 of 4 for a
    3: [("a", 0.625)],
    4: [("b", 1.0)],  # both bad is no vote
  }


def test_every_vote_counts_by_weight(voted, tmp_path):
  made, found, read_back = export_rows(voted, tmp_path, rule="votes")
  got = of(voted, found)
  weights = {
    (pair, *key): row.get("weight", 1)
    for pair, several in got.items()
    for key, row in several.items()
  }
  assert weights == {
    (0, "a", 1.0): 3,
    (0, "b", 1.0): 1,
    (1, "a", 1.0): 1,
    (1, "b", 1.0): 2,
    (3, "a", 1.0): 1,
    (4, "b", 1.0): 3,
  }
  assert sorted(p.weight for p in read_back) == [1, 1, 1, 2, 3, 3]
  kept, _, _ = export_rows(voted, tmp_path, rule="votes", ties="keep")
  assert kept.rows == made.rows + 2
  votes_kept = sum(weights.values()) + 1 + 3
  both_bad = 4  # three on pair 2, which is left out with its vote for a
  assert votes_kept + both_bad + 1 == 20


def test_who_is_left_out_is_told(voted, tmp_path):
  made, found, _ = export_rows(voted, tmp_path, without=["eve"])
  assert made.left_out == {"both bad": 1, "with too few votes": 1, "ties": 1}
  got = of(voted, found)
  assert got[0]["a", 1.0]["made"]["votes"] == {"a": 3}
  card = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
  assert "from comparisons by 3 raters" in card
  assert "all 5 votes of rater-3, by choice of who exported" in card
  for secret in ("ann", "bob", "eve", "joe", "psst"):
    assert secret not in (tmp_path / "out.jsonl").read_text("utf-8")
    assert f" {secret}" not in card
  with pytest.raises(ValueError, match="no rater 'sue'; there are: ann, bob"):
    export_rows(voted, tmp_path, without=["sue"])


def test_a_card_says_what_there_is(voted, tmp_path):
  export_rows(voted, tmp_path, least=4)
  card = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
  for said in (
    "2 preferences, 0 of them ties, from comparisons by 4 raters",
    "more than half",
    "- 1 pairs: ties",
    "- 1 pairs: no majority",
    "- 1 pairs: both bad",
    "- skips: 4 unclear",
    "- labels: 5 untrue",
    "Krippendorff's α, five steps",
    "no step of the five; left out there: 4.",
    "seed 1234567, overlap 4",
  ):
    assert said in card, said
  digest = sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
  assert f"sha256 of out.jsonl: `{digest}`" in card
  voted.close()  # folds the log into the file
  digest = sha256(voted.path.read_bytes()).hexdigest()
  assert f"sha256 of s.db: `{digest}`" in card
  assert "played" not in card


def test_gold_items_and_repeats_are_no_rows(tmp_path):
  store, _ = study(
    tmp_path / "s.db",
    20,
    gold={2, 9, 12},  # one of them nobody sees
    gold_every=9,
    repeat_every=4,
    overlap=1,
  )
  simulate.simulate(store, [Simulated()], simulate.by_gold(store), seed=0)
  assert query(store, "SELECT sum(repeat) FROM tasks")[0][0] > 1
  made, found, _ = export_rows(store, tmp_path)
  assert made.left_out == {"gold items": 3} and made.rows == 17
  assert all(sum(r["made"]["votes"].values()) == 1 for r in found.values())
  card = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
  assert "**1 of the raters were played" in card


def test_what_cannot_be_exported(voted, tmp_path):
  out = tmp_path / "x.jsonl"
  for options, said in (
    (dict(rule="all"), "legal: majority, soft, votes"),
    (dict(ties="some"), "legal: drop, keep"),
    (dict(least=0), "least = 0"),
    (dict(least=5), "no row is left of 6 pairs: 6 with too few votes"),
  ):
    with pytest.raises(ValueError, match=said):
      export.export(voted, out, **dict(rule="soft", ties="drop") | options)
  with pytest.raises(ValueError, match="must end with .jsonl"):
    export.export(voted, tmp_path / "x.csv", rule="soft", ties="drop")
  assert not out.exists()


TRAINED = (
  "mesh=1,1,1 train.steps=1 train.batch=8 train.eval_every=0 optim.warmup=0 "
  "data.eval.limit=8 checkpoint.every=0 sample.count=0 log.tensorboard=False"
)


@pytest.mark.parametrize("config, rule", [("reward", "soft"), ("dpo", "votes")])
def test_rows_are_trained_on(root, tmp_path, config, rule):
  """By configs/reward.py and dpo.py as they are."""
  made = rows(16)
  store = create(
    tmp_path / "s.db", read(made), SETTINGS._replace(overlap=3), now=Clock()
  )
  raters = [Simulated(tie=0.2, noise=0.2)] * 3
  simulate.simulate(store, raters, {}, seed=0)
  out = tmp_path / "out.jsonl"
  export.export(store, out, rule=rule, ties="keep")
  words = ["train", "--config", f"{root}/configs/{config}.py:tiny"]
  words += [f"--workdir={tmp_path}/run"]
  words += [f"--config.data.{x}.path={out}" for x in ("train", "eval")]
  words += [f"--config.{x}" for x in TRAINED.split()]
  assert cli.main(words) == 0
  row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
  assert row["step"] == 1 and row["loss"] > 0
