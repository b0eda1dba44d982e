import gzip
import json

import pytest

from alignjax.data import formats, preferences
from alignjax.data.bad import RULES, BadRow, BadRows
from alignjax.data.sources import files, read

READER = "alignjax.data.oasst.read"


def message(name, *replies, **more):
  role = "assistant" if name[0] == "a" else "prompter"
  found = {"message_id": name, "text": f"text of {name}", "role": role}
  return found | {"lang": "en", "replies": list(replies)} | more


def write(path, *prompts):
  trees = [
    {"message_tree_id": p.get("message_id"), "prompt": p} for p in prompts
  ]
  data = "".join(json.dumps(t) + "\n" for t in trees).encode()
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return str(path)


def conversations(path, **kwargs):
  """The message ids of each row."""
  rows = read(path, reader=READER, **kwargs)
  return [
    " ".join(m["content"].removeprefix("text of ") for m in row["messages"])
    for row, _ in rows
  ]


TREE = message(
  "p0",
  message("a1", rank=1),
  message(
    "a0",
    message("p1", message("a2", rank=2), message("a3", message("p4"), rank=0)),
    message("p2"),  # nobody answered
    message("p3", message("a4"), message("a5")),
    rank=0,
  ),
)


def test_the_best_answer_is_taken_and_every_question_followed(tmp_path):
  path = write(tmp_path / "a.jsonl.gz", TREE, message("p9", message("a9")))
  assert conversations(path) == ["p0 a0 p1 a3", "p0 a0 p3 a4", "p9 a9"]
  assert conversations(path, split="train[1:2]") == ["p0 a0 p3 a4"]
  assert conversations(path, split="train[:34%]") == ["p0 a0 p1 a3"]
  row, origin = next(read(path, reader=READER))
  assert origin == f"{path}:1#a3" and row["id"] == "a3" and row["lang"] == "en"
  made = formats.example(row, origin)
  assert [m["role"] for m in made.messages] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
  "ranks, best",
  [
    ((2, 0, 1), "a1"),
    ((1, None, 0), "a2"),
    ((None, None, None), "a0"),
    ((None, 5, None), "a1"),
    ((1, 0, 0), "a1"),
  ],
)
def test_ranks_order_answers_and_those_without_come_last(tmp_path, ranks, best):
  answers = [message(f"a{i}", rank=r) for i, r in enumerate(ranks)]
  path = write(tmp_path / "a.jsonl", message("p", *answers))
  assert conversations(path) == [f"p {best}"]


def test_what_was_deleted_or_refused_is_not_there(tmp_path):
  gone = message("a0", message("p1", message("a1")), rank=0, deleted=True)
  left = message(
    "a2", message("p2", message("a3", review_result=False)), rank=1
  )
  unsure = message("p3", message("a4", review_result=None))
  path = write(
    tmp_path / "a.jsonl",
    message("p0", gone, left),
    unsure,
    message("p4"),
    message("p5", message("a5"), deleted=True),
  )
  assert conversations(path) == ["p0 a2", "p3 a4"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
  "prompt, kind, reason",
  [
    ({}, "missing field", "a message must have lang, message_id, role, text"),
    (message("p", "a"), "missing field", "this is 'a'"),
    (
      message("p", message("a"), role="bot"),
      "unknown role",
      "'bot'; legal: pr",
    ),
    (message("p", replies={}) | {"replies": 3}, "wrong type", "must be a list"),
  ],
)
def test_a_broken_tree_is_one_bad_row(tmp_path, prompt, kind, reason, rule):
  good = message("p", message("a"))
  path = write(tmp_path / "a.jsonl", good, prompt, good)
  bad = BadRows(rule, 1.0)
  if rule == "error":
    with pytest.raises(BadRow, match=f"a.jsonl:2: .*{reason}"):
      conversations(path, on_bad=bad)
  else:
    assert conversations(path, on_bad=bad) == ["p a", "p a"]
    assert bad.kinds() == f"1 {kind}" and bad.first.startswith(f"{path}:2: ")
    assert len(bad.kept) == (rule == "quarantine")


def ranked(path, **kwargs):
  """The prompt's and the answers' ids, and the ranks, of each row."""
  rows = read(path, reader="alignjax.data.oasst.pairs", **kwargs)
  return [
    (
      " ".join(m["content"].removeprefix("text of ") for m in row["prompt"]),
      " ".join(c.removeprefix("text of ") for c in row["completions"]),
      row["ranks"],
    )
    for row, _ in rows
  ]


def test_every_prompter_with_two_ranked_answers_is_a_ranked_row(tmp_path):
  # Below an answer that is not the best one, too.
  below = message("p2", message("a4", rank=1), message("a5", rank=0))
  tree = message(
    "p0",
    message("a1", below, rank=1),
    message("a0", message("p1", message("a2", rank=0), message("a3")), rank=0),
    message("a9", rank=2, deleted=True),
    message("a8"),
  )
  even = message("p9", message("a6", rank=0), message("a7", rank=0))
  path = write(tmp_path / "a.jsonl", tree, even)
  assert ranked(path) == [
    ("p0", "a1 a0", [1, 0]),
    ("p0 a1 p2", "a4 a5", [1, 0]),
  ]
  rows = read(path, reader="alignjax.data.oasst.pairs")
  first, second = preferences.preferences(rows)
  assert first.sides[0][0]["content"] == "text of a0"
  assert first.origin == f"{path}:1#p0#1>0"
  assert second.prompt[-1] == {"role": "user", "content": "text of p2"}
  assert first.fields == {"id": "p0", "lang": "en"}


def test_broken_lines_and_other_files(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_text("{\n")
  with pytest.raises(BadRow, match="a.jsonl:1: bad JSON"):
    conversations(str(path))
  table = tmp_path / "train.parquet"
  table.write_bytes(b"")
  with pytest.raises(
    ValueError, match=r"train.parquet is no .jsonl\(.gz\) file"
  ):
    conversations(str(table))


def test_files_hold_the_reader_too(tmp_path):
  path = write(tmp_path / "a.jsonl", TREE)
  names = {p.name for p in files(path, reader=READER)}
  assert names == {"a.jsonl", "oasst.py"}
