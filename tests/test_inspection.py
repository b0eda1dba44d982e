import json
import sys

import numpy as np
import pytest

from alignjax import build, cli, inspection
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.types import Row
from configs import common


@pytest.fixture
def files(tmp_path):
  """Training rows of 3, 5, 7 and 13 tokens, and a held-out one of 4."""
  # A text is its bytes and an end token, all trained but the first.
  write(tmp_path / "train.jsonl", [{"text": c * n} for c, n in TRAIN])
  write(tmp_path / "eval.jsonl", [{"text": "zzz"}])
  return tmp_path


TRAIN = (("a", 2), ("b", 4), ("c", 6), ("d", 12))


def write(file, rows):
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def of(tiny, files, **more):
  return tiny(
    data__train__path=str(files / "train.jsonl"),
    data__eval__path=str(files / "eval.jsonl"),
    **more,
  )


def cells(config):
  """(table cells by row name, the lines under it) of `stats`."""
  table, _, *lines = inspection.stats(config)
  names, *columns = [list(column.cells) for column in table.columns]
  return dict(zip(names, zip(*columns))), [line.plain for line in lines]


def test_numbers_of_padded_rows_by_hand(tiny, files):
  found, lines = cells(of(tiny, files))
  assert found == {
    "rows": ("4", "1"),
    "tokens": ("28", "4"),
    "trained tokens": ("24", "3"),
    "share trained": ("85.7%", "75.0%"),
    "length, min": ("3", "4"),
    "length, median": ("5", "4"),
    "length, p90": ("13", "4"),
    "length, p99": ("13", "4"),
    "length, max": ("13", "4"),
    "fill, padded to 16": ("43.8%", "25.0%"),  # 28 of 64, 4 of 16
    "batches of 8 an epoch": ("0.5", "1"),
  }
  assert len(lines) == 2 and lines[0].endswith("4 rows")


def test_numbers_of_packed_rows_by_hand(tiny, files):
  # 13 + 3 and 7 + 5 share rows of 16.
  found, _ = cells(of(tiny, files, data__packing=16, train__batch=2))
  assert found["packed rows"] == ("2", "1")
  assert found["fill, packed to 16"] == ("87.5%", "25.0%")
  assert found["fill, padded to 16"] == ("43.8%", "25.0%")
  assert found["batches of 2 an epoch"] == ("1.0", "1")


def test_what_is_dropped_is_said(tiny, files):
  found, lines = cells(of(tiny, files, data__max_length=10))
  assert found["rows"] == ("3", "1")
  assert "3 rows, 1 dropped: longer than 10 tokens" in lines[0]


def test_without_held_out_rows_there_is_no_column(tiny, files):
  config = tiny(
    data__train__path=str(files / "train.jsonl"), data__eval__path=""
  )
  found, lines = cells(config)
  assert found["rows"] == ("4",)
  assert lines[1] == "no held-out rows: data.eval.path is ''"


def chat(tmp_path):
  rows = [{"prompt": "Hi [b]", "completion": "Ünd\x1b <|im_end|>"}]
  write(tmp_path / "train.jsonl", rows)
  write(tmp_path / "eval.jsonl", [{"text": "zzz"}])
  return tmp_path


def test_trained_spans_by_hand(tiny, tmp_path):
  _, _, shown = inspection.preview(of(tiny, chat(tmp_path)), 3, colours=False)
  head, counts, text = shown.plain.split("\n", 2)
  assert head == f"row 1: {tmp_path / 'train.jsonl'}:1"
  # The answer: Ü is two bytes, the typed control token ten; then its end.
  assert counts.endswith(f"tokens, {2 + 2 + 1 + 1 + 10 + 1} trained")
  assert text == (
    "<|im_start|>user\nHi [b]<|im_end|>\n<|im_start|>assistant\n"
    "⟦Ünd\\x1b <|im_end|><|im_end|>⟧\n"
  )


def test_colours_stand_where_the_marks_would(tiny, tmp_path):
  config = of(tiny, chat(tmp_path))
  _, _, shown = inspection.preview(config, 1, colours=True)
  (span,) = [s for s in shown.spans if s.style == inspection.COLOUR]
  assert shown.plain[span.start : span.end] == "Ünd\\x1b <|im_end|><|im_end|>"
  assert "⟦" not in shown.plain


def test_documents_of_a_packed_row_are_headed():
  row = Row(
    np.array([*b"abcd"], np.int32),
    np.array([0, 1, 0, 2], np.int32),
    "x + y",
    np.array([1, 1, 2, 2], np.int32),
  )
  shown = inspection.show(row, byte_tokenizer(), "row 1", colours=False)
  assert shown.plain == (
    "row 1: x + y\n4 tokens, 2 trained\n"
    "── document 1 of 2 ──\na⟦b⟧\n── document 2 of 2 ──\nc⟦d⟧"
  )


def test_stretches_join_to_the_whole_text():
  tokenizer, text = byte_tokenizer(), "a b  c\nd"
  tokens = np.array(tokenizer.encode(text), np.int32)
  draw = np.random.default_rng(0)
  for _ in range(10):
    completions = draw.integers(0, 2, len(tokens))
    found = inspection.spans(tokens, completions, tokenizer)
    assert "".join(piece for piece, _ in found) == text
    marks = [on for piece, on in found for _ in piece]
    assert marks == [bool(c) for c in completions]


def test_rows_are_those_of_the_first_step(tiny, files):
  config = of(tiny, files, mesh=(1, 1, 1), train__batch=2)
  data = build.data(
    config, byte_tokenizer(), preset("tiny"), build.placement(config)
  )
  _, *shown = inspection.preview(config, 2, colours=False)
  heads = [t.plain.split("\n")[0] for t in shown if t.plain]
  assert [h.split(": ")[1] for h in heads] == data.train.origins(0)


def test_parts_of_a_mixture_are_named_and_counted(tiny, files):
  config = of(tiny, files, train__batch=2)
  with config.unlocked():
    config.data.train = common.mixture(
      short=common.source(str(files / "train.jsonl"), "train", limit=2),
      long=common.source(str(files / "train.jsonl"), "train[2:]"),
    )
  found, lines = cells(config)
  assert found["rows"] == ("2", "2", "1")
  assert found["tokens"] == ("20", "8", "4")
  assert found["share drawn"] == ("50.0%", "50.0%", "")
  assert found["batches of 2 an epoch"] == ("2.0", "2.0", "1")
  assert lines[0].startswith("train/long: ")
  assert lines[1].startswith("train/short: ")
  _, *shown = inspection.preview(config, 4, colours=False)
  heads = [t.plain.split(": ")[0] for t in shown if t.plain.startswith("row")]
  assert sorted(h.split(", ")[1] for h in heads) == ["long"] * 2 + ["short"] * 2


def test_what_the_model_does_not_take_is_refused(tiny, files):
  text = "x" * 600
  write(files / "train.jsonl", [{"text": text}])
  config = of(tiny, files, data__max_length=1000)
  with pytest.raises(ValueError, match="608 tokens and the model takes 512"):
    list(inspection.stats(config))


@pytest.fixture
def run(root, monkeypatch, capsys):
  """A function of arguments: (status, standard output, standard error)."""

  def no_weights(*_):
    raise AssertionError("weights were made")

  monkeypatch.chdir(root)
  monkeypatch.setattr(sys, "path", list(sys.path))
  monkeypatch.setattr(LM, "init", no_weights)

  def main(*argv):
    return cli.main(["data", *argv]), *capsys.readouterr()

  return main


CONFIG = ("--config", "configs/sft.py:tiny")


def test_the_commands_make_no_weights(run, files):
  source = f"--config.data.train.path={files / 'train.jsonl'}"
  status, out, err = run("preview", *CONFIG, source, "--n", "2")
  assert status == 0 and not err
  assert out.count("tokens,") == 2 and "⟦" in out and "\x1b" not in out
  status, out, err = run("stats", *CONFIG, source)
  assert status == 0 and not err and "share trained" in out


def test_a_folder_of_a_tokenizer_alone_is_enough(run, files):
  folder = files / "model"
  byte_tokenizer().save_pretrained(str(folder))
  status, out, _ = run(
    "preview",
    *CONFIG,
    "--config.model.preset=",
    f"--config.model.path={folder}",
    f"--config.data.train.path={files / 'train.jsonl'}",
    "--n=4",
  )
  assert status == 0 and "\na⟦a<|im_end|>⟧\n" in out


@pytest.mark.parametrize(
  "argv, words",
  [
    ([], "data has no command ''; write data preview or data stats"),
    (["show"], "data has no command 'show'"),
    (["preview"], "data preview needs --config FILE"),
    (["preview", *CONFIG, "--n", "0"], "--n = 0; it must be at least 1"),
    (["stats", *CONFIG, "--n", "2"], "Unknown command line flag 'n'"),
    (["stats", *CONFIG, "--config.train.batch=0"], "train.batch = 0"),
    (["stats", *CONFIG, "--config.data.max_length=3"], "No rows are left"),
    (["stats", *CONFIG, "--config.model.preset="], "give one."),
    (["preview", *CONFIG, "--config.data.trian=x"], "no key data.trian"),
  ],
)
def test_wrong_use_gives_one_brief_message(run, argv, words):
  status, out, err = run(*argv)
  assert status == 1 and out == "" and words in err
  assert err.startswith("error: ") and len(err.strip().splitlines()) <= 5


PAIR = {"prompt": "Hi", "chosen": "yes", "rejected": "no", "margin": 2}


def pairs(tiny, tmp_path, **more):
  write(tmp_path / "train.jsonl", [PAIR])
  config = of(tiny, tmp_path, train__batch=1)
  with config.unlocked():
    config.data.eval.path = ""
    config.data.update(dict(rows="pairs") | more)
  return config


def test_both_sides_of_a_pair_are_shown(tiny, tmp_path):
  config = pairs(tiny, tmp_path, layout="shared")
  _, _, row = inspection.preview(config, 1, colours=False)
  head, shown = row.plain.split("──", 1)
  assert head.splitlines()[1:] == ["30 tokens, 7 trained", *FIELDS]
  assert "──" + shown == (
    "── document 1 of 3 ──\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n\n"
    "── document 2 of 3, completion 1, goes on from document 1 ──\n"
    "⟦yes<|im_end|>⟧\n\n"
    "── document 3 of 3, completion 2, goes on from document 1 ──\n"
    "⟦no<|im_end|>⟧\n"
  )
  config = pairs(tiny, tmp_path)
  _, _, row = inspection.preview(config, 1, colours=False)
  assert row.plain.count("<|im_start|>user\nHi") == 2
  assert "── document 2 of 2, completion 2 ──\n" in row.plain


FIELDS = ["label 1, 0", "margin 2, 0"]


def test_what_sharing_saves_by_hand(tiny, tmp_path):
  for layout, tokens in (("shared", 30), ("apart", 51)):
    found, _ = cells(pairs(tiny, tmp_path, layout=layout))
    assert found["rows"] == ("1",) and found["tokens"] == (f"{tokens}",)
    assert found["tokens, a prompt for each answer"] == ("51",)
    assert found["tokens, prompts shared"] == ("30",)
    assert found["saved by sharing"] == ("41.2%",)
