"""What scripts/bench.py counts as work."""

import sys

import numpy as np
import pytest

from alignjax.data.layouts import Apart
from alignjax.data.rows import Rows


@pytest.fixture(scope="module")
def bench(root):
  sys.path.insert(0, str(root / "scripts"))
  try:
    import bench
    import bench_tasks
  finally:
    sys.path.pop(0)
  return bench.parse, bench_tasks


SHAPE = "--seq=16 --batch=2 --vocab=50 --prompt-len=6".split()


def test_pairs_are_two_sequences_of_one_prompt(bench):
  parse, tasks = bench
  rows = Rows.of(tasks.pairs(parse(["dpo", *SHAPE]), 3))
  assert rows.prompts.tolist() == [6] * 3
  assert rows.lengths.tolist() == [6 + 10 + 10] * 3
  apart = Apart(rows)
  assert apart.lengths.tolist() == [2 * 16] * 3
  assert apart.counts.tolist() == [2 * 10] * 3
  one, other = np.split(apart[0].tokens, 2)
  assert (one[:6] == other[:6]).all() and (one[6:] != other[6:]).any()
  assert min(one.min(), other.min()) >= tasks.FIRST_ID


def test_ragged_pairs_keep_their_prompt_and_a_token_of_each_side(bench):
  parse, tasks = bench
  rows = Rows.of(tasks.pairs(parse(["reward", *SHAPE, "--ragged"]), 50))
  sides = np.array([np.bincount(row.completions)[1:] for row in rows])
  whole = sides + rows.prompts[:, None]
  assert sides.min() >= 1 and whole.min() >= 4 and whole.max() <= 16
  assert len(np.unique(whole)) > 5


def test_rows_of_a_seed_are_the_same(bench):
  parse, tasks = bench
  found = [
    np.concatenate([row.tokens for row in tasks.sequences(parse(flags), 4)])
    for flags in (["sft"], ["sft"], ["sft", "--seed=1"])
  ]
  assert len(found[0]) == 4 * 256
  assert (found[0] == found[1]).all() and (found[0] != found[2]).any()


def test_slots_generate_the_same_number_of_tokens(bench):
  """Answers of 1 to 16 tokens; about a quarter of that without the limit."""
  parse, tasks = bench
  flags = "generate --sample --ragged --seq=20 --prompt-len=4 --batch=6".split()
  flags += "--hidden=8 --layers=1 --heads=2 --kv-heads=1 --mlp=8".split()
  flags += "--vocab=50 --steps=2 --warmup=1".split()
  assert tasks.stops(parse(flags)) == 13  # of 50, and four times 1 of 16
  found = [tasks.generate(parse([*flags, *x]))[1] for x in ([], ["--slots=2"])]
  assert found[0] == found[1]
  assert 6 < found[0] < 6 * 8
  assert tasks.stops(parse(["generate"])) == 0


def test_greedy_answers_are_not_ragged(bench, capsys):
  with pytest.raises(SystemExit):
    bench[0](["generate", "--ragged"])
  assert "--ragged needs --sample" in capsys.readouterr().err


@pytest.mark.parametrize(
  "flags",
  ["sft --shared", "reward --cached", "generate --lora-rank=4"]
  + ["sft --slots=4"],
)
def test_flags_without_effect_are_refused(bench, flags, capsys):
  with pytest.raises(SystemExit):
    bench[0](flags.split())
  assert "has no effect on" in capsys.readouterr().err


def test_experiments_are_those_of_the_configs(bench):
  parse, tasks = bench
  flags = ["dpo", "--beta=0.3", "--batch=4", "--lora-rank=8"]
  config = tasks.experiment(parse(flags))
  assert config.loss.main.beta == 0.3 and config.train.batch == 4
  assert (config.lora.rank, config.lora.alpha) == (8, 16.0)
  assert tasks.experiment(parse(["reward"])).model.scores == 1
