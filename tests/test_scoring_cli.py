"""`alignjax score`: what it writes and shows, and what it is asked wrongly."""

import json
import re
import shutil

import numpy as np
import pytest

from alignjax import cli, pretrained
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset

ROWS = [
  {"prompt": "say a", "chosen": "a", "rejected": "bbb bb", "id": 4},
  {"prompt": "say b", "chosen": "b", "rejected": "c" * 90},
]


def write(file, rows):
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, draw):
  """Models of no, one and two heads, a broken one, and rows."""
  folder = tmp_path_factory.mktemp("models")
  small = preset("tiny").replace(width=16, depth=1, hidden=24, windows=())
  small = small.replace(heads=2, kv_heads=1, head_size=8)
  for name, heads in (("none", 0), ("one", 1), ("two", 2)):
    lm = LM(small.replace(scores=heads))
    pretrained.export(folder / name, lm, draw(lm, 1), byte_tokenizer())
  shutil.copytree(folder / "one", folder / "zero")
  file = folder / "zero" / "config.json"
  config = json.loads(file.read_text())
  config |= {"score_mean": [0.0], "score_std": [0.0]}
  file.write_text(json.dumps(config))
  lm = LM(small.replace(scores=1))
  params = draw(lm, 1)
  params["score_head"] = np.zeros_like(params["score_head"])
  pretrained.export(folder / "dull", lm, params, byte_tokenizer())
  write(folder / "rows.jsonl", ROWS)
  write(folder / "bad.jsonl", [*ROWS, {"text": "a"}])
  write(folder / "worse.jsonl", [{"text": "a"}])
  write(folder / "empty.jsonl", [])
  return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
  """A function of options: (status, standard output, standard error)."""
  monkeypatch.chdir(folder)

  def main(*argv, model="one", data="rows.jsonl"):
    models = [word for name in model.split() for word in ("--model", name)]
    argv = ["score", *models, "--data", data, *argv]
    return cli.main(argv), *capsys.readouterr()

  return main


def test_a_line_a_row_and_a_report(run, tmp_path):
  out, numbers = str(tmp_path / "scores.jsonl"), str(tmp_path / "report.json")
  argv = ["--out", out, "--json", numbers, "--max-length", "100"]
  status, said, err = run(
    *argv, "--on-bad-row=skip", model="two", data="bad.jsonl"
  )
  assert status == 0, err
  rows = [json.loads(line) for line in open(out)]
  assert [row["origin"] for row in rows] == [
    f"bad.jsonl:{n}" for n in (1, 2, 3)
  ]
  first, long, bad = rows
  assert set(first) == {
    *("origin", "kind", "id", "label", "tokens", "scores", "members")
  }
  assert (first["kind"], first["id"], first["label"]) == ("pair", 4, 1.0)
  assert len(first["scores"]) == len(first["tokens"]) == 2
  np.testing.assert_allclose(
    np.mean(first["members"], 1), first["scores"], rtol=1e-5
  )
  assert long["scores"] is None and long["reason"].startswith("too long: ")
  assert bad["kind"] is None and bad["reason"].startswith("missing field")
  for words in (
    *("rows", "not scored, too long", "missing field", "accuracy", "of 1 ["),
    *("preferred is shorter", "by length alone", "log loss", "ECE"),
    "the first not scored: bad.jsonl:2: too long",
  ):
    assert words in said, words
  told = json.loads(open(numbers).read())
  assert told["rows"] == 3 and told["agreement"]["pairs"] == 1
  assert told["agreement"]["accuracy"]["n"] == 1
  assert len(told["agreement"]["accuracy"]["interval"]) == 2
  assert not [f for f in tmp_path.iterdir() if f.suffix == ".part"]


WRONG = {
  "a language model": (
    dict(model="none"),
    [],
    "none has no scalar heads: it is a language model, no reward model",
  ),
  "no folder": (dict(model="./nowhere"), [], "no folder or file ./nowhere"),
  "no file": (dict(data="no.jsonl"), [], "no.jsonl"),
  "no rows": (dict(data="empty.jsonl"), [], "has no row to score: 0 bad rows"),
  "no good rows": (
    dict(data="worse.jsonl"),
    ["--on-bad-row=skip"],
    "has no row to score: 1 bad rows; the first: worse.jsonl:1",
  ),
  "a bad row": (dict(data="bad.jsonl"), [], "bad.jsonl:3: cannot tell what"),
  "all too long": (
    {},
    ["--max-length=10"],
    "None of 2 rows can be scored; the first: rows.jsonl:1: too long",
  ),
  "longer than the model": (
    {},
    ["--max-length=99999"],
    "--max-length = 99999 tokens; one takes 1 to",
  ),
  "penalty with the mean": (
    dict(model="two"),
    ["--penalty=1"],
    "--penalty = 1.0 has no effect with --ensemble mean",
  ),
  "no penalty": (
    dict(model="one two"),
    ["--ensemble=uncertainty"],
    "uncertainty needs --penalty above 0, this is None",
  ),
  "no ensemble": (
    dict(model="two"),
    ["--ensemble=median"],
    "median is unknown; one of mean, min, uncertainty",
  ),
  "an ensemble of one": (
    {},
    ["--ensemble=min"],
    "--ensemble and --penalty are for several heads or models",
  ),
  "calibrate two": (
    dict(model="one two"),
    ["--calibrate"],
    "--calibrate is of one model",
  ),
  "calibrate a hub name": (
    dict(model="owner/model"),
    ["--calibrate"],
    "in the model's folder, and owner/model is none",
  ),
  "calibrate a base with an adapter": (
    {},
    ["--calibrate", "--adapter=x"],
    "--calibrate with --adapter",
  ),
  "no adapter": ({}, ["--adapter=x"], "it is no adapter"),
  "calibrate one that says nothing": (
    dict(model="dull"),
    ["--calibrate"],
    "a standard deviation of 0",
  ),
  "a deviation of 0": (
    dict(model="zero"),
    [],
    "score_std = (0.0,); scores are divided by it",
  ),
  "batch": ({}, ["--batch=3"], "--batch = 3 completions do not divide over 8"),
  "format": ({}, ["--format=paris"], "--format = 'paris' is unknown; one of"),
  "rule": ({}, ["--on-bad-row=drop"], "one of error, skip"),
  "limit": ({}, ["--limit=-1"], "--limit = -1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gives_one_clear_message(run, tmp_path, case):
  names, argv, words = WRONG[case]
  out = tmp_path / "scores.jsonl"
  status, said, err = run("--out", str(out), *argv, **names)
  assert status == 1 and said == ""
  # One is known to be wrong by its scores alone.
  err = re.sub("step .*\n", "", err)
  assert err.startswith("error: ") and words in err.replace("\n  ", "\n"), err
  assert len(err.strip().splitlines()) <= 5 and not out.exists()


def test_nowhere_to_write(run):
  status, _, err = run()
  assert status == 1 and "score needs --out FILE" in err
