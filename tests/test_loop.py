"""The loop, by its commands: from data sets to preferences and what they teach.

Templates → tuning → samples → raters that are played → rows of preferences → a
reward model and DPO → evaluation; no file is touched by hand.
"""

import json
import random
from itertools import permutations

import pytest

from alignjax import cli
from alignjax.data.lines import read_lines

WORDS = "stone river lamp cloud apple chair bird coat salt drum".split()


def brief(prompts, completions, rows):
  """What the raters like: few characters."""
  return [-len(text) / 10 for text in completions]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """The loop's folder, and its outcome: every command has run."""
  folder = tmp_path_factory.mktemp("loop")
  said = [
    {"sentence": f"the {one} was {word} and {other}", "label": label}
    for label, word in enumerate(("poor", "good"))
    for one, other in permutations(WORDS, 2)
  ]
  rows = random.Random(0).sample(said, 160)
  text = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "reviews.jsonl").write_text(text)
  return folder


def run(command, *values):
  """A command of a line, {} filled in."""
  words = command.format(*values).split()
  assert cli.main(words) == 0, command


def train(config, workdir, model, data, root, **changes):
  options = {
    "mesh": "1,1,1",
    "model.remat": "none",
    "data.workers": 1,
    "data.max_length": 192,
    "data.train.path": data,
    "data.eval.path": "",
    "train.batch": 8,
    "train.eval_every": 0,
    "optim.warmup": 2,
    "checkpoint.every": 0,
    "sample.count": 0,
    "log.tensorboard": False,
  }
  options |= {k.replace("__", "."): v for k, v in changes.items()}
  if model:
    options |= {"model.path": model, "model.preset": ""}
  words = [f"--config.{k}={v}" for k, v in options.items()]
  file = f"{root}/configs/{config}.py:tiny"
  command = ["train", "--config", file, "--workdir", str(workdir), *words]
  assert cli.main(command) == 0
  exported = f"{workdir}/model"
  run("export --workdir {} --out {}", workdir, exported)
  return exported


def rows_of(file):
  return [row for row, _ in read_lines(file)]


def test_from_templates_to_what_preferences_teach(place, root, capsys):
  made = place / "sft.jsonl"
  run(
    "instruct convert --dataset sst2={} --out {}",
    place / "reviews.jsonl",
    made,
  )
  assert {row["made"]["how"] for row in rows_of(made)} == {"template"}
  run("data validate {} --licence CC0-1.0 --source us --near 1", made)
  sft = train("sft", place / "sft", "", made, root, train__steps=40)

  pairs = place / "round-1" / "pairs.jsonl"
  sample = "feedback sample --model {} --prompts {} --out {} --temperature 1"
  run(sample + " --max-tokens 24 --batch 32", sft, made, pairs)
  study = pairs.with_suffix(".db")
  run(
    "feedback simulate {} --study {} --rater 3*noise=0.05 --judge {}.brief",
    pairs,
    study,
    __name__,
  )
  run("feedback report --study {}", study)
  votes = place / "rounds" / "round-1.jsonl"
  run("feedback export --study {} --out {}", study, votes)
  preferences = rows_of(votes)
  shorter = [
    len(row["chosen"][-1]["content"]) < len(row["rejected"][-1]["content"])
    for row in preferences
  ]
  assert len(preferences) > 100 and sum(shorter) > 0.8 * len(shorter)

  more = dict(train__steps=24, optim__lr=1e-3)
  reward = train("reward", place / "reward", sft, votes, root, **more)
  more["optim__lr"] = 3e-4
  dpo = train("dpo", place / "dpo", sft, votes, root, **more)
  report = place / "report.json"
  run("score --model {} --data {} --json {}", reward, votes, report)
  found = json.loads(report.read_text())
  hits = found["agreement"]["accuracy"]
  assert hits["interval"][0] > 0.6, hits  # chance is 0.5

  for name, model in (("sft", sft), ("dpo", dpo)):
    run(
      "evaluate --config {}/configs/evaluate.py:preferences --workdir {} "
      "--config.model.path={} --config.mesh=1,1,1 "
      "--config.tasks.preferences.path={} "
      "--config.tasks.preferences.split=train "
      "--config.tasks.preferences.limit=32",
      root,
      place / "evals" / name,
      model,
      votes,
    )
  run("compare sft={0}/sft dpo={0}/dpo", place / "evals")
  # The next round, by the model that the first one made.
  second = place / "round-2" / "pairs.jsonl"
  run(sample + " --max-tokens 24 --batch 32", dpo, made, second)
  lengths = [
    sum(len(row[side][-1]["content"]) for row in rows_of(file) for side in "ab")
    / (2 * len(rows_of(file)))
    for file in (pairs, second)
  ]
  assert lengths[1] < 0.8 * lengths[0]  # what was preferred was learnt
