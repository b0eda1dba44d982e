import json
from collections import Counter

import pytest

from alignjax import metrics
from alignjax.cli import convert as command
from alignjax.cli.instruct import instruct
from alignjax.data import formats
from alignjax.evals.files import sha256
from alignjax.instruct import phrasings
from alignjax.instruct.convert import Source, convert, drawn

SHIPPED = "boolq", "sst2"
BOOLQ = [
  {"question": f"is {n} even", "passage": f"{n} is a number.", "answer": n % 2}
  for n in range(12)
]
SST2 = [{"sentence": f"film {n}", "label": n % 3 - 1} for n in range(12)]


def write(tmp_path, name, rows):
  file = tmp_path / name
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


def source(tmp_path, name, rows, split="train"):
  path = write(tmp_path, f"{name}.jsonl", rows)
  return Source(phrasings.read(name), path, split)


def make(one, phrasings=1, seed=0, cap=0):
  return convert(one, phrasings=phrasings, seed=seed, cap=cap)


def test_a_row_by_hand(tmp_path):
  one = source(tmp_path, "boolq", [{**BOOLQ[0], "answer": True, "more": 1}])
  found = make(one, phrasings=0)
  file = phrasings.shipped()["boolq"]
  assert found.rows[1] == {
    "id": "boolq/train/0/1",
    "task": "boolq",
    "cluster": "reading",
    "prompt": "Question: is 0 even?\nText: 0 is a number.\n"
    "Is the answer yes, or is it no?",
    "completion": "yes",
    "answers": ["yes"],
    "metric": "label",
    "choices": ["no", "yes"],
    "source": "Clark et al. 2019, https://arxiv.org/abs/1905.10044",
    "licence": "CC BY-SA 3.0",
    "made": {
      "how": "template",
      "template": "boolq",
      "phrasing": 1,
      "sha256": sha256([file]),
      "origin": f"{tmp_path}/boolq.jsonl:1",
    },
  }
  assert found.read == 1 and found.made == 5 and not found.left_out
  assert found.phrasings == dict.fromkeys(range(5), 1)


def test_training_and_metrics_read_made_rows_as_they_are(tmp_path):
  path = write(
    tmp_path, "made.jsonl", make(source(tmp_path, "boolq", BOOLQ), 0).rows
  )
  rows = [json.loads(line) for line in open(path)]
  read = list(formats.examples((row, "here") for row in rows))
  assert len(read) == len(BOOLQ) * 5
  for row, example in zip(rows, read):
    assert [m["role"] for m in example.messages] == ["user", "assistant"]
    assert example.messages[0]["content"] == row["prompt"]
    kept = {k: v for k, v in row.items() if k not in ("prompt", "completion")}
    assert example.fields == kept | {"prompt_turns": 1}
    assert metrics.score(row["metric"], row["completion"], row["answers"]) == 1


@pytest.mark.parametrize("count", [0, 1, 3])
def test_made_and_left_out_are_all_that_was_asked_for(tmp_path, count):
  rows = [*SST2, {"sentence": None, "label": 1}]
  found = make(source(tmp_path, "sst2", rows), count)
  asked = len(rows) * (count or 5)
  assert found.read == 13 and found.made == len(found.rows)
  assert found.made + found.left_out.total() == asked
  assert found.left_out["no label"] == 4 * (count or 5)
  assert found.left_out.keys() <= {"no label", "null value", "no answer"}
  assert found.phrasings.total() == found.made


def test_phrasings_are_drawn_by_seed_and_id():
  one = phrasings.read("boolq")
  ids = [f"boolq/train/{i}" for i in range(1000)]
  first = [drawn(one, id, 1, 0) for id in ids]
  assert first == [drawn(one, id, 1, 0) for id in ids]
  assert first != [drawn(one, id, 1, 1) for id in ids]
  spread = Counter(k for ks in first for k in ks)
  assert set(spread) == set(range(5)) and min(spread.values()) > 150
  for id in ids[:50]:
    three = drawn(one, id, 3, 0)
    assert three == sorted(set(three)) and len(three) == 3
    assert set(drawn(one, id, 1, 0)) < set(three)
    assert drawn(one, id, 0, 0) == list(range(5))
  with pytest.raises(ValueError, match="has 5\nwrite one, all, or a number"):
    drawn(one, "x", 6, 0)


def test_a_cap_keeps_some_drawn_by_seed(tmp_path):
  one = source(tmp_path, "boolq", BOOLQ)
  everything = {row["id"]: row for row in make(one, 0).rows}
  found = make(one, 0, cap=20)
  assert len(found.rows) == 20 and found.made == 60
  assert all(everything[row["id"]] == row for row in found.rows)
  less = {row["id"] for row in make(one, 0, cap=8).rows}
  assert less < {row["id"] for row in found.rows}
  assert less != {row["id"] for row in make(one, 0, cap=8, seed=1).rows}


def test_splits_stay_apart(tmp_path):
  for split, rows in ("train", BOOLQ[:7]), ("validation", BOOLQ[7:]):
    write(tmp_path, f"{split}.jsonl", rows)
  one = phrasings.read("boolq")
  made = {
    split: make(Source(one, str(tmp_path), split), 0).rows
    for split in ("train", "validation")
  }
  origins = {k: {r["made"]["origin"] for r in v} for k, v in made.items()}
  assert not origins["train"] & origins["validation"]
  for split, rows in made.items():
    # All phrasings of a row are where the row is.
    assert set(Counter(r["made"]["origin"] for r in rows).values()) == {5}
    assert all(r["id"].startswith(f"boolq/{split}/") for r in rows)
  # Slices of a split are splits of their own.
  halves = [
    make(Source(one, str(tmp_path), f"train[{cut}]"), 0).rows
    for cut in (":50%", "50%:")
  ]
  one, two = ({r["made"]["origin"] for r in rows} for rows in halves)
  assert not one & two and one | two == origins["train"]
  ids = [row["id"] for rows in halves for row in rows]
  assert len(set(ids)) == len(ids) == 35


def test_a_folder_of_the_hub_with_nested_fields(tmp_path):
  import pyarrow
  import pyarrow.parquet

  rows = [{"translation": {"de": "ja", "en": "yes"}}] * 3
  (tmp_path / "data").mkdir()
  file = tmp_path / "data" / "train-00000-of-00001.parquet"
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
  one = Source(phrasings.read("wmt16_de_en"), str(tmp_path), "train")
  found = make(one, 0)
  assert found.made == 18
  assert found.rows[0]["completion"] == "yes"
  assert found.rows[4]["answers"] == ["ja"]
  assert found.rows[6]["made"]["origin"] == f"{file}[1]"


def test_rows_of_another_schema_stop(tmp_path):
  with pytest.raises(ValueError, match="needs passage\nfields there: question"):
    make(source(tmp_path, "boolq", [*BOOLQ, {"question": "x", "answer": 1}]))


def test_a_text_that_training_refuses_is_left_out(tmp_path):
  rows = [*BOOLQ, {**BOOLQ[0], "passage": "half \udc80"}]
  assert make(source(tmp_path, "boolq", rows), 0).left_out == {
    "lone surrogate": 5
  }


def test_no_row_at_all_is_an_error(tmp_path):
  rows = [{"sentence": "a film", "label": -1}] * 3
  with pytest.raises(ValueError) as e:
    make(source(tmp_path, "sst2", rows))
  said = str(e.value)
  assert "makes no row of 3\nleft out: 3 no label" in said


@pytest.fixture
def two(tmp_path):
  paths = write(tmp_path, "b.jsonl", BOOLQ), write(tmp_path, "s.jsonl", SST2)
  given = [f"{name}={path}" for name, path in zip(SHIPPED, paths)]
  return [word for one in given for word in ("--dataset", one)]


def test_the_command_writes_rows_and_a_card(two, tmp_path, capsys):
  out = tmp_path / "new" / "made.jsonl"
  command.convert([*two, "--out", str(out), "--phrasings", "2"])
  rows = [json.loads(line) for line in out.read_text().splitlines()]
  # 24 of 12, and 16 of the 8 that have labels; all of them, none is capped.
  assert Counter(row["task"] for row in rows) == {"boolq": 24, "sst2": 16}
  card = json.loads(out.with_suffix(".card.json").read_text())
  assert card["rows"] == 40 and card["sha256"] == sha256([out])
  assert card["clusters"] == {"reading": 24, "sentiment": 16}
  sst2 = card["datasets"]["sst2"]
  assert sst2["left_out"] == {"no label": 8} and sst2["rate"] == 0.4
  assert sst2["sha256"] == sha256([tmp_path / "s.jsonl"])
  assert sst2["template"]["file"] == "sst2.yaml"
  assert sst2["licence"] == phrasings.read("sst2").licence
  by_phrasing = Counter(
    str(row["made"]["phrasing"]) for row in rows if row["task"] == "sst2"
  )
  assert {k: n for k, n in sst2["by_phrasing"].items() if n} == by_phrasing
  assert card["options"]["seed"] == 0 and "jinja2" in card["code"]["packages"]
  shown = capsys.readouterr().out
  assert "no label" in shown and shown.endswith(f"{out}\n{card_of(out)}\n")


def card_of(out):
  return out.with_suffix(".card.json")


def test_the_same_seed_gives_the_same_bytes(two, tmp_path):
  def made(name, *more):
    out = tmp_path / name
    command.convert([*two, "--out", str(out), "--total", "12", *more])
    return out.read_bytes()

  assert made("1.jsonl") == made("2.jsonl") != made("3.jsonl", "--seed", "1")


REFUSED = [
  (["--out", "made.json"], "must end with .jsonl"),
  (["--phrasings", "some"], "legal: one, all, or a number"),
  (["--phrasings", "9"], "has 5"),
  (["--total", "99"], "at most 20 rows keep the rates"),
  (["--temperature", "0"], "above 0"),
  (["--dataset", "boolq=again"], "--dataset boolq=… stands twice"),
  (["--dataset", "paws"], "is not NAME=PATH"),
  (["--reader", "paws=a.b"], "is for no --dataset; there are boolq, sst2"),
]


@pytest.mark.parametrize("more, said", REFUSED)
def test_what_the_command_refuses(two, tmp_path, more, said):
  out = tmp_path / "made.jsonl"
  with pytest.raises(ValueError, match=said):
    command.convert([*two, "--out", str(out), *more])
  assert not out.exists()


def test_a_source_is_not_written_over(two, tmp_path):
  file = tmp_path / "b.jsonl"
  before = file.read_bytes()
  with pytest.raises(ValueError, match="is what boolq is read from"):
    command.convert([*two, "--out", str(file)])
  assert file.read_bytes() == before


def test_a_template_and_a_reader_of_ones_own(two, tmp_path, monkeypatch):
  text = phrasings.shipped()["sst2"].read_text("utf-8")
  file = tmp_path / "mine.yaml"
  file.write_text(text.replace("name: sst2", "name: mine"))
  (tmp_path / "of_mine.py").write_text(
    "def read(path, split):\n"
    "  for n in range(4):\n"
    "    yield {'sentence': f'{split} {n}', 'label': 1}, f'{path}:{n}'\n"
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  more = ["--dataset", f"{file}=here", "--reader", f"{file}=of_mine.read"]
  out = tmp_path / "made.jsonl"
  command.convert([*two, *more, "--out", str(out)])
  rows = [json.loads(line) for line in out.read_text().splitlines()]
  mine = [row for row in rows if row["task"] == "mine"]
  assert len(mine) == 4
  assert {row["made"]["origin"] for row in mine} == {
    f"here:{n}" for n in range(4)
  }


def test_templates_are_listed_and_shown(capsys):
  command.templates([])
  shown = capsys.readouterr().out
  assert all(name in shown for name in phrasings.shipped())
  command.templates(["squad"])
  shown = capsys.readouterr().out
  assert "phrasing 4" in shown and "⟦1874⟧" in shown and "CC BY-SA" in shown


def test_instruct_dispatches(capsys):
  instruct(["--help"])
  assert "convert" in capsys.readouterr().out
  instruct(["templates", "rte"])
  assert "⟦Yes, that follows from the report.⟧" in capsys.readouterr().out
  with pytest.raises(ValueError, match="no command 'convrt'; one of convert"):
    instruct(["convrt"])
