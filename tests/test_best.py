"""`alignjax generate --best-by`: of several samples the one of most reward."""

import re

import pytest

from alignjax import cli, pretrained
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset

SMALL = preset("tiny").replace(
  width=16, depth=1, hidden=24, windows=(), heads=2, kv_heads=1, head_size=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, draw):
  folder = tmp_path_factory.mktemp("models")
  for name, scores, vocab in (
    ("lm", 0, 264),
    ("rm", 1, 264),
    ("two", 2, 264),
    ("other", 1, 300),
  ):
    lm = LM(SMALL.replace(scores=scores, vocab=vocab))
    pretrained.export(folder / name, lm, draw(lm, 1), byte_tokenizer())
  return folder


def run(folder, *options, n="6", warm="1.0"):
  return cli.main(
    ["generate", "--model", str(folder / "lm"), "--prompt", "ab"]
    + ["--prompt", "c", "--n", n, "--temperature", warm, "--max-tokens", "5"]
    + list(options)
  )


def test_the_answer_of_the_highest_score_is_shown(folder, capsys):
  """More samples have a higher best; equal ones score the same."""
  scores = []
  for n in ("2", "6"):
    assert run(folder, "--best-by", str(folder / "rm"), n=n) == 0
    out = capsys.readouterr().out
    found = re.findall(rf"\(best of {n}: scored (-?[\d.]+)\)", out)
    assert len(found) == 2 and out.count("> ") >= 2
    scores.append([float(x) for x in found])
  assert all(a <= b for a, b in zip(*scores)) and scores[0] != scores[1]


@pytest.mark.parametrize(
  "model, options, words",
  [
    ("rm", dict(n="1"), "--n is 1"),
    ("rm", dict(warm="0"), "--temperature 0"),
    ("two", {}, "has 2 scalar heads"),
    ("lm", {}, "has 0 scalar heads"),
  ],
)
def test_what_cannot_choose(folder, capsys, model, options, words):
  assert run(folder, "--best-by", str(folder / model), **options) == 1
  assert words in capsys.readouterr().err
