import hashlib
import json
import math
import random

import huggingface_hub
import pytest

from alignjax.data import cards
from alignjax.data.said import said
from alignjax.instruct.card import (
  card,
  front_matter,
  licence_name,
  size_category,
)
from alignjax.instruct.counts import Counts, file_hashes, quantiles

FILES = [{"name": "a.jsonl", "bytes": 12, "sha256": "ab" * 32}]


def numbers(**more):
  return {"name": "a.jsonl", "rows": 3, "files": FILES} | more


def block(text):
  """The JSON block of a card."""
  return json.loads(text.split("```json\n")[1].split("```")[0])


def loaded(text, folder):
  (folder / "README.md").write_text(text, "utf-8")
  return huggingface_hub.metadata_load(folder / "README.md")


def test_front_matter_by_hand():
  made = front_matter(
    numbers(
      licences={"CC-BY 4.0": 2, "not said": 1},
      languages={"en": 150, "undecided": 10, "de": 2, "fr": 1},
    )
  )
  assert made.split("\n") == [
    "---",
    'license: "cc-by-4.0"',
    "language:",
    '- "en"',
    '- "de"',  # 2 of 163; fr is below one in a hundred
    "size_categories:",
    '- "n<1K"',
    "configs:",
    "- config_name: default",
    "  data_files:",
    '  - "a.jsonl"',
    "---",
    "",
  ]


def test_licences_as_the_hub_has_them(tmp_path):
  for told, name in (
    ("Apache License 2.0", "apache-2.0"),
    ("Apache-2.0", "apache-2.0"),
    ("MIT License", "mit"),
    ("CC BY-SA 4.0 International", "cc-by-sa-4.0"),
    ("cc0-1.0", "cc0-1.0"),
  ):
    assert licence_name(told) == name
    assert loaded(card(numbers(licences={told: 3})), tmp_path)["license"] == (
      name
    )
  found = loaded(card(numbers(licences={"MIT": 1, "Ours": 2})), tmp_path)
  assert found["license"] == ["mit", "other"]
  assert found["license_name"] == "Ours"
  assert "license" not in loaded(card(numbers()), tmp_path)


def test_size_categories():
  for rows, name in (
    (0, "n<1K"),
    (999, "n<1K"),
    (1000, "1K<n<10K"),
    (99_999, "10K<n<100K"),
    (5_000_000, "1M<n<10M"),
    (10_000_000, "n>10M"),
  ):
    assert size_category(rows) == name


def test_tables_by_hand():
  many = {f"c{k:02}": 1 for k in range(60)}
  text = card(
    numbers(
      bad={"NUL": 1},
      roles={"user": 3, "assistant": 1},
      clusters=many,
      lengths={"words of prompts": dict.fromkeys(["min", "max"], 1200)},
    )
  )
  assert "3 rows, 1 of them cannot be read." in text
  assert f"| a.jsonl | 12 | {'ab' * 32} |" in text
  assert "| user | 3 | 75.0% |\n| assistant | 1 | 25.0% |\n" in text
  assert "| c49 | 1 | 1.7% |\n| 10 others | 10 | 16.7% |\n" in text
  assert "| c50 |" not in text and "c50" in block(text)["clusters"]
  assert "| | min | max |\n| --- | ---: | ---: |\n" in text
  assert "| words of prompts | 1,200 | 1,200 |" in text
  assert "Licences" not in text  # an empty table is none


ODD = ("a|b", "```\n# x", "- [l](u) <b>", "é\u2028\x85 \\ \" '", "a: b # c", "")


def test_whatever_names_say_is_text(tmp_path):
  """YAML and JSON have it as it is, and no table breaks."""
  for odd in ODD:
    asked = numbers(
      name=odd,
      licences={odd: 3} if odd.strip() else {},
      clusters={odd: 3},
      files=[FILES[0] | {"name": odd}],
    )
    text = card(asked)
    assert block(text) == asked
    found = loaded(text, tmp_path)
    assert found["configs"][0]["data_files"] == [odd]
    assert found.get("license_name", "") == odd
    tables = [x for x in text.split("## Numbers")[0].split("\n") if "|" in x]
    assert all(x.startswith("|") and x.endswith("|") for x in tables[-3:])


def test_the_same_mapping_gives_the_same_bytes():
  one = numbers(clusters={"a": 2, "b": 1}, licences={"mit": 3})
  assert card(one) == card(json.loads(json.dumps(one)))


def test_alignjax_reads_the_card_of_a_folder(tmp_path):
  (tmp_path / "a.jsonl").write_text("{}\n")
  (tmp_path / "README.md").write_text(card(numbers()))
  assert cards.wanted(tmp_path, "", "train") == ("", ["a.jsonl"])


def test_quantiles_by_hand():
  assert quantiles([5]) == dict.fromkeys(
    ["min", "25%", "50%", "75%", "95%", "max"], 5
  )
  found = quantiles(list(range(20, 0, -1)))  # 1 to 20
  assert list(found.values()) == [1, 5, 10, 15, 19, 20]


def test_quantiles_are_values_with_their_share_below():
  draw = random.Random(0)
  for _ in range(50):
    values = [draw.randint(0, 30) for _ in range(draw.randint(1, 40))]
    found = quantiles(values)
    for name, q in (("25%", 0.25), ("50%", 0.5), ("95%", 0.95)):
      below = sum(v <= found[name] for v in values)
      least = sum(v < found[name] for v in values)
      assert found[name] in values
      assert below >= math.ceil(q * len(values)) > least


def test_counts_by_hand():
  counts = Counts(source="the file's", licence="mit")
  for row in (
    {"prompt": "one two", "completion": "three", "cluster": "x"},
    {
      "messages": [
        {"role": "system", "content": "be"},
        {"role": "user", "content": "a b c"},
        {"role": "assistant", "content": "d e"},
      ],
      "task": "y",
      "license": "CC0-1.0",
      "made": {"how": "converted"},
    },
    {"prompt": "p", "chosen": "q r s", "rejected": "t", "source": "own"},
  ):
    counts.add(said(row, "f:1"), row, "en", 0)
  counts.bad["NUL"] += 1
  found = counts.numbers()
  assert (found["rows"], found["bad"]) == (4, {"NUL": 1})
  assert found["kinds"] == {"conversation": 2, "pairs": 1}
  assert found["formats"] == {"messages": 1, "pair": 1, "prompt/completion": 1}
  assert found["roles"] == {"assistant": 4, "user": 3, "system": 1}
  assert found["clusters"] == {"x": 1, "y": 1}
  assert found["licences"] == {"mit": 2, "CC0-1.0": 1}
  assert found["sources"] == {"the file's": 2, "own": 1}
  assert found["made"] == {"not said": 2, "converted": 1}
  lengths = found["lengths"]
  # Prompts of 2, 3 (the system's is left out) and 1 words; answers 1, 2, 3, 1.
  assert list(lengths["words of prompts"].values()) == [1, 1, 2, 3, 3, 3]
  assert list(lengths["words of answers"].values()) == [1, 1, 1, 2, 3, 3]
  assert lengths["turns of rows"]["max"] == 3
  assert "tokens of rows" not in lengths


def test_hashes_of_files(tmp_path):
  (tmp_path / "b").mkdir()
  files = [tmp_path / "b" / "x.jsonl", tmp_path / "a.jsonl"]
  for file in files:
    file.write_text(file.name)
  found = file_hashes(files, tmp_path)
  assert [f["name"] for f in found] == ["a.jsonl", "b/x.jsonl"]
  digest = hashlib.sha256(b"a.jsonl").hexdigest()
  assert found[0] == {"name": "a.jsonl", "bytes": 7, "sha256": digest}
  assert file_hashes(files[1:], files[1])[0]["name"] == "a.jsonl"


def test_a_card_needs_its_name():
  with pytest.raises(KeyError, match="name"):
    card({"rows": 1, "files": []})
