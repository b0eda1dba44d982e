"""The built-in tasks: what every row of every cluster must satisfy."""

import collections
import json
import re

import pytest

from alignjax.data import suite
from alignjax.metrics import reward, score

REASONS = {"wrong", "rude", "long-winded", "unsafe"}


def listed(prompt: str) -> list[str]:
  """The longest list, with commas between, in a prompt."""
  found = [text.split(", ") for text in re.findall(r"(?:\w+, )+\w+", prompt)]
  return max(found, key=len)


def everything(split: str) -> list[dict]:
  with pytest.raises(ValueError) as error:
    suite.rows(split, n=10**9)
  available = int(re.search(r"has (\d+) rows", str(error.value)).group(1))
  return suite.rows(split, n=available)


@pytest.fixture(scope="module")
def train():
  return everything("train")


@pytest.fixture(scope="module")
def heldout():
  return everything("heldout")


@pytest.fixture(scope="module")
def both(train, heldout):
  return train + heldout


def test_gold_scores_one_and_wrong_scores_less(both):
  for row in both:
    metric, answers = row["metric"], row["answers"]
    for answer in answers:
      assert score(metric, answer, answers) == 1.0, row
    if row["reason"] in ("wrong", "unsafe"):
      assert score(metric, row["rejected"], answers) < 1.0, row


def test_gold_earns_more_reward_than_rejected(both):
  for row in both:
    metric, answers = row["metric"], row["answers"]
    assert reward(metric, row["completion"], answers) == 1.0, row
    assert reward(metric, row["rejected"], answers) < 1.0, row


def test_rude_and_long_winded_are_right_all_the_same(both):
  for row in both:
    if row["reason"] in ("rude", "long-winded") and row["metric"] in (
      "contains",
      "numeric",
      "label",
    ):
      assert score(row["metric"], row["rejected"], row["answers"]) == 1.0, row


def test_rows_are_whole(both):
  for row in both:
    assert row["cluster"] in suite.clusters()
    assert row["reason"] in REASONS
    assert row["answers"][0] == row["completion"]
    assert len(set(row["answers"])) == len(row["answers"])
    assert "{" not in row["prompt"] and "  " not in row["prompt"]
    for field in ("prompt", "completion", "rejected"):
      assert row[field] == row[field].strip() != ""
  assert {row["reason"] for row in both} == REASONS


def test_lengths(both):
  for row in both:
    assert len(row["prompt"].split()) < 40, row
    assert len(row["completion"].split()) <= 25, row
    assert len(row["rejected"].split()) <= 70, row
  words = sorted(len(row["completion"].split()) for row in both)
  assert words[len(words) // 2] <= 2


def test_prompts_and_ids_are_unique_over_both_splits(both):
  assert len({row["prompt"] for row in both}) == len(both)
  assert len({row["id"] for row in both}) == len(both)


def test_facts_are_split(train, heldout):
  """A heldout fact is not in training under another template or direction."""

  def answers(rows, cluster):
    return {row["completion"] for row in rows if row["cluster"] == cluster}

  def sums(rows):
    text = "\n".join(row["prompt"] for row in rows)
    return {frozenset(pair) for pair in re.findall(r"(\d+) \+ (\d+)", text)}

  for name in ("capitals", "elements", "dates", "json", "french", "plurals"):
    ours, theirs = answers(train, name), answers(heldout, name)
    assert ours and theirs and not ours & theirs, name
  assert sums(train) and sums(heldout) and not sums(train) & sums(heldout)


def test_unsafe_requests_are_split_alike_in_both_clusters(train, heldout):
  requests = [
    re.search(r"Request: (.*)\n", row["prompt"]).group(1)
    for row in heldout
    if row["cluster"] == "safety" and "Request:" in row["prompt"]
  ]
  assert len(requests) > 5
  text = "\n".join(row["prompt"] for row in train)
  assert not [request for request in requests if f" {request}." in text]


def test_languages_hold_out_the_same_words(heldout):
  words = {
    language: {
      re.search(r'"(\w+)"', row["prompt"]).group(1)
      for row in heldout
      if row["cluster"] == language and '"' in row["prompt"]
    }
    for language in ("french", "german", "spanish")
  }
  assert words["french"] == words["german"] == words["spanish"] != set()


def test_translations_differ_from_the_english_word(both):
  for row in both:
    if row["cluster"] in ("french", "german", "spanish"):
      assert score("contains", row["prompt"], row["answers"]) == 0.0, row


def test_three_templates_each_in_both_splits(train, heldout):
  for rows in (train, heldout):
    found = {name: set() for name in suite.clusters()}
    for row in rows:
      found[row["cluster"]].add(row["template"])
    for name, templates in found.items():
      assert len(templates) >= 3, name
      assert templates == set(range(len(templates))), name


def test_heldout_has_every_label(heldout):
  found = collections.defaultdict(set)
  for row in heldout:
    found[row["cluster"]].add(row["completion"])
  assert found["sentiment"] == {"positive", "negative"}
  assert found["inference"] == {"yes", "no", "maybe"}
  assert found["paraphrase"] == {"yes", "no"}
  assert found["safety"] == {"safe", "unsafe"}


@pytest.mark.parametrize(
  "prompt,gold",
  [
    ("What is the capital of Australia?", "Canberra"),
    ("What is the capital of the Philippines?", "Manila"),
    ("Write the symbol of the element tungsten and nothing else.", "W"),
    ("What is 17 + 5?", "22"),
    ("What is 56 / 7?", "8"),
    ("Convert 3 kilometres to metres.", "3000 metres"),
    ('Translate the word "tree" into German.', "Baum"),
    (
      "Which month is 2 months before January? Answer with one word.",
      "November",
    ),
    ("Give one word that means the opposite of early.", "late"),
  ],
)
def test_known_facts(both, prompt, gold):
  found = [row["completion"] for row in both if row["prompt"] == prompt]
  assert found == [gold]


def test_answers_recomputed_from_the_prompts(both):
  """Arithmetic, counting, sorting and JSON, read back from the question."""
  checked = collections.Counter()
  for row in both:
    prompt, gold, cluster = row["prompt"], row["completion"], row["cluster"]
    if cluster == "arithmetic":
      a, sign, b = re.search(r"(\d+) ([-+*/]) (\d+)", prompt).groups()
      a, b = int(a), int(b)
      value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]
      assert value == int(gold), row
    elif cluster == "counting":
      word = re.search(r'"(\w+)"', prompt).group(1)
      assert listed(prompt).count(word) == int(gold), row
    elif cluster == "sorting":
      items = gold.split(", ")
      if "words" in prompt:
        assert items == sorted(items), row
      else:
        values = [int(item) for item in items]
        down = "largest to smallest" in prompt
        assert values == sorted(values, reverse=down), row
      asked = listed(prompt)
      assert sorted(asked) == sorted(items) and asked != items, row
    elif cluster == "json":
      values = json.loads(gold)
      assert set(values) == {"name", "age", "city"}
      assert all(str(value) in prompt for value in values.values()), row
    elif cluster in ("extraction", "categories", "rhymes"):
      assert gold in prompt, row
    else:
      continue
    checked[cluster] += 1
  assert len(checked) == 7


def test_preference_is_the_row_as_a_pair():
  row = suite.rows("train", n=1)[0]
  assert suite.preference(row) == {
    "prompt": row["prompt"],
    "chosen": row["completion"],
    "rejected": row["rejected"],
  }
