"""Which rows of the built-in tasks are taken: n, seed, clusters, split."""

import collections
import hashlib
import json
import os
import subprocess
import sys

import pytest

from alignjax.data import suite


@pytest.mark.parametrize("split,total", [("train", 3000), ("heldout", 500)])
def test_default_is_balanced_and_large(split, total):
  rows = suite.rows(split)
  assert len(rows) >= total
  counts = collections.Counter(row["cluster"] for row in rows)
  assert counts == dict.fromkeys(suite.clusters(), suite.DEFAULT_ROWS[split])
  assert len(suite.clusters()) >= 14


def test_a_smaller_n_is_a_prefix():
  names = ["json", "french", "plurals"]
  for n in (1, 7, 15):
    longer = suite.rows("train", n=40, clusters=names)
    assert longer[:n] == suite.rows("train", n=n, clusters=names)


def test_seed_changes_the_rows_not_the_pool():
  a, b = (
    suite.rows("heldout", seed=seed, clusters=["rhymes"]) for seed in (0, 1)
  )
  assert a != b
  by_id = {row["id"]: row for row in a}
  shared = [row for row in b if row["id"] in by_id]
  assert shared and all(by_id[row["id"]] == row for row in shared)
  few = [
    {
      row["id"]
      for row in suite.rows("train", n=50, seed=seed, clusters=["json"])
    }
    for seed in (0, 1)
  ]
  assert len(few[0] & few[1]) < 25


def test_clusters_are_taken_in_the_order_given():
  rows = suite.rows("train", n=4, clusters=["units", "capitals"])
  names = [row["cluster"] for row in rows]
  assert names == ["units", "capitals"] * 2
  alone = suite.rows("train", n=2, clusters=["capitals"])
  assert alone == rows[1::2]


def test_clusters_that_run_out_are_passed_over():
  pair = ["rhymes", "arithmetic"]
  rows = suite.rows("heldout", n=300, clusters=pair)
  counts = collections.Counter(row["cluster"] for row in rows)
  assert counts["rhymes"] < 150 < counts["arithmetic"]
  assert sum(counts.values()) == 300


def test_same_rows_in_another_process():
  program = (
    "import hashlib, json; from alignjax.data import suite; "
    "text = json.dumps(suite.rows('train', n=300, seed=3)); "
    "print(hashlib.sha256(text.encode()).hexdigest())"
  )
  ours = json.dumps(suite.rows("train", n=300, seed=3))
  theirs = subprocess.run(
    [sys.executable, "-c", program],
    env={**os.environ, "PYTHONHASHSEED": "123"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()
  assert theirs == hashlib.sha256(ours.encode()).hexdigest()


@pytest.mark.parametrize(
  "arguments,message",
  [
    ({"split": "test"}, "'test'.*train, heldout"),
    ({"split": "train", "clusters": ["sums"]}, "unknown: sums\nlegal: arith"),
    ({"split": "train", "clusters": []}, "each once"),
    ({"split": "train", "clusters": ["units"] * 2}, "each once"),
    ({"split": "train", "n": 0}, "n is 0"),
    ({"split": "heldout", "n": 10**6}, r"has \d+ rows\nask for 1 to \d+"),
  ],
)
def test_wrong_arguments_are_explained(arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    suite.rows(**arguments)
  assert len(str(error.value).splitlines()) <= 5
