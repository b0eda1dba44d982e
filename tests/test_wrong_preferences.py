"""What is wrong with preferences stops a run before anything is compiled.

Each message has the value, the rule and the remedy, in at most five lines.
"""

import importlib
import json

import pytest

from alignjax import build
from alignjax.models.presets import preset
from alignjax.train import Run

GOOD = {"prompt": "1?", "chosen": "yes", "rejected": "no"}
JUDGED = {"prompt": "1?", "completion": "yes", "label": True}
AOT = dict(
  name="aot",
  kind="aot",
  weight=1.0,
  beta=0.1,
  label_smoothing=0.0,
  reference_free=False,
)
LONG = GOOD | {"chosen": "x" * 400}
TURNS = [
  {"role": "user", "content": "a"},
  {"role": "assistant", "content": "b"},
]


def start(folder, name, words, rows, values):
  """All of a run that comes before its weights."""
  config = importlib.import_module(f"configs.{name}").get_config(words)
  file = folder / "rows.jsonl"
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  given = {
    "mesh": (1, 1, 1),
    "data.train.path": str(file),
    "data.train.limit": 0,
    "data.eval.path": "",
  }
  for key, value in (given | values).items():
    *blocks, last = key.split(".")
    block = config
    for one in blocks:
      block = block[one]
    block[last] = value
  place = build.placement(config)
  objectives = build.objectives(config)
  lm, tokenizer = build.outline(config, place)
  run = Run(config, place, lm, objectives)
  data = build.data(config, tokenizer, lm.config, place)
  build.check_labels(objectives, data.tables)
  assert run.train_step._cache_size() == 0  # nothing is compiled yet


def refused(said, f, *arguments):
  with pytest.raises(ValueError) as error:
    f(*arguments)
  text = str(error.value)
  assert 1 <= len(text.splitlines()) <= 5
  for piece in said:
    assert piece in text, text


# (row, what is said: value, rule, remedy)
ROWS = {
  "an empty completion": (
    GOOD | {"chosen": " "},
    (":1: chosen: empty completion", "write the answer or remove the row"),
  ),
  "sides that are the same": (
    GOOD | {"chosen": "no "},
    (":1: chosen and rejected are the same", "remove the row"),
  ),
  "a label that is no probability": (
    GOOD | {"label": 2},
    ("label = 2 is no probability", "from 0 to 1; rename the key"),
  ),
  "a judgement of a pair": (
    GOOD | {"label": True},
    ("label = True judges one answer", "a pair's label is a number"),
  ),
  "a margin that is text": (
    GOOD | {"margin": "big"},
    ("'margin' must be a finite number", "'big'", "write JSON Lines"),
  ),
  "a margin that is not finite": (
    GOOD | {"margin": float("inf")},
    ("Infinity is no JSON; write null or a number",),
  ),
  "a weight below 0": (
    GOOD | {"weight": -1},
    ("'weight' must be a finite number above 0", "-1", "rename the field"),
  ),
  "a prompt that ends with an answer": (
    GOOD | {"prompt": TURNS},
    ("last turn is 'assistant', it must be 'user'", "into both completions"),
  ),
  "conversations of different prompts": (
    {"chosen": TURNS, "rejected": [TURNS[0] | {"content": "c"}, TURNS[1]]},
    ("do not begin with the same turns", "give the prompt under 'prompt'"),
  ),
  "ranks that are equal": (
    {"prompt": "1?", "completions": ["a", "b"], "ranks": [1, 1]},
    ("ranks = [1, 1] set no answer above another", "remove the row"),
  ),
  "ranks of other answers": (
    {"prompt": "1?", "completions": ["a", "b"], "ranks": [1]},
    ("must be lists of one length", "[1]"),
  ),
  "a judged answer": (
    JUDGED,
    ("one answer and its label are no pair", "(kto), or give prompt + chosen"),
  ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_that_is_no_pair(case, tmp_path):
  row, said = ROWS[case]
  refused(said, start, tmp_path, "dpo", "tiny", [row], {})


MAIN = "loss.main."
# (config and its words, rows, values, what is said)
CHOICES = {
  "the same row twice": (
    "dpo:tiny",
    [GOOD, GOOD],
    {},
    (":2: the same prompt, completions and label", "remove one of the two"),
  ),
  "a pair that nobody can judge": (
    "kto:tiny",
    [GOOD | {"label": 0.5}],
    {},
    ("label = 0.5: neither side is wanted", "remove it, or round its label"),
  ),
  "a row too long": (
    "dpo:tiny",
    [LONG],
    {"data.too_long": "error"},
    ("tokens, the limit is 256", "drop, error"),
  ),
  "a loss there is not": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "name": "dppo"},
    ("loss.main: no loss 'dppo'; one of aot, cpo", "import path of a module"),
  ),
  "a kind there is not": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "kind": "sigmod"},
    ("loss.main: dpo has no kind 'sigmod'; one of sigmoid, sigmoid_norm",),
  ),
  "an option too many": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "tau": 0.05},
    ("dpo takes beta, label_smoothing", "the config gives", "tau"),
  ),
  "an option too few": (
    "simpo:tiny",
    [GOOD],
    {MAIN + "kind": "sigmoid"},
    ("cpo takes beta, label_smoothing, alpha; the config gives", "gamma"),
  ),
  "no loss": (
    "dpo:tiny",
    [GOOD],
    {"loss": {}},
    ("config.loss is empty", 'dict(main=dict(name="sft"'),
  ),
  "a loss that counts infinitely": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "weight": float("inf")},
    ("loss.main.weight = inf; it must be a finite number",),
  ),
  "beta below 0": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "beta": -1.0},
    ("loss.main: beta = -1.0; it must be above 0",),
  ),
  "beta of 0": (
    "orpo:tiny",
    [GOOD],
    {MAIN + "beta": 0.0},
    ("loss.main: beta = 0.0; it must be above 0",),
  ),
  "beta that is no number": (
    "kto:tiny",
    [GOOD],
    {MAIN + "beta": float("nan")},
    ("loss.main: beta = nan; it must be above 0",),
  ),
  "labels wrong oftener than right": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "label_smoothing": 0.9},
    ("label_smoothing = 0.9", "0 to 0.5: the part of the labels"),
  ),
  "a margin of means below 0": (
    "simpo:tiny",
    [GOOD],
    {MAIN + "gamma": -0.5},
    ("loss.main: gamma = -0.5; it must be 0 or more",),
  ),
  "a side that counts less than nothing": (
    "kto:tiny",
    [GOOD],
    {MAIN + "undesirable_weight": -1.0},
    ("undesirable_weight = -1.0; it must be 0 or more",),
  ),
  "a divergence there is not": (
    "dpo:tiny",
    [GOOD],
    {MAIN + "divergence": "kl"},
    ("divergence = 'kl' is unknown; one of reverse_kl, forward_kl",),
  ),
  "sorting parts of a batch": (
    "dpo:tiny",
    [GOOD],
    {"loss": dict(main=AOT), "train.accumulate": 2},
    ("over all rows of a batch", "accumulate = 2", "train.accumulate=1"),
  ),
  "soft labels that are not read": (
    "dpo:tiny",
    [GOOD | {"label": 0.7}],
    {"loss": dict(main=AOT)},
    ("label = 0.7; loss.main sorts the pairs", "a loss that reads it: dpo"),
  ),
  "pairs of plain rows": (
    "dpo:tiny",
    [{"prompt": "1?", "completion": "yes"}],
    {"data.rows": "examples"},
    ("loss.main cannot be taken of rows that are examples", "rows to pairs,"),
  ),
  "pairs of judged answers": (
    "dpo:tiny",
    [JUDGED],
    {"data.rows": "judged+kl"},
    ("loss.main cannot be taken of rows that are judged+kl", "rows to pairs,"),
  ),
  "judged answers of pairs": (
    "kto:tiny",
    [GOOD],
    {"data.rows": "pairs"},
    ("cannot be taken of rows that are pairs", "data.rows to judged+kl,"),
  ),
  "shared rows of one answer": (
    "sft:tiny",
    [JUDGED],
    {"data.layout": "shared"},
    ("data.layout = 'shared' is for answers", "data.layout=apart"),
  ),
  "prompts that no loss reads": (
    "dpo:tiny",
    [GOOD],
    {"data.train_on": "all"},
    ("'all' lists the prompts of pairs", "Set data.train_on=assistant"),
  ),
  "adapters of nothing": (
    "dpo:tiny,lora",
    [GOOD],
    {"lora.targets": (".*/query/kernle",)},
    ("lora.targets: '.*/query/kernle' matches nothing", "means all"),
  ),
  "scores of a model without": (
    "dpo:tiny",
    [GOOD],
    {"loss": dict(main=dict(name="reward", kind="bt", weight=1.0))},
    ("loss.main is over scores, and model.scores = 0", "configs/reward.py"),
  ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_a_choice_that_cannot_be(case, tmp_path):
  config, rows, values, said = CHOICES[case]
  refused(said, start, tmp_path, *config.split(":"), rows, values)


def test_a_reward_model_has_no_tokens_to_imitate(tiny):
  config = tiny()
  model = preset("tiny").replace(tied=False, scores=1)
  said = "loss.main is over tokens, and a model with scores", "model.scores=0"
  refused(said, build.check_losses, config, build.objectives(config), model)


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "simpo", "reward"])
def test_what_is_right_is_not_refused(name, tmp_path):
  rows = [GOOD, GOOD | {"prompt": "2?", "weight": 0.5}]
  start(tmp_path, name, "tiny", rows, {})
